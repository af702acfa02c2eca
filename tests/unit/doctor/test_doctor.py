"""Checks run side by side, and none takes the others down with it."""

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from wearon.doctor import Check, Finding, Level, Promise, diagnose, run_checks
from wearon.doctor.findings import ok
from wearon.settings import Settings, inspect_settings

Findings = AsyncGenerator[Finding, None]


def check(name: str, examine: object, limit_s: float = 60.0) -> Check:
    return Check(name, examine, limit_s, Promise.PAID_ONCE)  # type: ignore[arg-type]


async def run(*checks: Check) -> list[Finding]:
    return await run_checks(checks, lambda _: None)


async def test_all_at_once_and_told_in_order() -> None:
    second_has_begun = asyncio.Event()

    async def first() -> Findings:
        await second_has_begun.wait()
        yield ok("first", "done")

    async def second() -> Findings:
        second_has_begun.set()
        yield ok("second", "done")

    assert [found.check for found in await run(check("first", first), check("second", second))] == ["first", "second"]


async def test_one_that_hangs_keeps_what_it_found_and_is_a_fault() -> None:
    async def hang() -> Findings:
        yield ok("disk", "there")
        await asyncio.Event().wait()

    first, second = await run(check("disk", hang, limit_s=0.05))
    assert first.level is Level.OK
    assert (second.check, second.level, second.breaks) == ("disk", Level.FAULT, Promise.PAID_ONCE)


async def test_one_that_crashes_is_a_fault_with_its_reason() -> None:
    async def crash() -> Findings:
        yield ok("disk", "there")
        raise ZeroDivisionError("too small")

    async def fine() -> Findings:
        yield ok("other", "done")

    _, crashed, other = await run(check("disk", crash), check("other", fine))
    assert (crashed.level, other.level) == (Level.FAULT, Level.OK)
    assert "ZeroDivisionError: too small" in crashed.message


async def test_progress_names_what_still_runs() -> None:
    async def fine() -> Findings:
        yield ok("x", "done")

    told: list[list[str]] = []
    await run_checks([check("a", fine), check("b", fine)], lambda names: told.append(list(names)))
    assert told[0] == ["a", "b"]
    assert told[-1] == []


async def test_secrets_do_not_show_in_what_was_found(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(_env_file=None, wearon_mode="local", api_token="a-secret-token")

    async def leak() -> Findings:
        yield ok("x", "the key a-secret-token of me@example.com")

    async def only_this(*_: object) -> list[Check]:
        return [check("x", leak)]

    monkeypatch.setattr("wearon.doctor.doctor.checks_of", only_this)
    diagnosis = await diagnose(settings, [], {})
    assert "a-secret-token" not in repr(diagnosis)
    assert "me@example.com" not in repr(diagnosis)


@pytest.mark.parametrize(
    ("variables", "mode", "kept", "problems"),
    [
        ({}, "local", {}, []),
        ({"OPENAI_API_KEY": "sk-x"}, "production", {"openai_base_url": "https://api.openai.com/v1"}, ["REDIS_URL"]),
        ({"WEARON_MODE": "lokal", "PORT": "8100"}, "local", {"port": 8100}, ["WEARON_MODE"]),
        (
            {"SUPABASE_URL": "ftp://x", "REDIS_URL": "redis://there:1", "PORT": "99999", "OPENAI_MAX_RETRIES": "many"},
            "production",
            {"redis_url": "redis://there:1", "supabase_url": None, "port": 8000, "openai_max_retries": 3},
            ["SUPABASE_URL", "PORT", "OPENAI_MAX_RETRIES", "OPENAI_API_KEY"],
        ),
    ],
)
def test_wrong_settings_leave_the_right_ones_to_work_with(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    variables: dict[str, str],
    mode: str,
    kept: dict[str, object],
    problems: list[str],
) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.chdir(tmp_path)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    settings, told = inspect_settings()
    assert settings.wearon_mode == mode
    assert {name: getattr(settings, name) for name in kept} == kept
    for name in problems:
        assert any(name in line for line in told), (name, told)
