"""A strict linter, and a generator of TypeScript, have nothing to say about the OpenAPI description."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from support.api_services import api_services
from wearon.api.app import create_app
from wearon.api.roles import NO_TOKENS, Access, Role

TESTS = Path(__file__).parents[2]
LINT = Path("support/lint_openapi.mjs")


def problems(description: dict[str, Any]) -> list[str]:
    source = json.dumps(description)
    ran = subprocess.run(["node", LINT], cwd=TESTS, input=source, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.splitlines()


@pytest.mark.skipif(
    shutil.which("node") is None or not (TESTS / "node_modules/openapi-typescript").exists(),
    reason="openapi-typescript is not installed (scripts/test-services.sh)",
)
@pytest.mark.parametrize("access", [NO_TOKENS, Access({Role.OPERATOR: "s3cret"}, estimate_is_open=False)])
def test_a_strict_linter_and_a_generator_have_nothing_to_say(access: Access) -> None:
    assert problems(create_app(api_services(), access).openapi()) == []


def test_only_estimates_are_said_to_work_without_redis() -> None:
    description = create_app(api_services(), Access({Role.OPERATOR: "s3cret"})).openapi()
    tags: dict[str, set[str]] = {}
    for path, operations in description["paths"].items():
        for operation in operations.values():
            for tag in operation["tags"]:
                tags.setdefault(tag, set()).add(path.split("/")[1])
    assert tags == {
        "sizes": {"estimate-body"},
        "feedback": {"estimate-feedback"},
        "charts": {"charts"},
        "health": {"health"},
    }
    assert [tag["name"] for tag in description["tags"] if "without Redis" in tag["description"]] == ["sizes"]
