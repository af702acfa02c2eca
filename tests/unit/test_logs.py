"""What a log line looks like, and what never stands in one."""

import json
import logging
from collections.abc import Iterator

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from wearon.logs import MAX_KEPT_BYTES, MAX_KEPT_LINES, OTHER_LOGGERS, Redaction, configure_logs, keep_lines


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
