"""Runs all checks of a mode side by side, each with its own time limit."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
from redis.exceptions import RedisError

from wearon.app.base import find_redis_url
from wearon.doctor import machine
from wearon.doctor.access import check_access
from wearon.doctor.findings import Finding, Level, Promise, fault
from wearon.doctor.openai import check_openai
from wearon.doctor.redis import check_redis
from wearon.doctor.supabase import REQUEST_S, SupabaseDoctor
from wearon.net.tls import trusting
from wearon.net.whole_answers import asking
from wearon.observability.redaction import Redaction
from wearon.settings import Mode, Settings

NETWORK_LIMIT_S = 20.0
"""For one service: name, connection and answers take well under a second, three lost packets some more."""

MACHINE_LIMIT_S = 10.0
"""A disk that needs longer for a megabyte is not well."""

POSE_LIMIT_S = 60.0
"""Loading the model takes 2 to 5 s, from a cold disk much longer."""

Examine = Callable[[], AsyncGenerator[Finding, None]]


@dataclass(frozen=True, slots=True)
class Check:
    """One check. `breaks` is the promise that is in doubt when the check cannot be made."""

    name: str
    examine: Examine
    limit_s: float
    breaks: Promise


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """All findings, in the order of the checks."""

    mode: Mode
    findings: Sequence[Finding]

    @property
    def level(self) -> Level:
        """The level of the worst finding."""
        levels = {finding.level for finding in self.findings}
        return next(level for level in (Level.FAULT, Level.WARNING, Level.OK) if level in levels | {Level.OK})


async def diagnose(
    settings: Settings,
    problems: Sequence[str],
    misspelt: Mapping[str, str],
    on_progress: Callable[[Sequence[str]], None] = lambda _: None,
) -> Diagnosis:
    """Check everything that these settings allow to be checked; changes nothing.

    `problems` is what was wrong with the settings, `misspelt` variables -> the settings that they look like.
    `on_progress` gets the names of the checks that still run.
    """
    async with AsyncExitStack() as stack:
        checks = await checks_of(stack, settings)
        found = await run_checks(checks, on_progress)
    clean = Redaction(settings.secrets).clean_text
    cleaned = [replace(finding, message=clean(finding.message)) for finding in found]
    ours = [*machine.check_settings(settings, problems, misspelt), *check_access(settings)]
    return Diagnosis(settings.wearon_mode, [*ours, *cleaned])


async def checks_of(stack: AsyncExitStack, settings: Settings) -> list[Check]:
    """The checks of this mode, as far as the settings name what to check."""
    if settings.wearon_mode is Mode.LOCAL:
        services = await _local_checks(settings)
    else:
        services = await _production_checks(stack, settings)
    spool, concurrency, model = settings.spool_folder, settings.worker_concurrency, settings.pose_model_path
    return [
        *services,
        Check("pose model", lambda: machine.check_pose_model(model), POSE_LIMIT_S, Promise.SIZES_ALWAYS),
        Check("spool", lambda: machine.check_spool(spool, concurrency), MACHINE_LIMIT_S, Promise.PAID_ONCE),
        Check(
            "descriptors",
            lambda: machine.check_descriptors(concurrency),
            MACHINE_LIMIT_S,
            Promise.SIZES_ALWAYS,
        ),
        Check("port", lambda: machine.check_port(settings.host, settings.port), MACHINE_LIMIT_S, Promise.SIZES_ALWAYS),
    ]


async def run_checks(checks: Sequence[Check], on_progress: Callable[[Sequence[str]], None]) -> list[Finding]:
    """Run all checks at once, and return their findings in the order of the checks."""
    under_way = [check.name for check in checks]

    async def run(check: Check) -> list[Finding]:
        found = await _run(check)
        under_way.remove(check.name)
        on_progress(under_way)
        return found

    on_progress(under_way)
    return [finding for found in await asyncio.gather(*map(run, checks)) for finding in found]


async def _run(check: Check) -> list[Finding]:
    """Run one check. One that takes too long or crashes keeps what it has found, and is a fault."""
    found: list[Finding] = []
    try:
        async with asyncio.timeout(check.limit_s), aclosing(check.examine()) as findings:
            async for finding in findings:
                found.append(finding)  # noqa: PERF401 (what has been found must outlive a crash)
    except TimeoutError:
        found.append(fault(check.name, f"no answer within {check.limit_s:g} s", "see whether it hangs", check.breaks))
    except (httpx.HTTPError, RedisError, OSError) as error:
        found.append(fault(check.name, f"broke off: {type(error).__name__}", "see the network between", check.breaks))
    except Exception as error:  # noqa: BLE001 (whatever it is, the other checks go on, and this one is a fault)
        reason = f"the check itself failed: {type(error).__name__}: {error}"
        found.append(fault(check.name, reason, "check it yourself; this is a fault of the doctor, too", check.breaks))
    return found


async def _local_checks(settings: Settings) -> list[Check]:
    url = await find_redis_url(settings)
    redis = (lambda: check_redis(url)) if url else machine.check_local_redis
    home: Path = settings.wearon_home
    return [
        Check("redis", redis, NETWORK_LIMIT_S, Promise.EVERY_TASK_ENDS),
        Check("sessions", lambda: machine.check_local_platform(home), MACHINE_LIMIT_S, Promise.EVERY_TASK_ENDS),
    ]


async def _production_checks(stack: AsyncExitStack, settings: Settings) -> list[Check]:
    checks = []
    if (redis_url := settings.redis_url) is not None:
        checks.append(Check("redis", lambda: check_redis(redis_url), NETWORK_LIMIT_S, Promise.EVERY_TASK_ENDS))
    if settings.supabase_url and settings.supabase_service_role_key:
        client = await stack.enter_async_context(asking(REQUEST_S, trusting(settings.authorities)))
        key = settings.supabase_service_role_key.get_secret_value()
        deletes = settings.retention_hours is not None
        supabase = SupabaseDoctor(settings.supabase_url, key, client, deletes_pictures=deletes)
        ends, back = Promise.EVERY_TASK_ENDS, Promise.REFUNDED_ONCE
        checks += [
            Check("supabase", supabase.check_project, NETWORK_LIMIT_S, ends),
            Check("supabase tables", supabase.check_tables, NETWORK_LIMIT_S, ends),
            Check("supabase functions", supabase.check_functions, NETWORK_LIMIT_S, back),
            Check("supabase bucket", supabase.check_bucket, NETWORK_LIMIT_S, ends),
        ]
    if settings.openai_api_key:
        key_of_openai = settings.openai_api_key.get_secret_value()
        base_url, (model, *fallbacks) = settings.openai_base_url, settings.image_models
        checks.append(
            Check(
                "openai",
                lambda: check_openai(key_of_openai, base_url, model, trusting(settings.authorities), fallbacks),
                NETWORK_LIMIT_S,
                Promise.EVERY_TASK_ENDS,
            )
        )
    return checks
