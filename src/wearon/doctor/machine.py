"""Checks of this machine: spool and its disk, descriptors, port, pose model, local mode's own Redis and SQLite."""

import asyncio
import os
import shutil
import sqlite3
import subprocess
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from tempfile import NamedTemporaryFile

import httpx

from wearon.doctor.findings import Finding, Promise, fault, ok, warning
from wearon.local.home import object_to
from wearon.local.redis_binary import LocalRedisError, has_known_fault, server_binary
from wearon.metrics import Metrics
from wearon.net.listening import listen, url_at
from wearon.net.whole_answers import asking
from wearon.platform.session_rows import SESSION_TABLES
from wearon.pose.pool import PoseError, PosePool
from wearon.resources.descriptors import MOST_HTTP, Budget, divide, limit_after_raising
from wearon.samples import MAN_L
from wearon.settings import LEAST_RETENTION_HOURS, Mode, Settings
from wearon.sizing import EstimateRequest, NoPerson, estimate_size

PAID_ANSWER_MB = 8
"""What one picture under way puts on the disk: its answer (4 MB of base64) and the picture, doubled."""

LEAST_FREE_MB = 100

COMFORT = 10
"""A warning comes when less than this many times the needed space is free: logs and Redis use disks, too."""

FORGETFUL = {
    "tmpfs": "lies in memory, which a restart of the machine empties",
    "ramfs": "lies in memory, which a restart of the machine empties",
    "overlay": "lies in the container, and goes with it",
}
"""File systems that do not outlive what they should."""

ESTIMATE_LIMIT_S = 0.7
"""An answer is promised in under a second, with the photo's download in it."""

PORT_S = 2.0
"""For a neighbour on loopback to answer."""


async def check_spool(folder: Path, concurrency: int) -> AsyncGenerator[Finding, None]:
    """Check that the spool can keep what was paid for."""
    there = await asyncio.to_thread(_existing, folder)
    problem = await asyncio.to_thread(_try_to_keep, there)
    if problem is not None:
        yield fault(
            "spool",
            f"{there} cannot keep a file: {problem}",
            "see SPOOL_DIR, its owner and its disk",
            Promise.PAID_ONCE,
        )
        return
    yield ok("spool", f"{folder} keeps files" + ("" if there == folder else f" (made at the first start, in {there})"))
    yield judge_space(shutil.disk_usage(there).free // 2**20, concurrency)
    kind = await asyncio.to_thread(_file_system, there)
    if kind in FORGETFUL:
        yield warning(
            "spool disk",
            f"{folder} {FORGETFUL[kind]}: what was paid for is then paid again",
            "put SPOOL_DIR on a disk or a volume",
        )


def judge_space(free_mb: int, concurrency: int) -> Finding:
    """The finding about free space: whether the pictures under way fit onto the disk."""
    needed_mb = max(LEAST_FREE_MB, concurrency * PAID_ANSWER_MB)
    told = f"{free_mb:,} MB free"
    if free_mb < needed_mb:
        return fault(
            "spool disk",
            f"{told}; {concurrency} pictures at once take {needed_mb:,} MB",
            "make room on SPOOL_DIR's disk",
            Promise.PAID_ONCE,
        )
    if free_mb < COMFORT * needed_mb:
        return warning("spool disk", told, "make room on SPOOL_DIR's disk before it is full")
    return ok("spool disk", told)


async def check_descriptors(concurrency: int) -> AsyncGenerator[Finding, None]:
    """Check that the process may have as many connections as it takes."""
    yield judge_descriptors(divide(limit_after_raising(), concurrency))


def judge_descriptors(budget: Budget) -> Finding:
    """The finding about descriptors. `budget` is what `wearon serve` has here, once it has raised its limit."""
    shares = f"paid work {budget.paid_work}, downloads {budget.downloads}, HTTP connections {budget.http}"
    if not budget.enough:
        return fault(
            "descriptors",
            f"only {budget.limit:,} of {budget.needed:,} that are needed at once: {shares}",
            f"raise the hard limit: ulimit -Hn {max(1024, budget.needed)}, or LimitNOFILE= of the service",
            Promise.PAID_ONCE,
        )
    if budget.http < MOST_HTTP:
        return warning("descriptors", f"{budget.limit:,}: {shares}", f"with more, up to {MOST_HTTP} HTTP connections")
    return ok("descriptors", f"{budget.limit:,}: {shares}")


async def check_port(host: str, port: int) -> AsyncGenerator[Finding, None]:
    """Check that the API can listen, or does already."""
    if port == 0:
        yield ok("port", "any free one")
        return
    problem = _try_to_listen(host, port)
    if problem is None:
        yield ok("port", f"{host}:{port} is free")
    elif await _is_ours(host, port):
        yield ok("port", f"a worker answers on {host}:{port}")
    else:
        yield fault(
            "port",
            f"cannot listen on {host}:{port}: {problem}",
            "end the other program, or choose another PORT",
            Promise.SIZES_ALWAYS,
        )


async def check_pose_model(model: Path | None) -> AsyncGenerator[Finding, None]:
    """Check that the model loads, and gives a sample its size."""
    pool = PosePool(model, 1, metrics=Metrics())
    photo = await asyncio.to_thread(MAN_L.read)
    request = EstimateRequest(MAN_L.height_cm)
    began = time.monotonic()
    try:
        await pool.start()
        started_s = time.monotonic() - began
        began = time.monotonic()
        size = (await pool.run(estimate_size, photo, request, timeout=30.0)).recommended_size
        took_s = time.monotonic() - began
    except (PoseError, NoPerson) as error:
        yield fault("pose model", f"does not work: {error}", "see POSE_MODEL_PATH", Promise.SIZES_ALWAYS)
        return
    finally:
        await asyncio.to_thread(pool.close)
    told = f"warm after {started_s:.1f} s; a size takes {took_s * 1000:.0f} ms"
    if size != MAN_L.size:
        yield warning("pose model", f"{told}, but the sample is {MAN_L.size}, not {size}", "see POSE_MODEL_PATH")
    elif took_s > ESTIMATE_LIMIT_S:
        yield warning("pose model", told, "the machine is too busy, or too slow, for answers in under a second")
    else:
        yield ok("pose model", told)


async def check_local_redis() -> AsyncGenerator[Finding, None]:
    """Check that a local mode that does not run could start its Redis."""
    try:
        binary = await asyncio.to_thread(server_binary)
    except LocalRedisError as error:
        yield fault("redis", str(error), "install redis-server, or set REDIS_URL", Promise.EVERY_TASK_ENDS)
        return
    version = await asyncio.to_thread(_version_of, binary)
    told = f"not running; `wearon serve` starts {binary} ({version})"
    if has_known_fault(version):
        yield warning(
            "redis",
            f"{told}, which may lack the fix of CVE-2025-49844",
            "install a newer one, unless your distribution has mended it; only you can reach it",
        )
    else:
        yield ok("redis", told)


def _version_of(binary: str) -> str:
    """The first words of what the server prints about its version."""
    try:
        run = subprocess.run([binary, "--version"], capture_output=True, text=True, timeout=5, check=False)  # noqa: S603
    except (OSError, subprocess.SubprocessError) as error:
        return f"whose version cannot be told: {error}"
    return " ".join(run.stdout.split()[:3])


async def check_local_platform(home: Path) -> AsyncGenerator[Finding, None]:
    """Check local mode's sessions and credits, without making or changing anything."""
    database = home / "platform.sqlite3"
    if objection := object_to(home):
        yield fault(
            "sessions", f"WEARON_HOME={home}: {objection}", "name a folder of your own", Promise.EVERY_TASK_ENDS
        )
        return
    if not database.exists():
        yield ok("sessions", f"{database} is made at the first start")
        return
    problem = await asyncio.to_thread(_look_into, database)
    if problem is None:
        yield ok("sessions", f"{database} is sound")
    else:
        yield fault(
            "sessions",
            f"{database} cannot be used: {problem}",
            f"move {home} away; local mode starts anew",
            Promise.EVERY_TASK_ENDS,
        )


def check_settings(settings: Settings, problems: Sequence[str], misspelt: Mapping[str, str]) -> list[Finding]:
    """The findings about the settings: what is wrong, what is allowed but unwise, and what nothing reads."""
    found = [
        fault("settings", problem, "the worker does not start before this is put right", Promise.EVERY_TASK_ENDS)
        for problem in problems
    ]
    if settings.wearon_mode is Mode.PRODUCTION:
        found += _about_retention(settings.retention_hours)
        found += [
            warning("settings", unsent.words, "take it out, or see .env.example for what models take")
            for unsent in settings.settings_not_sent
        ]
    found += [
        warning("settings", f"nothing reads {name}", f"is {meant} meant? .env.example has all names")
        for name, meant in misspelt.items()
    ]
    return found or [ok("settings", f"complete, {settings.wearon_mode} mode")]


def _about_retention(hours: float | None) -> list[Finding]:
    if hours is None:
        why = "RETENTION_HOURS is not set: no picture is deleted here, and shoppers are promised deletion after 6 hours"
        return [warning("settings", why, "set it to 6, unless something else deletes what the bucket's folders hold")]
    if hours > LEAST_RETENTION_HOURS:
        why = f"RETENTION_HOURS is {hours:g}, and shoppers are promised deletion after 6 hours"
        return [warning("settings", why, "set it to 6, unless your shoppers are promised something else")]
    return []


def _existing(folder: Path) -> Path:
    """The folder, or the nearest one above that exists."""
    folder = folder.absolute()
    return next(candidate for candidate in (folder, *folder.parents) if candidate.is_dir())


def _try_to_keep(folder: Path) -> str | None:
    """Write a file, bring it to the disk, give it another name and delete it, as the spool does; what went wrong."""
    try:
        with NamedTemporaryFile(dir=folder, prefix="wearon-doctor-", suffix=".new", delete=False) as file:
            written, renamed = Path(file.name), Path(f"{file.name}.renamed")
            try:
                file.write(b"\0" * 2**20)
                file.flush()
                os.fsync(file.fileno())
                written.replace(renamed)
            finally:
                written.unlink(missing_ok=True)
                renamed.unlink(missing_ok=True)
    except OSError as error:
        return error.strerror or type(error).__name__
    return None


def _file_system(folder: Path) -> str | None:
    """The type of the file system that the folder lies on; None where that cannot be told."""
    try:
        lines = Path("/proc/self/mounts").read_text().splitlines()
    except OSError:
        return None
    mounts = {fields[1].replace("\\040", " "): fields[2] for fields in (line.split() for line in lines)}
    resolved = folder.resolve()
    return next((mounts[str(path)] for path in (resolved, *resolved.parents) if str(path) in mounts), None)


def _try_to_listen(host: str, port: int) -> str | None:
    try:
        listen(host, port).close()
    except OSError as error:
        return error.strerror or str(error)
    return None


async def _is_ours(host: str, port: int) -> bool:
    """Whether a worker answers there."""
    try:
        async with asking(PORT_S) as client:
            answer = await client.get(f"{url_at(host, port)}/health/live")
            return bool(answer.status_code == 200 and answer.json() == {"status": "ok"})
    except (httpx.HTTPError, ValueError):
        return False


def _look_into(database: Path) -> str | None:
    try:
        with closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True, timeout=2)) as connection:
            found = connection.execute("pragma quick_check(1)").fetchone()[0]
            if found != "ok":
                return str(found)
            for table in SESSION_TABLES.values():
                connection.execute(f"select {', '.join(table.columns)} from {table.name} limit 0")  # noqa: S608
    except sqlite3.Error as error:
        return str(error)
    return None
