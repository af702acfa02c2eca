"""The OpenAPI description against the running API: whatever schemathesis sends, the answer is a documented one."""

from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
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
    ("/estimate-feedback", "POST", AS_DESCRIBED),
    ("/estimate-feedback", "POST", OTHERWISE),
    ("/charts", "GET", AS_DESCRIBED),
    ("/charts/{store}", "GET", AS_DESCRIBED),
    ("/charts/{store}/{name}", "GET", AS_DESCRIBED),
    ("/charts/{store}/{name}", "PUT", AS_DESCRIBED),
    ("/charts/{store}/{name}", "PUT", OTHERWISE),
    ("/charts/{store}/{name}", "DELETE", AS_DESCRIBED),
]

NO_PROMISE: list[Any] = [positive_data_acceptance, negative_data_rejection, not_a_server_error]
"""A question of the right form can still be refused: its picture may be missing or show nobody. One of another form
can still be understood: "170" and true are taken for numbers. And 503 is honest where Redis is asked."""

EXAMPLES = 60
FEW, FEW_HOSTILE = 2, 15
"""Of charts, where Redis is asked, which is not there: a second each."""


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
    picture_url = st.sampled_from(api.picture_urls)

    of_charts = FEW if mode is AS_DESCRIBED else FEW_HOSTILE
    examples = of_charts if path.startswith("/charts") else EXAMPLES

    @settings(max_examples=examples, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(requests, st.tuples(picture_url, picture_url))
    def send(case: Any, picture_urls: tuple[str, str]) -> None:
        for field, fetchable in zip(("image_url", "side_image_url"), picture_urls, strict=True):
            given_url = case.body.get(field) if isinstance(case.body, dict) else None
            if isinstance(given_url, str) and 1 <= len(given_url) <= 4096:
                # No test may ask for an address that was made up; these lead to every answer that a picture can
                # lead to.
                case.body[field] = fetchable
        answer = case.call_and_validate(headers={"Authorization": token}, excluded_checks=NO_PROMISE, timeout=60)
        assert answer.status_code < 500 or answer.status_code == 503

    send()
