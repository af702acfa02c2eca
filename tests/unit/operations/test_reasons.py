"""Every reason that the code can write has sentences for operator, clerk and shopper."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import wearon
from wearon.operations.reasons import PICTURES, ROWS, UNKNOWN, advise
from wearon.queue.task import Rejected, read_task
from wearon.tryon import image_model
from wearon.tryon.retry_policy import INTERNAL_MESSAGE, MODERATION_MESSAGE, Reason

SOURCE = Path(wearon.__file__).parent
OTHER_PICTURE = advise(Reason.PICTURE, "picture: person: something new").headline
OTHER_TASK = advise(Reason.TASK, "something new").headline


def raised(*names: str) -> Iterator[str]:
    """The texts with which errors of these names are raised; what is not literal in them is an x."""
    for folder in ("net", "pictures"):
        for path in (SOURCE / folder).rglob("*.py"):
            constants: dict[str, object] = {
                node.targets[0].id: node.value.value
                for node in ast.parse(path.read_text()).body
                if isinstance(node, ast.Assign)
                and isinstance(node.targets[0], ast.Name)
                and isinstance(node.value, ast.Constant)
            }
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call) and ast.unparse(node.func) in names and node.args:
                    yield from texts_of(node.args[0], constants)


def texts_of(node: ast.expr, constants: dict[str, object]) -> Iterator[str]:
    if isinstance(node, ast.Constant):
        yield str(node.value)
    elif isinstance(node, ast.Name):
        yield str(constants[node.id])
    elif isinstance(node, ast.IfExp):
        yield from texts_of(node.body, constants)
        yield from texts_of(node.orelse, constants)
    elif isinstance(node, ast.JoinedStr):
        yield "".join(str(part.value) if isinstance(part, ast.Constant) else "404" for part in node.values)


def test_every_reason_for_a_picture_has_a_row_of_its_own() -> None:
    reasons = [*raised("PictureError", "FetchError"), "is truncated or damaged", "is cut off, and would take too long"]
    assert len(reasons) > 20
    for reason in reasons:
        advice = advise(Reason.PICTURE, f"picture: person: {reason}")
        assert advice.headline != OTHER_PICTURE, reason
        assert advice.shopper, reason
    origins = ast.parse((SOURCE / "net" / "origins.py").read_text())
    for node in ast.walk(origins):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "ValueError":
            (reason,) = texts_of(node.args[0], {})
            if not reason.startswith("an origin"):  # of a setting
                assert "address" in advise(Reason.PICTURE, f"picture: garment: {reason}").headline


def test_all_reasons_have_rows_and_the_last_one_fits_all() -> None:
    for reason in Reason:
        assert advise(reason, "").operator
    for rows in ROWS.values():
        assert rows[-1].phrases == ("",)
        assert len({row.advice.headline for row in rows}) == len(rows)
    assert PICTURES[-1][0] == ("",)
    for name in ("KeyRejected", "QuotaExhausted", "ModelUnavailable", "RequestRefused", "BadAnswer", "NotAsked"):
        assert hasattr(image_model, name)
        assert advise(Reason.OPENAI, f"{name}: x").headline != advise(Reason.OPENAI, "new").headline, name


@pytest.mark.parametrize(
    ("text", "headline", "shopper"),
    [
        ("person: is HEIC, which cannot be read", "The photo of the person is HEIC, which cannot be read.", "as JPEG"),
        ("garment: is larger than 10 MB", "The picture of the garment is too large a file.", "another garment"),
        ("accessory 2: is empty", "The picture of accessory 2 is an empty file.", "Leave that picture out"),
    ],
)
def test_a_picture_is_named_and_what_can_be_done_about_it(text: str, headline: str, shopper: str) -> None:
    advice = advise(Reason.PICTURE, f"picture: {text}")
    assert advice.headline == headline
    assert shopper in advice.shopper
    assert headline in advice.clerk


@pytest.mark.parametrize(
    ("document", "headline"),
    [
        (b'{"version": 7}', OTHER_TASK),  # nothing else in it is right, either
        (b"no JSON", OTHER_TASK),
        (b"x" * 600_000, "The task is larger than any task can be."),
    ],
)
def test_what_is_no_task_has_a_row(document: bytes, headline: str) -> None:
    rejected = read_task(document)
    assert isinstance(rejected, Rejected)
    assert advise(Reason.TASK, f"unusable task: {rejected.reason}").headline == headline


def test_clerks_never_repeat_the_workers_words() -> None:
    every = [row.advice for rows in ROWS.values() for row in rows] + [UNKNOWN]
    for advice in every:
        for word in ("OpenAI", "Supabase", "Redis", "worker", "token"):
            assert word not in advice.clerk + advice.shopper
    assert advise(Reason.MODERATION, "").clerk not in (MODERATION_MESSAGE, INTERNAL_MESSAGE)
