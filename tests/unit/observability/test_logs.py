"""What a log line looks like, and what never stands in one."""

import io
import json
import logging
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from wearon.observability.kept_lines import MAX_KEPT_BYTES, MAX_KEPT_LINES, keep_lines
from wearon.observability.logging import OTHER_LOGGERS, configure_logs
from wearon.observability.redaction import Redaction


@pytest.fixture(autouse=True)
def _restore_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    others = {name: (logging.getLogger(name).level, logging.getLogger(name).propagate) for name in OTHER_LOGGERS}
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, (other_level, propagate) in others.items():
        logging.getLogger(name).setLevel(other_level)
        logging.getLogger(name).propagate = propagate
    logging.captureWarnings(capture=False)
    structlog.reset_defaults()


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_our_lines_and_those_of_libraries_come_out_of_one_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("info", "json")
    with structlog.contextvars.bound_contextvars(request_id="req_1", session_id="s", channel="b2c"):
        structlog.get_logger("wearon.x").info("step done", step="upload", ms=12)
        logging.getLogger("arq.worker").warning("job %s is odd", "j1")
    ours, theirs = lines(capsys)
    assert ours["event"] == "step done"
    assert (ours["step"], ours["ms"], ours["level"], ours["request_id"]) == ("upload", 12, "info", "req_1")
    assert theirs["event"] == "job j1 is odd"
    assert (theirs["logger"], theirs["level"], theirs["session_id"]) == ("arq.worker", "warning", "s")


def test_secrets_tokens_and_addresses_are_taken_out_wherever_they_stand(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("info", "json", secrets=["sk-secret"])
    url = "https://p.supabase.co/storage/v1/object/sign/b/x.jpg?token=eyJhbGciOi"
    try:
        raise ValueError(f"could not fetch {url} with sk-secret for jane.doe+x@example.co.uk")
    except ValueError:
        structlog.get_logger().exception("failed", url=url, nested={"urls": [url]}, redis="redis://u:pw@host:1/0")
    (line,) = lines(capsys)
    text = json.dumps(line)
    assert "https://p.supabase.co/storage/v1/object/sign/b/x.jpg?***" in text
    for hidden in ("eyJhbGciOi", "sk-secret", "jane", "example.co.uk", "pw@"):
        assert hidden not in text
    assert "ValueError" in text


SECRET = 'sk-"quoted"-and-long'
HIDDEN = (SECRET, "eyJhbGciOiJIUzI1NiJ9.eyJ1cmwiOiJ4In0.c2ln", "jane.doe@example.com")

harmless = st.text(st.sampled_from("ab .,/:?#\"'\\\n\u20ac\U0001f600"), max_size=12)


def with_something_hidden(hidden: str) -> st.SearchStrategy[object]:
    class Thing:
        def __init__(self, text: str) -> None:
            self.text = text

        def __str__(self) -> str:
            return self.text

    text = st.builds("{} {} {}".format, harmless, st.just(hidden), harmless)
    leaf = text | text.map(str.encode) | text.map(ValueError) | text.map(Thing)
    others = harmless | st.integers() | st.floats() | st.none() | st.booleans()
    return st.recursive(
        leaf,
        lambda inner: (
            st.tuples(others, inner)
            | st.lists(inner, min_size=1, max_size=3)
            | st.builds(lambda key, value, other: {key: value, "other": other}, others, inner, others)
            | st.builds(lambda key: {key: 1}, text | text.map(str.encode) | st.tuples(text))
        ),
        max_leaves=4,
    )


@given(data=st.data(), hidden=st.sampled_from(HIDDEN), kept=st.booleans(), console=st.booleans())
def test_nothing_hidden_survives_at_any_place_of_a_line(
    data: st.DataObject, hidden: str, kept: bool, console: bool
) -> None:
    written = io.StringIO()
    with mock.patch("sys.stderr", written):
        configure_logs("info", "console" if console else "json", ["sk-shorter", SECRET])
    value = data.draw(with_something_hidden(hidden))
    log = structlog.get_logger("wearon.x")
    with keep_lines() as lines_kept, structlog.contextvars.bound_contextvars(bound=value if kept else "x"):
        log.info("said", number=1, value=value)
        log.info(f"{hidden} first", exc_info=ValueError(f"of {hidden}"))
        logging.getLogger("lib").warning("said %s", value)
    assert len(lines_kept.lines) == 3
    for text in (written.getvalue(), *(str(line.fields) + line.event for line in lines_kept.lines)):
        assert hidden not in text
        assert json.dumps(hidden)[1:-1] not in text


def test_of_a_secret_within_another_one_nothing_stays() -> None:
    cleaned = Redaction(["sk-secret", "sk-secret-of-2026"]).clean_text("with sk-secret-of-2026 and sk-secret")
    assert cleaned == "with *** and ***"


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("a@b.c%x@d.e", "***@******@***"),
        ("redis://u:p@h:1/0 x://a:b@c", "redis://***@h:1/0 x://***@c"),
        ("HTTPS://h/x?y=1 http://h#f https://h/plain", "HTTPS://h/x?*** http://h?*** https://h/plain"),
        ("eyJshort.x eyJabcdefgh.x.y eyJabcdefgh", "eyJshort.x *** eyJabcdefgh"),
        ("@", "@"),
    ],
)
def test_what_is_taken_out_of_a_text(text: str, cleaned: str) -> None:
    assert Redaction(()).clean_text(text) == cleaned


@pytest.mark.parametrize("piece", ["a", "https://", "eyJ", "a.", "a@", "eyJabcdefgh.", "x://", "x://y:"])
def test_a_long_text_made_to_be_slow_is_cleaned_like_any_other(piece: str) -> None:
    """In time proportional to its length: with patterns that start anew at every character, this takes an hour."""
    text = f"@ :// {piece * (1_000_000 // len(piece))} https://host/x?token=T0K"
    assert "T0K" not in Redaction(()).clean_text(text)


def test_our_lines_and_those_of_libraries_have_their_fields_in_one_order(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("info", "json")
    with structlog.contextvars.bound_contextvars(request_id="req_1"):
        structlog.get_logger("wearon.x").info("ours")
        logging.getLogger("lib").warning("theirs")
    for line in lines(capsys):
        assert list(line) == ["event", "request_id", "level", "logger", "timestamp"]
        assert str(line["timestamp"]).endswith("Z")


def test_what_a_line_says_goes_before_what_is_bound(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("info", "json")
    with structlog.contextvars.bound_contextvars(request_id="bound", gone="x"):
        structlog.contextvars.unbind_contextvars("gone")
        structlog.get_logger().info("said %d", 1, request_id="own")
    (line,) = lines(capsys)
    assert (line["event"], line["request_id"], line["logger"]) == ("said 1", "own", __name__)
    assert "gone" not in line


@pytest.mark.parametrize("for_good", [True, False])
def test_below_the_level_nothing_is_said(capsys: pytest.CaptureFixture[str], for_good: bool) -> None:
    configure_logs("warning", "json", for_good=for_good)
    log = structlog.get_logger("wearon.x")
    for method in ("debug", "info", "warning", "error", "critical"):
        getattr(log, method)(method)
    assert [(line["event"], line["level"]) for line in lines(capsys)] == [
        (level, level) for level in ("warning", "error", "critical")
    ]


def test_the_level_of_one_module_can_be_set_on_its_own(
    capsys: pytest.CaptureFixture[str], request: pytest.FixtureRequest
) -> None:
    configure_logs("warning", "json")
    module = logging.getLogger("wearon.x")
    request.addfinalizer(lambda: module.setLevel(logging.NOTSET))
    module.setLevel(logging.DEBUG)
    structlog.get_logger("wearon.x").debug("said")
    structlog.get_logger("wearon.y").info("not said")
    assert [line["event"] for line in lines(capsys)] == ["said"]


def test_a_value_that_cannot_be_written_costs_its_line_only(capsys: pytest.CaptureFixture[str]) -> None:
    class Mute:
        def __str__(self) -> str:
            raise RuntimeError("sk-secret")

    endless: dict[str, object] = {}
    endless["again"] = endless
    configure_logs("info", "json", ["sk-secret"])
    for value in (Mute(), {Mute(): 1}, endless):
        structlog.get_logger().error("failed for sk-secret", value=value, session_id="s")
    for line, why in zip(lines(capsys), ("RuntimeError", "RuntimeError", "RecursionError"), strict=True):
        assert (line["event"], line["session_id"], line["not_logged"]) == ("failed for ***", "s", why)


def test_arguments_that_do_not_fit_a_librarys_line_do_not_pass_the_redaction(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure_logs("info", "json", ["sk-secret"])
    logging.getLogger("lib").warning("%d left", "sk-secret")
    (line,) = lines(capsys)
    assert (line["logger"], line["level"]) == ("lib", "error")
    assert "test_logs.py" in str(line["event"])
    assert "sk-secret" not in str(line)


def test_a_stream_that_is_gone_costs_no_job(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    configure_logs("info", "json")
    stream.close()
    structlog.get_logger().info("into nothing")
    logging.getLogger("lib").warning("into nothing")


def test_lines_of_threads_come_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "lines"
    with path.open("w", buffering=1) as stream:
        monkeypatch.setattr(sys, "stderr", stream)
        configure_logs("info", "json")

        def speak(number: int) -> None:
            for count in range(50):
                structlog.get_logger("wearon.x").info("ours", number=number, count=count, long="x" * 10_000)
                logging.getLogger("lib").warning("theirs %s", "y" * 10_000)

        threads = [threading.Thread(target=speak, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    written = [json.loads(line) for line in path.read_text().splitlines()]
    ours = {(line["number"], line["count"]) for line in written if line["event"] == "ours"}
    assert (len(written), len(ours)) == (400, 200)


def test_a_signed_token_is_taken_out_without_its_url_too(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("info", "json", secrets=["sk-secret"])
    token = "eyJhbGciOiJIUzI1NiJ9.eyJ1cmwiOiJ4In0.c2lnbmF0dXJl"  # no real one
    structlog.get_logger().info("odd answer", path=f"/object/sign/b/x.jpg?token={token}", seen={"sk-secret": 1})
    (line,) = lines(capsys)
    assert line["path"] == "/object/sign/b/x.jpg?token=***"
    assert line["seen"] == {"***": 1}


def test_quiet_loggers_speak_only_when_something_is_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("info", "json")
    logging.getLogger("httpx").info("HTTP Request: GET https://x/y?token=z")
    logging.getLogger("httpx").warning("odd")
    assert [line["event"] for line in lines(capsys)] == ["odd"]


def test_a_terminal_gets_readable_lines(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("info", "console")
    structlog.get_logger().info("task taken", session_id="s1")
    printed = capsys.readouterr().err
    assert "task taken" in printed
    assert "session_id" in printed
    assert not printed.startswith("{")


@given(path=st.from_regex(r"[a-z0-9/._-]{0,30}", fullmatch=True), token=st.from_regex(r"[A-Za-z0-9_=.-]{8,40}"))
def test_no_query_survives(path: str, token: str) -> None:
    cleaned = Redaction(()).clean_text(f"see https://host.example/{path}?token=T0K{token} now")
    assert "T0K" not in cleaned
    assert cleaned.endswith("now")


def test_lines_are_kept_within_the_block_redacted_and_without_what_is_said_elsewhere() -> None:
    configure_logs("info", "json", secrets=["sk-secret"])
    log = structlog.get_logger("wearon.x")
    log.info("before")
    with keep_lines() as kept, structlog.contextvars.bound_contextvars(request_id="req_1", session_id="s"):
        log.warning("failed", why="sk-secret of ann@example.com", size=12)
        logging.getLogger("arq.worker").warning("job %s is odd", "j1")
        log.debug("too low")
    log.info("after")
    ours, theirs = kept.lines
    assert (ours.level, ours.event, ours.fields) == ("warning", "failed", {"why": "*** of ***@***", "size": "12"})
    assert theirs.event == "job j1 is odd"


def test_what_is_kept_is_bounded_and_the_newest() -> None:
    configure_logs("info", "json")
    log = structlog.get_logger("wearon.x")
    with keep_lines() as kept:
        for number in range(MAX_KEPT_LINES * 3):
            log.info(f"line {number}")
        assert len(kept.lines) == MAX_KEPT_LINES
        assert kept.lines[-1].event == f"line {MAX_KEPT_LINES * 3 - 1}"
        for _ in range(MAX_KEPT_LINES):
            log.info("x" * 10_000, **{f"field_{number}": "y" * 10_000 for number in range(5)})
        assert sum(line.size for line in kept.lines) <= MAX_KEPT_BYTES


def test_of_a_traceback_the_end_is_kept() -> None:
    configure_logs("info", "json")
    with keep_lines() as kept:
        try:
            raise ValueError("x" * 5000 + " the point")
        except ValueError:
            structlog.get_logger("wearon.x").exception("failed")
    assert kept.lines[0].fields["exception"].endswith("the point")
