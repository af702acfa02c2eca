"""The local mode's Redis server: real processes in a temporary folder."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from support.redis import free_port
from wearon import local_redis
from wearon.local_redis import LocalRedis, LocalRedisError
from wearon.redis import connect

pytestmark = pytest.mark.slow

Start = Callable[..., Awaitable[LocalRedis]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "home of wearon"  # with blanks: it goes through a command line


@pytest.fixture
async def start(folder: Path) -> AsyncIterator[Start]:
    """`LocalRedis.start` in the test's folder, on a port that is nobody's; everything is stopped in the end."""
    started: list[LocalRedis] = []
    free = free_port()

    async def start(port: int | None = None) -> LocalRedis:
        server = await LocalRedis.start(folder, free if port is None else port)
        started.append(server)
        return server

    yield start
    for server in started:
        await server.stop()


def write(path: Path, text: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)


def locked(folder: Path) -> int:
    folder.mkdir()
    lock = local_redis._try_lock(folder)
    assert lock is not None
    return lock


async def is_gone(folder: Path) -> bool:
    async with asyncio.timeout(10):
        while await LocalRedis.find(folder) is not None:  # noqa: ASYNC110 - another process's end has no event
            await asyncio.sleep(0.02)
    return True


async def test_it_is_a_redis_for_this_machine_only_that_keeps_what_it_is_given(start: Start) -> None:
    server = await start()
    assert server.is_ours
    async with connect(server.url, name="test") as client:
        config = await client.config_get("*")
    assert config["bind"] == "127.0.0.1"
    assert config["appendonly"] == "yes"
    assert config["maxmemory-policy"] == "noeviction"
    assert config["save"] == ""


async def test_data_and_port_survive_a_stop(start: Start) -> None:
    first = await start()
    async with connect(first.url, name="test") as client:
        await client.set("task", "one")
    await first.stop()

    second = await start()
    assert second.url == first.url
    async with connect(second.url, name="test") as client:
        assert await client.get("task") == b"one"


async def test_data_survives_kill_9(start: Start) -> None:
    first = await start()
    async with connect(first.url, name="test") as client:
        await client.set("task", "one")
        os.kill((await client.info("server"))["process_id"], signal.SIGKILL)

    second = await start()
    assert second.is_ours
    async with connect(second.url, name="test") as client:
        assert await client.get("task") == b"one"


async def test_a_second_start_attaches_and_stops_nothing(start: Start, folder: Path) -> None:
    first, second = await start(), await start()
    assert (first.is_ours, second.is_ours) == (True, False)
    assert second.url == first.url
    await second.stop()
    assert await LocalRedis.find(folder) == first.url


async def test_of_many_starts_at_once_one_starts_it(start: Start) -> None:
    servers = await asyncio.gather(*(start() for _ in range(6)))
    assert [server.is_ours for server in servers].count(True) == 1
    assert len({server.url for server in servers}) == 1


async def test_it_is_found_while_it_runs(start: Start, folder: Path) -> None:
    assert await LocalRedis.find(folder) is None
    server = await start()
    assert await LocalRedis.find(folder) == server.url
    await server.stop()
    assert await LocalRedis.find(folder) is None
    await server.stop()


async def test_a_taken_port_is_replaced_by_one_that_stays(start: Start, folder: Path) -> None:
    taken = free_port()
    squatter = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", taken)
    first = await start(taken)
    assert not first.url.endswith(f":{taken}/0")
    await first.stop()
    squatter.close()

    second = await start(taken)
    assert second.url == first.url
    await second.stop()

    third = await start(wish := free_port())
    assert third.url.endswith(f":{wish}/0")


async def test_port_0_is_any_free_one(start: Start) -> None:
    server = await start(0)
    async with connect(server.url, name="test") as client:
        assert await client.ping()


async def test_somebody_elses_redis_at_our_port_is_not_ours(start: Start, folder: Path, tmp_path: Path) -> None:
    ours = await start()
    await ours.stop()
    port = int(ours.url.removesuffix("/0").rpartition(":")[2])
    other = await LocalRedis.start(tmp_path / "other", port)
    try:
        assert other.url == ours.url
        assert await LocalRedis.find(folder) is None
        again = await start()
        assert again.is_ours
        assert again.url != other.url
    finally:
        await other.stop()


@pytest.mark.parametrize("state", ["", "{", "[]", '{"port": "x"}', '{"wanted": null, "port": 1}'])
async def test_a_broken_state_file_does_no_harm(start: Start, folder: Path, state: str) -> None:
    write(folder / "redis.json", state)
    assert await LocalRedis.find(folder) is None
    assert (await start()).is_ours


async def test_a_server_that_cannot_start_says_why(start: Start, folder: Path) -> None:
    write(folder / "appendonly.aof", "this is not an append-only file")
    with pytest.raises(LocalRedisError, match="Bad file format reading the append only file"):
        await start()
    # Nothing is left locked: with good data it starts.
    write(folder / "appendonly.aof", "")
    assert (await start()).is_ours


async def test_a_machine_without_the_binary_is_told_so(
    start: Start, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("wearon.local_redis.importlib.util.find_spec", lambda _: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LocalRedisError, match="no redis-server"):
        await start()
    monkeypatch.undo()
    assert (await start()).is_ours


async def test_a_start_waits_for_the_last_server_to_end(start: Start, folder: Path) -> None:
    lock = locked(folder)  # as by a server that is still writing out its data
    starting = asyncio.ensure_future(start())
    done, _ = await asyncio.wait([starting], timeout=0.2)
    assert not done
    os.close(lock)
    assert (await starting).is_ours


async def test_a_start_does_not_wait_for_ever(start: Start, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_redis, "START_TIMEOUT_S", 0.1)
    lock = locked(folder)
    with pytest.raises(LocalRedisError, match="did not answer within"):
        await start()
    os.close(lock)


# With a process of its own as the owner

OWNER = """
import asyncio, signal, sys
from pathlib import Path
from wearon.local_redis import LocalRedis
from wearon.redis import connect

async def main():
    interrupted = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, interrupted.set)
    server = await LocalRedis.start(Path(sys.argv[1]), 0)
    client = connect(server.url, name="owner")
    await client.set("task", "one")
    print(server.url, flush=True)
    await interrupted.wait()
    await asyncio.sleep(0.5)  # a server that got the signal, too, would have ended by now
    print(await client.get("task"), flush=True)
    await client.aclose()
    await server.stop()

if sys.argv[2] == "uvloop":
    import uvloop
    uvloop.run(main())
else:
    asyncio.run(main())
"""


@asynccontextmanager
async def owner(folder: Path, loop: str) -> AsyncIterator[tuple[Process, str]]:
    """A process that has started the folder's server, and the server's URL."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", OWNER, str(folder), loop, stdout=PIPE, start_new_session=True
    )
    assert process.stdout
    try:
        async with asyncio.timeout(30):
            url = (await process.stdout.readline()).decode().strip()
        yield process, url
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the server lives on until the next start attaches")
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
async def test_it_ends_with_an_owner_that_is_killed_and_loses_nothing(start: Start, folder: Path, loop: str) -> None:
    async with owner(folder, loop) as (process, url):
        assert await LocalRedis.find(folder) == url
        process.kill()
        await process.wait()
    assert await is_gone(folder)
    async with connect((await start()).url, name="test") as client:
        assert await client.get("task") == b"one"


async def test_a_start_right_after_the_owners_death_gets_the_data(start: Start, folder: Path) -> None:
    async with owner(folder, "asyncio") as (process, _):
        process.kill()
        await process.wait()
    server = await start()
    if not server.is_ours:  # it was quicker than the server's end
        assert await is_gone(folder)
        server = await start()
    async with connect(server.url, name="test") as client:
        assert await client.get("task") == b"one"


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
async def test_ctrl_c_leaves_it_to_its_owner_to_end_it(folder: Path, loop: str) -> None:
    async with owner(folder, loop) as (process, _):
        os.killpg(process.pid, signal.SIGINT)
        async with asyncio.timeout(30):
            output, _ = await process.communicate()
    assert output.decode().strip() == "b'one'"
    assert process.returncode == 0
    assert await LocalRedis.find(folder) is None
