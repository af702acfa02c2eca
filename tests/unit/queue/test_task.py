"""What a queue document must be, and what is said of one that is not."""

import codecs
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.examples import examples
from support.job_side import document, task_fields
from wearon.platform.base import Channel, SessionRef
from wearon.queue.task import (
    MAX_DOCUMENT_BYTES,
    MAX_LENIENT_BYTES,
    GenerationTask,
    Rejected,
    check_task,
    read_task,
    session_id_of,
)

OWNER = "6a3ff3f3-6a10-4a62-b3b1-7b3d4c1f5d10"
SESSION = "0b0e7bb4-9d3f-4f43-9c7e-3d8a2f0d6c11"
B2C = SessionRef(Channel.B2C, OWNER, SESSION)
B2B = SessionRef(Channel.B2B, OWNER, SESSION)
MISSING = object()


def fields(ref: SessionRef = B2C, /, **changes: Any) -> dict[str, Any]:
    """A good document with changes; MISSING takes a field away."""
    return {name: value for name, value in task_fields(ref, **changes).items() if value is not MISSING}


def read(ref: SessionRef = B2C, /, **changes: Any) -> GenerationTask | Rejected:
    return read_task(json.dumps(fields(ref, **changes)).encode())


@pytest.mark.parametrize("ref", [B2C, B2B], ids=str)
def test_a_good_document_becomes_a_task_with_every_field(ref: SessionRef) -> None:
    task = read(ref, image_urls=["https://a/1", "https://a/2", "https://a/3"], prompt="in the rain")
    assert isinstance(task, GenerationTask)
    assert task.ref == ref
    assert task.image_urls == ("https://a/1", "https://a/2", "https://a/3")
    assert (task.prompt, task.request_id, task.version) == ("in the rain", "req_test", 1)
    assert task.created_at == datetime(2026, 11, 24, 12, tzinfo=UTC)


def test_only_what_the_contract_requires_is_required() -> None:
    task = read(prompt=MISSING, request_id=MISSING, version=MISSING, created_at=MISSING)
    assert isinstance(task, GenerationTask)
    assert (task.prompt, task.request_id, task.version, task.created_at) == ("", "", 1, None)


@pytest.mark.parametrize("name", ["store_id", "prompt", "request_id", "version", "created_at"])
def test_null_means_absent(name: str) -> None:
    assert read(task_id=OWNER, **{name: None}) == read(task_id=OWNER, **{name: MISSING})


def test_fields_of_a_newer_producer_are_ignored() -> None:
    assert read(task_id=OWNER, priority=9, nested={"deep": [1, {"er": None}]}, **{"": 0}) == read(task_id=OWNER)


@pytest.mark.parametrize("spelling", [SESSION.upper(), SESSION.replace("-", ""), "{" + SESSION + "}"])
def test_a_session_has_one_name_however_it_is_spelt(spelling: str) -> None:
    task = read(session_id=spelling)
    assert isinstance(task, GenerationTask)
    assert task.session_id == SESSION


def test_ten_pictures_and_the_longest_prompt_are_taken() -> None:
    url = "https://pictures.example/" + "x" * 2000
    assert isinstance(read(image_urls=[url] * 10, prompt="x" * 32_000), GenerationTask)


@pytest.mark.parametrize("character", ["人", "\\u4eba", "😀", "\\ud83d\\ude00"])
def test_the_longest_prompt_is_taken_in_any_script_and_spelling(character: str) -> None:
    task = read_task(with_text(character.encode() * 32_000))
    assert isinstance(task, GenerationTask)
    assert len(task.prompt) == 32_000


def test_a_byte_order_mark_is_passed_over() -> None:
    plain = document(B2C)
    marked = codecs.BOM_UTF8 + plain
    assert read_task(marked) == read_task(plain)
    assert isinstance(read_task(plain), GenerationTask)
    assert session_id_of(marked) == SESSION


@pytest.mark.parametrize(
    "spelling", ["20261124T120000Z", "2026-11-24T12:00:00.000Z", "2026-11-24 12:00+00", "2026-W48-2T12Z"]
)
def test_every_spelling_of_iso_8601_is_a_time(spelling: str) -> None:
    task = read(created_at=spelling)
    assert isinstance(task, GenerationTask)
    assert task.created_at == datetime(2026, 11, 24, 12, tzinfo=UTC)


BAD_FIELDS: list[tuple[str, dict[str, Any], str]] = [
    ("no task", {"task_id": MISSING}, "task_id: Field required"),
    ("task is null", {"task_id": None}, "task_id: Field required"),
    ("task is a number", {"task_id": 7}, "task_id: Input should be a valid string"),
    ("task is no uuid", {"task_id": "seven"}, "task_id: badly formed"),
    ("no pictures", {"image_urls": []}, "image_urls: "),
    ("pictures missing", {"image_urls": MISSING}, "image_urls: Field required"),
    ("eleven pictures", {"image_urls": ["https://a/1"] * 11}, "image_urls: "),
    ("pictures are text", {"image_urls": "https://a/1"}, "image_urls: "),
    ("pictures are an object", {"image_urls": {"0": "https://a/1"}}, "image_urls: "),
    ("a picture is null", {"image_urls": ["https://a/1", None]}, "image_urls.1: "),
    ("a picture is empty", {"image_urls": [""]}, "image_urls.0: "),
    ("a picture is endless", {"image_urls": ["x" * 4097]}, "image_urls.0: "),
    ("a picture has a NUL", {"image_urls": ["https://a/\0"]}, "image_urls.0: contains a NUL"),
    ("prompt is a list", {"prompt": ["x"]}, "prompt: "),
    ("prompt too long", {"prompt": "x" * 32_001}, "prompt: "),
    ("request id is a number", {"request_id": 5}, "request_id: "),
    ("request id too long", {"request_id": "r" * 201}, "request_id: "),
    ("version 2", {"version": 2}, "version 2 is not known"),
    ("version 0", {"version": 0}, "version 0 is not known"),
    ("version true", {"version": True}, "version: "),
    ("version as text", {"version": "1"}, "version: "),
    ("version 1.0", {"version": 1.0}, "version: "),
    ("version huge", {"version": 10**4000}, "version 1000"),
    ("created some day", {"created_at": "yesterday"}, "created_at: "),
    ("store is no uuid", {"store_id": "shop"}, "store_id: "),
]


@pytest.mark.parametrize(("changes", "reason"), [case[1:] for case in BAD_FIELDS], ids=[case[0] for case in BAD_FIELDS])
def test_a_bad_field_is_named_and_so_is_the_session_that_waits(changes: dict[str, Any], reason: str) -> None:
    rejected = read(**changes)
    assert isinstance(rejected, Rejected)
    assert reason in rejected.reason
    assert len(rejected.reason) <= 500
    assert rejected.ref == B2C
    if "request_id" not in changes:
        assert rejected.request_id == "req_test"


NAMELESS: list[tuple[str, dict[str, Any], str]] = [
    ("no channel", {"channel": MISSING}, "channel: Field required"),
    ("unknown channel", {"channel": "b2x"}, "channel: Input should be"),
    ("channel is a list", {"channel": ["b2c"]}, "channel: "),
    ("channel is true", {"channel": True}, "channel: "),
    ("no session", {"session_id": MISSING}, "session_id: Field required"),
    ("session is null", {"session_id": None}, "session_id: Field required"),
    ("session is a number", {"session_id": 12}, "session_id: "),
    ("session is no uuid", {"session_id": "../../etc/passwd"}, "session_id: badly formed"),
    ("session is an object", {"session_id": {}}, "session_id: "),
    ("no owner", {"user_id": MISSING}, "user_id is required for b2c"),
    ("owner is null", {"user_id": None}, "user_id is required for b2c"),
    ("owner is true", {"user_id": True}, "user_id: "),
    ("the other channel's owner", {"user_id": MISSING, "store_id": OWNER}, "user_id is required for b2c"),
]


@pytest.mark.parametrize(("changes", "reason"), [case[1:] for case in NAMELESS], ids=[case[0] for case in NAMELESS])
def test_without_channel_owner_and_session_nobodys_session_is_named(changes: dict[str, Any], reason: str) -> None:
    rejected = read(**changes)
    assert isinstance(rejected, Rejected)
    assert reason in rejected.reason
    assert rejected.ref is None
    assert rejected.request_id == "req_test"


def test_a_store_is_required_for_b2b() -> None:
    rejected = read(B2B, store_id=MISSING, user_id=OWNER)
    assert isinstance(rejected, Rejected)
    assert rejected.reason == "store_id is required for b2b"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b'{"a":"\\ud83d"',
        b'{"a":"\xff","b":' + b"[" * 60_000,
        b"\0",
        b"{'a': 1}",
        b"[" * 60_000,
        b"1" * 5000,
        b'{"a":NaN}',
        b"\x80\x04K\x01.",
    ],
    ids=[
        "nothing",
        "half",
        "utf-16",
        "half with half an emoji",
        "deep with broken UTF-8",
        "NUL",
        "python",
        "deep",
        "digits",
        "NaN",
        "pickle",
    ],
)
def test_what_is_not_json_is_said_to_be_that(data: bytes) -> None:
    rejected = read_task(data)
    assert isinstance(rejected, Rejected)
    assert rejected.reason.startswith("not JSON")
    assert rejected.ref is None


@pytest.mark.parametrize("data", [b"[]", b"null", b'"task"', b"7", b"true"])
def test_json_that_is_no_object_is_said_to_be_that(data: bytes) -> None:
    assert read_task(data) == Rejected("not a JSON object")


def with_text(text: bytes) -> bytes:
    """A good document whose prompt is replaced by raw bytes."""
    return document(B2C, prompt="@@").replace(b"@@", text)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (with_text(b"\\ud83d")[:-1] + b', "score": NaN}', "not JSON"),
        (document(B2C)[:-1] + b', "score": NaN}', "not JSON"),
        (document(B2C)[:-1] + b', "deep": ' + b"[" * 300 + b"]" * 300 + b"}", "not JSON"),
        (document(B2C)[:-1] + b', "number": ' + b"9" * 5000 + b"}", "not JSON"),
        (with_text("人".encode() * 200_000), f"larger than {MAX_DOCUMENT_BYTES} bytes"),
    ],
    ids=[
        "half a pair and NaN",
        "NaN",
        "nested",
        "endless number",
        "too large",
    ],
)
def test_a_document_that_cannot_be_read_still_names_its_session(data: bytes, reason: str) -> None:
    rejected = read_task(data)
    assert isinstance(rejected, Rejected)
    assert rejected.reason.startswith(reason)
    assert rejected.ref == B2C
    assert rejected.request_id == "req_test"


@pytest.mark.parametrize(
    ("text", "prompt"),
    [
        (b"summer look \\ud83d", "summer look \ufffd"),  # what JSON.stringify makes of half an emoji
        (b"\\ude00 summer \\uD83D look", "\ufffd summer \ufffd look"),
        (b"\\ud83d\\ud83d\\ude00", "\ufffd\U0001f600"),
        (b"\\ud83d\\ude00\\ud83d", "\U0001f600\ufffd"),
        (b"\\\\ud83d \\ud83d", "\\ud83d \ufffd"),
        (b"look \xed\xa0\xbd", "look \ufffd\ufffd\ufffd"),
        (b"caf\xe9", "caf\ufffd"),
        (b"a\\u0000b", "ab"),
        (b"a\x00b", "ab"),
        (b"two\nlines", "two\nlines"),
    ],
    ids=["cut", "halves", "half before a pair", "half after a pair", "escaped", "UTF-8", "Latin-1", "NUL", "raw NUL",
         "line end"],
)  # fmt: skip
def test_a_prompt_with_broken_characters_is_used(text: bytes, prompt: str) -> None:
    task = read_task(with_text(text))
    assert isinstance(task, GenerationTask)
    assert task.prompt == prompt
    assert check_task(json.loads(json.dumps(task.model_dump(mode="json")))) == task
    task.model_dump_json().encode()


@pytest.mark.parametrize(
    "name", ["request_id", "image_urls", "traceparent", "a field of a newer producer", "\ud83d", "deep"]
)
def test_half_an_emoji_in_any_field_does_not_cost_the_task(name: str) -> None:
    half: Any = {"image_urls": ["https://a/\ud83d", "https://a/2"], "deep": [{"er": "\ud83d"}]}.get(name, "x\ud83d")
    task = read(**{name: half})
    assert isinstance(task, GenerationTask)
    task.model_dump_json().encode()


def test_half_an_emoji_in_an_id_is_an_id_that_is_none() -> None:
    rejected = read(task_id="\ud83d")
    assert isinstance(rejected, Rejected)
    assert rejected.ref == B2C
    rejected.reason.encode()


def test_a_monster_is_not_even_looked_through() -> None:
    rejected = read_task(with_text(b"x" * MAX_LENIENT_BYTES))
    assert rejected == Rejected(f"larger than {MAX_DOCUMENT_BYTES} bytes")


def test_the_last_of_two_equal_keys_counts_in_every_reader() -> None:
    data = document(B2C)[:-1] + b', "session_id": "11111111-9d3f-4f43-9c7e-3d8a2f0d6c11"}'
    task = read_task(data)
    assert isinstance(task, GenerationTask)
    assert task.session_id == session_id_of(data)


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (json.dumps({"session_id": SESSION.upper()}).encode(), SESSION),
        (json.dumps({"session_id": "{" + SESSION + "}", "version": 99}).encode(), SESSION),
        (b'{"session_id": "' + SESSION.encode() + b'", "prompt": "\xff"}', SESSION),
        (b'{"session_id": 7}', None),
        (b'{"session_id": null}', None),
        (b'{"session_id": "mine"}', None),
        (b'["session_id"]', None),
        (b"nothing", None),
        (b"[" * 100_000, None),
    ],
)
def test_the_session_of_any_document(data: bytes, found: str | None) -> None:
    assert session_id_of(data) == found


@given(st.binary(max_size=2000))
def test_no_bytes_are_too_much(data: bytes) -> None:
    assert isinstance(read_task(data), Rejected)
    session_id_of(data)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@settings(max_examples=examples(0.5))
@given(st.dictionaries(st.sampled_from(sorted(task_fields(B2B, user_id=OWNER))), json_values))
def test_no_json_is_too_much(changes: dict[str, Any]) -> None:
    data = json.dumps(fields(B2C, **changes)).encode()
    task = read_task(data)
    assert task.ref is None or isinstance(task.ref, SessionRef)
    json.dumps(task.request_id).encode()
    if isinstance(task, Rejected):
        assert task.reason


# Not in year 1 or 9999, where the same moment has no year in another zone.
a_moment = st.datetimes(timezones=st.none() | st.timezones()).filter(lambda moment: 1 < moment.year < 9999)
good_text = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=200)


@settings(max_examples=examples(0.5))
@given(
    st.sampled_from([B2C, B2B]),
    good_text,
    st.lists(good_text.filter(bool), min_size=1, max_size=10),
    st.none() | a_moment,
)
def test_a_task_survives_its_way_through_the_job_queue(
    ref: SessionRef, text: str, urls: list[str], moment: datetime | None
) -> None:
    task = read(ref, prompt=text, request_id=text, image_urls=urls, created_at=moment and moment.isoformat())
    assert isinstance(task, GenerationTask)
    assert check_task(json.loads(json.dumps(task.model_dump(mode="json")))) == task
