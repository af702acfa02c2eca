"""`wearon status` and `wearon session` as people and scripts use them."""

import json
import os
import pty
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.machines import Machines
from support.openai_stub import MODERATION, OpenAIStub
from support.processes import INHERITED, run_wearon, wait_until
from support.shop import Shop

pytestmark = pytest.mark.slow


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "wearon", *arguments]


def environment(env: Mapping[str, str]) -> dict[str, str]:
    return {**{name: os.environ[name] for name in INHERITED if name in os.environ}, "TERM": "xterm-256color", **env}


def run(env: Mapping[str, str], cwd: Path, *arguments: str, expect: int = 0) -> str:
    done = run_wearon(*arguments, env={"TERM": "xterm-256color", **env}, cwd=cwd)
    assert done.returncode == expect, done.stderr
    return done.stdout if expect == 0 else done.stdout + done.stderr


@contextmanager
def on_a_terminal(
    env: Mapping[str, str], cwd: Path, *arguments: str
) -> Iterator[tuple["subprocess.Popen[bytes]", list[bytes]]]:
    """The process, and what its terminal has been sent so far."""
    ours, theirs = pty.openpty()
    seen: list[bytes] = []
    process = subprocess.Popen(
        command(*arguments), env=environment(env), cwd=cwd, stdin=theirs, stdout=theirs, stderr=theirs,
        start_new_session=True,
        # As a shell on a terminal does it: tests that run in the background may have been told to ignore Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    os.close(theirs)

    def read() -> None:
        try:
            while piece := os.read(ours, 65536):
                seen.append(piece)
        except OSError:  # how a terminal says that nobody is there any more
            return

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        yield process, seen
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        reader.join()
        os.close(ours)


def test_status_once_and_as_json(
    shop: Shop, machines: Machines, production_env: dict[str, str], tmp_path: Path
) -> None:
    machines.serve("--no-api", "--no-consumer")
    shop.push_raw("{}")
    shop.push_raw("{}")
    now = json.loads(run(production_env, tmp_path, "status", "--json"))
    assert now["mode"] == "production"
    assert now["queues"]["tasks"] == 2
    assert len(now["last_hour"]) == 60
    text = run(production_env, tmp_path, "status", "--once")
    assert "2 tasks" in text
    assert run(production_env, tmp_path, "status").count("waiting") == 1, "into a pipe it is printed once"


def test_status_is_live_on_a_terminal_until_ctrl_c(shop: Shop, production_env: dict[str, str], tmp_path: Path) -> None:
    with on_a_terminal(production_env, tmp_path, "status") as (process, seen):

        def is_shown(text: str) -> bool | None:
            return text.encode() in b"".join(seen) or None

        wait_until(lambda: is_shown("0 tasks"), lambda: repr(seen))
        shop.push_raw("{}")
        wait_until(lambda: is_shown("1 task,"), lambda: repr(seen))
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
        assert not is_shown("Traceback")
        assert not is_shown("Aborted")


def test_status_of_a_redis_that_is_away(production_env: dict[str, str], tmp_path: Path) -> None:
    env = {**production_env, "REDIS_URL": "redis://127.0.0.1:1"}
    text = run(env, tmp_path, "status", "--once", expect=1)
    assert "degraded" in text
    assert "Redis does not answer" in text
    assert json.loads(run(env, tmp_path, "status", "--json", expect=1).partition("Error:")[0])["queues"] is None


def test_whoever_reads_one_line_is_not_bothered(production_env: dict[str, str], tmp_path: Path) -> None:
    done = subprocess.run(
        ["sh", "-c", f"{shlex.join(command('status', '--json'))} | head -n 1"],
        env=environment(production_env),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.stdout, done.stderr) == ("{\n", "")


def test_a_session_says_why_it_failed_and_where_the_credit_is(
    shop: Shop, machines: Machines, openai: OpenAIStub, production_env: dict[str, str], tmp_path: Path
) -> None:
    openai.always(MODERATION)
    order = shop.buy()
    machines.serve("--no-api")
    shop.push(order)
    shop.wait_for_end(order)
    shop.wait_until_settled()
    shop.check_books(order)

    story = json.loads(run(production_env, tmp_path, "session", order.session_id, "--json"))
    assert story["session"]["status"] == "failed"
    assert story["refund"]["state"] == "given_back"
    text = run(production_env, tmp_path, "session", order.session_id)
    assert "safety filter" in text
    assert "given back" in text
    assert "there is no session" in run(production_env, tmp_path, "session", "nothing-like-it", expect=1)
