"""The OpenAPI description: what FastAPI cannot know of the answers of middleware, of uploads, and of tokens."""

from collections.abc import Callable, Collection, Iterator, Sequence
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI

from wearon.api import description_examples as examples
from wearon.api.middleware import BODY_SECONDS, GOOD_REQUEST_ID, MAX_BODY_BYTES, OPEN_PATHS
from wearon.api.roles import SETTINGS, Role
from wearon.api.upload import FORM, PATH, PHOTOS, PICTURES
from wearon.api.upload_memory import LONGEST_S
from wearon.platform.base import MAX_PICTURE_BYTES

SIZES = "Works without Redis, Supabase and OpenAI; only a kept `chart` that this process has not used before asks Redis"

INFO: dict[str, Any] = {
    "title": "WearOn worker",
    "summary": "Which size fits, from a height and one photo, two, or a weight.",
    "description": "Every answer carries `X-Request-Id`, under which the log tells what happened. Answers may get new "
    "fields, and requests new optional ones: pass over what you do not know. HEAD is answered wherever GET is.",
    "version": version("wearon"),
    "contact": {"name": "The WearOn maintainers"},
    "license_info": {"name": "Apache 2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
    "servers": [{"url": "/", "description": "The worker that this description comes from"}],
    "openapi_tags": [
        {"name": "charts", "description": "For operators: size charts that shops keep here, in Redis"},
        {"name": "feedback", "description": "What became of clothes that were bought; counted in Redis"},
        {"name": "health", "description": "For load balancers and people; always open"},
        {"name": "sizes", "description": SIZES},
    ],
    "generate_unique_id_function": lambda route: route.name,
}
"""What `FastAPI(...)` is given."""

REQUEST_ID_PARAMETER = {
    "name": "X-Request-Id",
    "in": "header",
    "required": False,
    "description": "Stands on every log line of this request. An id of ours takes the place of one that does not match "
    f"{GOOD_REQUEST_ID.pattern}.",
    "schema": {"type": "string"},  # the form is no condition
}
REQUEST_ID_HEADER = {"description": "The caller's id, or ours", "required": True, "schema": {"type": "string"}}

PROBLEM = {"application/json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
UNPROCESSABLE = {"application/json": {"schema": {"$ref": "#/components/schemas/Unprocessable"}}}

SLOW = f"The body came too slowly: within {BODY_SECONDS:g} s, or {LONGEST_S:g} s with photos"
LARGE = f"The body is larger than {MAX_BODY_BYTES} bytes, or a photo than {MAX_PICTURE_BYTES}"
FOR_A_BODY = {
    "408": {"description": SLOW, "content": PROBLEM},
    "413": {"description": LARGE, "content": PROBLEM},
}
FOR_ALL = {
    "400": {"description": "The request cannot be read", "content": PROBLEM},
    "431": {"description": "Address and header fields are too large together, or too many", "content": PROBLEM},
    "500": {"description": "A fault of ours", "content": PROBLEM},
    "503": {
        "description": "Too many connections",
        "content": PROBLEM,
        "headers": {"Retry-After": {"description": "Seconds", "required": True, "schema": {"type": "string"}}},
    },
}
FOR_A_TOKEN = {
    "401": {"description": "The bearer token is missing or wrong", "content": PROBLEM},
    "403": {"description": "The bearer token is one for other paths", "content": PROBLEM},
    "429": {"description": "Too many wrong bearer tokens came from there", "content": PROBLEM},
}

MADE_BY_FASTAPI = ("HTTPValidationError", "ValidationError")
"""FastAPI's own shape of a 422, which no answer has."""


def describe(app: FastAPI, wanted: Callable[[str], Collection[Role]]) -> None:
    """Complete the app's description when it is first asked for. `wanted` knows who may ask for a path; none: all."""
    made_by_fastapi = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = made_by_fastapi()
            roles: set[Role] = set()
            for path, operation in _operations(schema):
                of_path = () if path in OPEN_PATHS else wanted(path)
                _complete(operation, sorted(of_path))
                roles.update(of_path)
            _describe_uploads(schema["paths"][PATH]["post"], schema["components"]["schemas"]["EstimateBody"])
            for name in MADE_BY_FASTAPI:
                schema["components"]["schemas"].pop(name, None)
            schema["components"]["securitySchemes"] = {
                role.value: {"type": "http", "scheme": "bearer", "description": f"The worker's {SETTINGS[role]}"}
                for role in sorted(roles)
            }
        assert app.openapi_schema is not None
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign] # FastAPI's documented way


def _operations(schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, operations in schema["paths"].items():
        for operation in operations.values():
            yield path, operation


def _complete(operation: dict[str, Any], roles: Sequence[Role]) -> None:
    """Add what middleware does to one operation."""
    operation["security"] = [{role.value: []} for role in roles]
    operation.setdefault("parameters", []).append(REQUEST_ID_PARAMETER)
    answers = operation["responses"]
    if "422" in answers:
        answers["422"] = {**answers["422"], "content": UNPROCESSABLE}
    more = {**FOR_ALL, **(FOR_A_BODY if "requestBody" in operation else {}), **(FOR_A_TOKEN if roles else {})}
    for status, answer in more.items():
        answers.setdefault(status, answer)
    for status, answer in answers.items():
        headers = {**answer.get("headers", {}), "X-Request-Id": REQUEST_ID_HEADER}
        answers[status] = {**answer, "headers": headers}


def _describe_uploads(operation: dict[str, Any], question: dict[str, Any]) -> None:
    """Add to the operation for JSON what `wearon.api.upload` takes, and examples."""
    fields = {name: field for name, field in question["properties"].items() if not name.endswith("image_url")}
    photos = {name: {"type": "string", "format": "binary"} for name in PHOTOS}
    content = operation["requestBody"]["content"]
    content["application/json"]["examples"] = examples.QUESTIONS
    content[FORM] = {
        "schema": {
            "type": "object",
            "title": "EstimateForm",
            "properties": {**photos, **fields},
            "required": ["height_cm"],
            "anyOf": [{"required": ["image"]}, {"required": ["weight_kg"]}],
        },
        "encoding": {"image": {"contentType": ", ".join(PICTURES)}, "size_chart": {"contentType": "application/json"}},
    }
    for media_type in PICTURES:
        content[media_type] = {"schema": {"type": "string", "format": "binary"}}
    for name, field in fields.items():
        schema = {"application/json": {"schema": field}}
        how = {"content": schema} if name == "size_chart" else {"schema": field}
        about = "Where a picture is the body; height_cm is required there"
        operation["parameters"].append({"name": name, "in": "query", "required": False, "description": about, **how})
    for status, example in examples.ANSWERS.items():
        operation["responses"][status]["content"]["application/json"]["examples"] = example
