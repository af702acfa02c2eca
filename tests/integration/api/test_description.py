"""The OpenAPI description against the running API: whatever schemathesis sends, the answer is a documented one."""

from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

from support.api_process import Api
from support.machines import API_TOKEN

pytestmark = pytest.mark.slow

AS_DESCRIBED, OTHERWISE = GenerationMode.POSITIVE, GenerationMode.NEGATIVE
WAYS = [
    ("/estimate-body", "POST", AS_DESCRIBED),
    ("/estimate-body", "POST", OTHERWISE),
    ("/health", "GET", AS_DESCRIBED),  # these two take anything
    ("/health/live", "GET", AS_DESCRIBED),
]

NO_PROMISE: list[Any] = [positive_data_acceptance, negative_data_rejection]
"""A question of the right form can still be refused: its picture may be missing or show nobody. One of another form
can still be understood: "170" and true are taken for numbers."""

EXAMPLES = 60


@pytest.fixture(scope="module")
def description(api: Api) -> schemathesis.BaseSchema:
    """What the running API says of itself."""
    document = httpx.get(f"{api.url}/openapi.json", headers={"Authorization": f"Bearer {API_TOKEN}"}).json()
    for operation in (operation for path in document["paths"].values() for operation in path.values()):
        operation.pop("security", None)  # the token is brought by the test, not made up
    schema = schemathesis.openapi.from_dict(document)
    schema.config.update(base_url=api.url)
    return schema


def test_every_operation_is_walked(description: schemathesis.BaseSchema) -> None:
    described = {
        (path, method.upper()) for path, operations in description.raw_schema["paths"].items() for method in operations
    }
    assert described == {(path, method) for path, method, _ in WAYS}


@pytest.mark.parametrize(("path", "method", "mode"), WAYS)
@pytest.mark.parametrize("token", [f"Bearer {API_TOKEN}", "Bearer wrong"], ids=["let in", "kept out"])
def test_every_answer_is_documented(
    description: schemathesis.BaseSchema, api: Api, path: str, method: str, mode: GenerationMode, token: str
) -> None:
    operation = description[path][method]
    requests = operation.as_strategy(generation_mode=mode)

    @settings(max_examples=EXAMPLES, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(requests, st.sampled_from(api.picture_urls))
    def send(case: Any, picture_url: str) -> None:
        body = case.body
        if isinstance(body, dict) and isinstance(body.get("image_url"), str) and 1 <= len(body["image_url"]) <= 4096:
            # No test may ask for an address that was made up; these lead to every answer that a picture can lead to.
            body["image_url"] = picture_url
        case.call_and_validate(headers={"Authorization": token}, excluded_checks=NO_PROMISE, timeout=60)

    send()
