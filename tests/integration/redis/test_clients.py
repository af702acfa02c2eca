"""How Redis is talked to: what is tried again, what never is, and what is shown of the URL."""

import asyncio
import ssl
import traceback
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis
from redis.asyncio.connection import SSLConnection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from support.redis import RedisServer, free_port
from wearon.redis import clients as policy
from wearon.redis.clients import LONGEST_POPPED_BYTES, connect, connection_pool, without_password
from wearon.redis.errors import AnswerTooLarge, RedisUnreachable
from wearon.redis.url import BadRedisUrl

pytestmark = pytest.mark.slow


async def test_a_restart_between_two_commands_is_not_noticed(redis_client: Redis, redis_server: RedisServer) -> None:
    await redis_client.set("task", "one")
    await asyncio.to_thread(redis_server.kill)
    await asyncio.to_thread(redis_server.start)
    assert await redis_client.get("task") == b"one"


async def test_connecting_is_tried_again_while_redis_is_not_there_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policy, "CONNECT_RETRIES", 1000)
    monkeypatch.setattr(policy, "CONNECT_BACKOFF_S", (0.01, 0.02))
    port = free_port()
    client = connect(f"redis://127.0.0.1:{port}", name="early")
    ping = asyncio.ensure_future(client.ping())
    await asyncio.sleep(0.1)
    assert not ping.done()
    async with await asyncio.start_server(LosesAnswers().serve, "127.0.0.1", port):
        assert await ping
        await client.aclose()


async def test_an_outage_is_an_error_that_the_caller_sees(redis_client: Redis, redis_server: RedisServer) -> None:
    await asyncio.to_thread(redis_server.stop)
    with pytest.raises(RedisConnectionError):
        await redis_client.get("task")
    await asyncio.to_thread(redis_server.start)
    assert await redis_client.get("task") is None


def test_commands_over_tls_are_told_of_too() -> None:
    client = connect("rediss://127.0.0.1:1", name="counted", on_command=lambda _: None)
    assert issubclass(client.connection_pool.connection_class, SSLConnection)
    assert client.connection_pool.connection_class is not SSLConnection


async def test_every_command_that_is_sent_is_told_of_those_of_pipelines_and_scripts_too(
    redis_server: RedisServer,
) -> None:
    told: list[str] = []
    client = connect(redis_server.url, name="counted", on_command=told.append)
    uncounted = connect(redis_server.url, name="uncounted")
    before = (await uncounted.info("stats"))["total_commands_processed"]
    async with client.pipeline(transaction=True) as pipe:
        pipe.set("a", 1)
        pipe.get("a")
        await pipe.execute()
    await client.register_script("return 1")()
    after = (await uncounted.info("stats"))["total_commands_processed"]
    assert told.count("SET") == told.count("GET") == told.count("MULTI") == 1
    # Redis counts the second INFO at its own end, and knows nothing of commands that it sent itself.
    assert len(told) == after - before - 1
    await client.aclose()
    await uncounted.aclose()


class LosesAnswers:
    """Speaks just enough Redis to take a connection and a PING; a command is done, but its answer never comes."""

    ANSWERS = {b"CLIENT": b"+OK\r\n", b"PING": b"+PONG\r\n"}  # noqa: RUF012

    def __init__(self) -> None:
        self.commands: list[bytes] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while command := await self._read(reader):
            if command[0] not in self.ANSWERS:
                self.commands.append(command[0])
                break
            writer.write(self.ANSWERS[command[0]])
        writer.close()
        await writer.wait_closed()

    async def _read(self, reader: asyncio.StreamReader) -> list[bytes]:
        if not (head := await reader.readline()):
            return []
        parts = []
        for _ in range(int(head[1:])):
            length = int((await reader.readline())[1:])
            parts.append((await reader.readexactly(length + 2))[:-2])
        return parts


@pytest.fixture
async def loses_answers() -> AsyncIterator[tuple[str, LosesAnswers]]:
    service = LosesAnswers()
    server = await asyncio.start_server(service.serve, "127.0.0.1", 0)
    yield f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}", service
    server.close()
    await asyncio.sleep(0.05)  # let the last connection see its end


@pytest.mark.parametrize("blocking", [True, False])
async def test_a_command_whose_answer_is_lost_is_not_repeated(
    loses_answers: tuple[str, LosesAnswers], *, blocking: bool
) -> None:
    url, service = loses_answers
    async with connect(url, name="test", blocking=blocking) as client:
        with pytest.raises(RedisError):
            await client.lmove("tasks", "taken")
        with pytest.raises(RedisError):
            await client.blmove("tasks", "taken", 1)
        with pytest.raises(RedisError):
            await client.incr("count")
        transaction = client.pipeline(transaction=True)
        transaction.incr("count")
        with pytest.raises(RedisError):
            await transaction.execute()
    assert service.commands == [b"LMOVE", b"BLMOVE", b"INCRBY", b"MULTI"]


async def test_a_proxy_without_a_backend_is_one_error() -> None:
    connections = 0

    async def close_at_once(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(close_at_once, "127.0.0.1", 0)
    async with server:
        client = connect(f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}", name="test")
        for number in range(1, 4):
            with pytest.raises(RedisConnectionError):
                await client.ping()
            assert connections == number  # who takes us and hangs up is not tried again
        await client.aclose()


async def test_only_a_blocking_connection_outlasts_a_block(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policy, "ANSWER_TIMEOUT_S", 0.3)
    monkeypatch.setattr(policy, "LONGEST_BLOCK_S", 1)
    async with connect(redis_url, name="b", blocking=True) as client:
        assert await client.blmove("nothing", "taken", 1) is None
    async with connect(redis_url, name="p") as client:
        with pytest.raises(RedisUnreachable, match="no answer in time"):
            await client.blmove("nothing", "taken", 1)


async def test_more_tasks_than_connections_wait_for_their_turn(redis_client: Redis) -> None:
    answers = await asyncio.gather(*(redis_client.incr("count") for _ in range(20 * policy.MAX_CONNECTIONS)))
    assert sorted(answers) == list(range(1, 20 * policy.MAX_CONNECTIONS + 1))
    clients = [client for client in await redis_client.client_list() if client["name"] == "test"]
    assert 1 <= len(clients) <= policy.MAX_CONNECTIONS


async def test_answers_are_bytes_that_need_not_be_text(redis_client: Redis) -> None:
    await redis_client.set("task", b"\xff\x00")
    assert await redis_client.get("task") == b"\xff\x00"


def test_tls_checks_the_certificate_and_whose_it_is() -> None:
    context = tls_context("rediss://default:pass@redis.example:6379")
    assert context.check_hostname
    assert context.verify_mode is ssl.CERT_REQUIRED


def test_tls_without_a_certificate_check_must_be_asked_for() -> None:
    assert tls_context("rediss://redis.example:6379?ssl_cert_reqs=none").verify_mode is ssl.CERT_NONE


def tls_context(url: str) -> ssl.SSLContext:
    connection = connection_pool(url, name="test").make_connection()  # type: ignore[no-untyped-call]
    assert isinstance(connection, SSLConnection)
    return connection.ssl_context.get()


@pytest.mark.parametrize(
    "url",
    [
        "redis://default:se/cret@host:6379",
        "redis://default:se#cret@host:6379",
        "redis://default:cret@host:port",
        "redis://default:cret@[host:6379",
        "http://default:cret@host:6379",
        "unix://default:cret@/tmp/redis.sock",
        "cret",
        "",
    ],
)
def test_a_url_that_cannot_be_used_is_refused_without_quoting_it(url: str) -> None:
    with pytest.raises(BadRedisUrl) as raised:
        connect(url, name="test")
    while_it_was_raised = [str(raised.value.__cause__), str(raised.value.__context__)]
    assert "cret" not in "".join([*traceback.format_exception_only(raised.value), *while_it_was_raised])


async def test_an_error_does_not_show_the_password(redis_server: RedisServer) -> None:
    await asyncio.to_thread(redis_server.stop)
    async with connect(f"redis://default:secret@127.0.0.1:{redis_server.port}/0", name="test") as client:
        with pytest.raises(RedisConnectionError) as raised:
            await client.ping()
        assert "secret" not in "".join(traceback.format_exception(raised.value))
        assert "secret" not in repr(client)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://127.0.0.1:6390/0", "redis://127.0.0.1:6390/0"),
        ("rediss://default:secret@eu1.upstash.io:6379", "rediss://eu1.upstash.io:6379/0"),
        ("rediss://default:secret@[::1]:6379/1?ssl_check_hostname=false", "rediss://[::1]:6379/1"),
        ("redis://default:se/cret@host:6379", "an unreadable Redis URL"),
    ],
)
def test_a_url_is_shown_without_its_password(url: str, shown: str) -> None:
    assert without_password(url) == shown


async def test_an_answer_that_is_too_long_is_not_collected(redis_url: str) -> None:
    client = connect(redis_url, name="test", blocking=True)
    try:
        await client.set("long", b"x" * (LONGEST_POPPED_BYTES + 1))
        with pytest.raises(AnswerTooLarge):
            await client.get("long")
        await client.set("just", b"x" * (LONGEST_POPPED_BYTES - 100))
        for _ in range(3):  # counted anew for each
            assert len(await client.get("just") or b"") == LONGEST_POPPED_BYTES - 100
    finally:
        await client.aclose()
