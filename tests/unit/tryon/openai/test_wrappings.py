"""A paid picture is found in whatever it is wrapped."""

import base64
import io
import json
import textwrap
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from support.openai_stub import USAGE
from wearon.tryon.image_model import BadAnswer, Moderated
from wearon.tryon.openai.answers import parse_answer, usage_of
from wearon.tryon.openai.wrappings import unwrap


def made(picture_format: str) -> bytes:
    data = io.BytesIO()
    Image.effect_noise((40, 60), 50).convert("RGB").save(data, picture_format)
    return data.getvalue()


PICTURES = {"jpeg": made("JPEG"), "png": made("PNG"), "webp": made("WEBP")}

SPELLINGS: dict[str, Callable[[str], str]] = {
    "plain": lambda text: text,
    "line ends": lambda text: "\n".join(textwrap.wrap(text, 76)),
    "windows line ends": lambda text: "\r\n".join(textwrap.wrap(text, 64)) + "\r\n",
    "line ends escaped twice": lambda text: "\\n".join(textwrap.wrap(text, 76)),
    "spaces and tabs": lambda text: f" \t{text[:40]} {text[40:]}\t ",
    "for URLs": lambda text: text.replace("+", "-").replace("/", "_"),
    "no padding": lambda text: text.rstrip("="),
    "for URLs, no padding, in lines": lambda text: "\n".join(
        textwrap.wrap(text.replace("+", "-").replace("/", "_").rstrip("="), 60, break_on_hyphens=False)
    ),
    "data URI": lambda text: f"data:image/jpeg;base64,{text}",
    "data URI of another kind": lambda text: f"data:image/webp;charset=utf-8;base64,{text}",
    "data URI in capitals": lambda text: f"DATA:IMAGE/PNG;BASE64,{text}",
    "data URI without a type": lambda text: f"data:;base64,{text}",
    "data URI in lines": lambda text: "data:image/png;base64,\n" + "\n".join(textwrap.wrap(text, 76)),
    "data URI, escaped for URLs": lambda text: (
        "data:image/png;base64," + text.replace("+", "%2B").replace("/", "%2F").replace("=", "%3D")
    ),
}

FORMS: dict[str, Any] = {
    "b64_json": lambda text: {"data": [{"b64_json": text}]},
    "url": lambda text: {"data": [{"url": text}]},
    "b64_json and an empty url": lambda text: {"data": [{"b64_json": text, "url": ""}]},
    "nulls around it": lambda text: {"data": [{"url": None, "b64_json": text, "revised_prompt": None}], "error": None},
    "not the first": lambda text: {"data": [{"b64_json": None, "url": None}, {"b64_json": text}]},
    "data is an object": lambda text: {"data": {"b64_json": text}},
    "data is a text": lambda text: {"data": text},
    "data is a list of texts": lambda text: {"data": [text]},
    "images": lambda text: {"images": [{"b64_json": text}]},
    "images are texts": lambda text: {"images": [text], "data": None},
    "image_url is an object": lambda text: {"images": [{"image_url": {"url": text}}]},
    "output": lambda text: {"output": [{"result": text}]},
    "no list at all": lambda text: {"b64_json": text},
    "a bare list": lambda text: [{"b64_json": text}],
}


def answer(form: str, spelling: str, picture: bytes) -> bytes:
    body = FORMS[form](SPELLINGS[spelling](base64.b64encode(picture).decode()))
    if isinstance(body, dict):
        body = {"created": 1, **body, "usage": USAGE}
    return json.dumps(body).encode()


@pytest.mark.parametrize("picture", PICTURES.values(), ids=PICTURES)
@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("form", FORMS)
def test_what_was_paid_is_found(form: str, spelling: str, picture: bytes) -> None:
    found = parse_answer(answer(form, spelling, picture))
    assert found.data[0].b64_json == picture
    if form != "a bare list":
        assert usage_of(found.usage, "gpt-image-1.5") is not None


@pytest.mark.parametrize("picture", PICTURES.values(), ids=PICTURES)
def test_a_picture_without_json_around_it_is_one(picture: bytes) -> None:
    assert parse_answer(picture).data[0].b64_json == picture


@pytest.mark.parametrize("before", [b"\xef\xbb\xbf", b"\n\n  ", b"data: "])
@pytest.mark.parametrize("after", [b"", b"\n", b"\n\ndata: [DONE]\n\n", b"\x00"])
def test_what_stands_around_the_json_is_passed_over(before: bytes, after: bytes) -> None:
    body = before + answer("b64_json", "plain", PICTURES["png"]) + after
    assert parse_answer(body).data[0].b64_json == PICTURES["png"]


@pytest.mark.parametrize("url", ["https://files.openai.com/p.png", "/v1/images/7/content"])
def test_an_address_stays_an_address(url: str) -> None:
    found = parse_answer(json.dumps({"images": [{"url": url}]}).encode())
    assert (found.data[0].b64_json, found.data[0].url) == (None, url)


def test_a_refusal_with_status_200_is_a_refusal() -> None:
    with pytest.raises(Moderated):
        parse_answer(b'{"error": {"code": "moderation_blocked", "message": "no"}}')


@pytest.mark.parametrize(
    "body",
    [
        {"data": [{"revised_prompt": "Zm9v"}]},
        {"data": ["Zm9v"]},
        {"images": ["not base64 at all"]},
        {"data": [{"b64_json": "data:image/png;base64,"}]},
        {"data": [{"b64_json": "A"}]},
        {"error": {"code": "server_error", "message": "no"}},
        {"data": [[[[[[[[{"b64_json": "Zm9v"}]]]]]]]]},
    ],
)
def test_what_is_no_picture_is_not_taken_for_one(body: Any) -> None:
    with pytest.raises(BadAnswer):
        parse_answer(json.dumps(body).encode())


@given(st.binary(max_size=300))
def test_no_answer_is_too_much(body: bytes) -> None:
    unwrap(body)


@given(
    st.recursive(
        st.none() | st.integers() | st.text(max_size=20),
        lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["data", "images", "url", "b64_json"]), inner),
        max_leaves=15,
    )
)
def test_no_json_is_too_much(value: Any) -> None:
    unwrap(json.dumps(value).encode())
