"""The local mode's Redis server: real processes in a temporary folder."""

import asyncio
import os
import signal
import stat
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from redis.asyncio import Redis
from redis.asyncio.connection import parse_url
from redis.exceptions import AuthenticationError, RedisError

from support.job_side import untyped
from support.redis import free_port
from wearon.local import redis_server as local_redis
from wearon.local.redis_server import LocalRedis, LocalRedisError
from wearon.queue import keys
from wearon.redis.clients import connect

pytestmark = pytest.mark.slow

DATA = Path(__file__).parents[2] / "data" / "local_redis"

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


def write_bytes(path: Path, content: bytes) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)


def open_to_others(folder: Path) -> dict[str, str]:
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (folder, *folder.rglob("*"))}
    return {name: oct(mode) for name, mode in modes.items() if mode & 0o077}


def command_lines() -> list[str]:
    """Of all processes of this machine."""
    found = []
    for process in Path("/proc").iterdir():
        with suppress(OSError):
            found.append((process / "cmdline").read_text())
    return found


@asynccontextmanager
async def keeping(server: LocalRedis) -> AsyncIterator[None]:
    keeper = asyncio.ensure_future(server.keep())
    try:
        yield
    finally:
        assert not keeper.done(), keeper
        keeper.cancel()


async def end_server(client: Redis, how: signal.Signals) -> None:
    os.kill((await client.info("server"))["process_id"], how)


async def eventually(ask: Callable[[], Awaitable[bytes]]) -> bytes:
    async with asyncio.timeout(30):
        while True:
            try:
                return await ask()
            except (RedisError, OSError):
                await asyncio.sleep(0.02)


async def until_it_is_ours(server: LocalRedis) -> None:
    """Until its keeper has seen the new server answer: one that ends before is one that cannot be started."""
    async with asyncio.timeout(30):
        while not server.is_ours:  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(0.02)


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


async def test_only_who_has_the_password_may_command_it(start: Start, folder: Path) -> None:
    server = await start()
    port = parse_url(server.url)["port"]
    for password in (None, "guessed"):
        stranger = Redis(port=port, password=password)
        with pytest.raises(AuthenticationError):
            await stranger.set("task", "one")
        await stranger.aclose()
    assert (folder / "password").read_text() == parse_url(server.url)["password"]


@pytest.mark.parametrize(
    "command",
    [
        "CONFIG SET dir /tmp", "CONFIG REWRITE", "MODULE LOAD /tmp/x.so", "DEBUG SLEEP 0", "REPLICAOF 127.0.0.1 1",
        "SLAVEOF NO ONE", "MIGRATE 127.0.0.1 1 k 0 1", "ACL SETUSER x on nopass", "SHUTDOWN NOSAVE", "SAVE", "BGSAVE",
        "FLUSHALL", "RESTORE k 0 x", "SYNC", "FAILOVER",
    ],
)  # fmt: skip
async def test_what_changes_the_server_is_off_for_everybody(start: Start, command: str) -> None:
    async with connect((await start()).url, name="test") as client:
        with pytest.raises(RedisError, match=r"no right to|not allowed"):
            await client.execute_command(*command.split())  # type: ignore[no-untyped-call]


async def test_a_giant_is_refused_by_its_length_before_it_is_sent(start: Start) -> None:
    server = await start()
    where = parse_url(server.url)
    honest = connect(server.url, name="honest")
    reader, writer = await asyncio.open_connection(where["host"], where["port"])
    writer.write(f"AUTH {where['password']}\r\n".encode())
    assert await reader.readline() == b"+OK\r\n"
    writer.write(b"*3\r\n$5\r\nLPUSH\r\n$%d\r\n%s\r\n$%d\r\n" % (len(keys.TASKS), keys.TASKS.encode(), 400_000_000))
    assert await reader.read() == b"-ERR Protocol error: invalid bulk length\r\n", "refused, and hung up on"
    writer.close()
    await untyped(honest).lpush(keys.TASKS, b"x" * 1_000_000)
    assert await untyped(honest).llen(keys.TASKS) == 1
    await honest.aclose()


async def test_what_is_sent_behind_a_giants_length_is_not_read(start: Start) -> None:
    server = await start()
    giant, honest = connect(server.url, name="giant"), connect(server.url, name="honest")
    await honest.ping()
    pushing = asyncio.ensure_future(untyped(giant).lpush(keys.TASKS, b"x" * 400_000_000))
    for number in range(100):
        await untyped(honest).lpush(keys.TASKS, str(number))
    with pytest.raises(RedisError):
        await pushing
    assert await untyped(honest).llen(keys.TASKS) == 100
    told = await honest.info()
    assert told["total_net_input_bytes"] < 10_000_000
    assert told["used_memory_peak"] < 64_000_000
    await giant.aclose()
    await honest.aclose()


async def test_its_files_are_this_users_alone(start: Start, folder: Path) -> None:
    folder.mkdir(mode=0o755)  # noqa: ASYNC240 - as somebody may have made it
    server = await start()
    async with connect(server.url, name="test") as client:
        await client.set("task", "one")
    assert open_to_others(folder) == {}
    assert {"password", "redis.conf", "redis.log", "appendonlydir"} <= {path.name for path in folder.iterdir()}  # noqa: ASYNC240


async def test_nobody_elses_command_line_shows_the_password(start: Start) -> None:
    server = await start()
    password = str(parse_url(server.url)["password"])
    shown = command_lines()
    assert any("valkey-server" in line for line in shown)
    assert not any(password in line for line in shown)


async def test_data_of_redis_6_2_is_taken_over(start: Start, folder: Path) -> None:
    """Written by the server of earlier versions, with a preamble and what came after."""
    write_bytes(folder / "appendonly.aof", (DATA / "redis-6.2.aof").read_bytes())
    for _ in range(2):
        server = await start()
        async with connect(server.url, name="test") as client:
            assert await client.get("task") == b"kept by Redis 6.2"
            assert await client.type("wearon:tasks:generation") == b"list"
        await server.stop()


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
async def test_a_server_that_dies_is_started_again_with_its_data(start: Start, end: signal.Signals) -> None:
    server = await start()
    async with keeping(server), connect(server.url, name="test") as client:
        await client.set("task", "one")
        for _ in range(2):
            await end_server(client, end)
            assert await eventually(lambda: untyped(client).get("task")) == b"one"
            await until_it_is_ours(server)


async def test_whoever_is_left_starts_it_again(start: Start) -> None:
    first, second, third = await start(), await start(), await start()
    async with connect(first.url, name="test") as client:
        await client.set("task", "one")
        async with keeping(second), keeping(third):
            await first.stop()
            assert await eventually(lambda: untyped(client).get("task")) == b"one"
            await asyncio.sleep(0.5)  # would both of them start one, the later would have failed by now
            assert [server.is_ours for server in (second, third)].count(True) == 1
            assert second.url == third.url == first.url


async def test_a_server_that_cannot_be_started_again_is_told(start: Start, folder: Path) -> None:
    server = await start()
    await server.stop()
    port = parse_url(server.url)["port"]
    squatter = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", port, reuse_address=True)
    try:
        with pytest.raises(LocalRedisError, match="taken by another program"):
            await server.keep()
    finally:
        squatter.close()


async def test_a_stranger_at_the_old_port_is_not_told_the_password(start: Start, folder: Path) -> None:
    server = await start()
    port = parse_url(server.url)["port"]
    await server.stop()
    heard = asyncio.Event()
    squatter = await asyncio.start_server(lambda *_: heard.set(), "127.0.0.1", port, reuse_address=True)
    assert await LocalRedis.find(folder) is None
    again = await start()
    assert again.url != server.url
    assert not heard.is_set()
    squatter.close()


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
        assert parse_url(other.url)["port"] == port
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
    write(folder / "appendonlydir" / "appendonly.aof", "")
    assert (await start()).is_ours


async def test_a_machine_without_the_binary_is_told_so(
    start: Start, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("wearon.local.redis_binary.importlib.util.find_spec", lambda _: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LocalRedisError, match="Install one of them"):
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
from wearon.local.redis_server import LocalRedis
from wearon.redis.clients import connect

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
