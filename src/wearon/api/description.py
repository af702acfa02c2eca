"""The OpenAPI description: what FastAPI cannot know, because middleware answers it."""

from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI

from wearon.api.middleware import BODY_SECONDS, GOOD_REQUEST_ID, MAX_BODY_BYTES, OPEN_PATHS

REQUEST_ID_PARAMETER = {
    "name": "X-Request-Id",
    "in": "header",
    "required": False,
    "description": "Stands on every log line of this request. An id of ours takes the place of one that does not match "
    f"{GOOD_REQUEST_ID.pattern}.",
    "schema": {"type": "string"},  # the form is no condition
}
REQUEST_ID_HEADER = {"description": "The caller's id, or ours", "required": True, "schema": {"type": "string"}}

PROBLEM = {
    "application/json": {
        "schema": {
            "type": "object",
            "properties": {"detail": {"type": "string"}},
            "required": ["detail"],
            "title": "Problem",
        }
    }
}

FOR_A_BODY = {
    "408": {"description": f"The body was not here within {BODY_SECONDS:g} s", "content": PROBLEM},
    "413": {"description": f"The body is larger than {MAX_BODY_BYTES} bytes", "content": PROBLEM},
}
FOR_ALL = {
    "400": {"description": "The request cannot be read", "content": PROBLEM},
    "500": {"description": "A fault of ours", "content": PROBLEM},
    "503": {
        "description": "Too many connections",
        "content": PROBLEM,
        "headers": {"Retry-After": {"description": "Seconds", "required": True, "schema": {"type": "string"}}},
    },
}


def describe(app: FastAPI, *, needs_token: bool) -> None:
    """Complete the app's description, once it is asked for: every answer of every operation, and the token."""
    made_by_fastapi = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = made_by_fastapi()
            for path, operation in _operations(schema):
                _complete(operation, needs_token=needs_token and path not in OPEN_PATHS)
            if needs_token:
                schema.setdefault("components", {})["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        assert app.openapi_schema is not None
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign] # FastAPI's documented way


def _operations(schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, operations in schema["paths"].items():
        for operation in operations.values():
            yield path, operation


def _complete(operation: dict[str, Any], *, needs_token: bool) -> None:
    operation.setdefault("parameters", []).append(REQUEST_ID_PARAMETER)
    answers = operation["responses"]
    more = {**FOR_ALL, **(FOR_A_BODY if "requestBody" in operation else {})}
    if needs_token:
        operation["security"] = [{"token": []}]
        more["401"] = {"description": "The bearer token is missing or wrong", "content": PROBLEM}
        more["429"] = {"description": "Too many wrong bearer tokens came from there", "content": PROBLEM}
    for status, answer in more.items():
        answers.setdefault(status, answer)
    for status, answer in answers.items():
        headers = {**answer.get("headers", {}), "X-Request-Id": REQUEST_ID_HEADER}
        answers[status] = {**answer, "headers": headers}
