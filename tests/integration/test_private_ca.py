"""Services whose certificates are of the operator's own authority: all that the worker talks to, over real TLS."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import trustme
from redis.exceptions import ConnectionError as RedisConnectionError

from wearon.app.base import command_telemetry, make_metrics, open_fetcher, open_platform, open_telemetry
from wearon.doctor.openai import check_openai
from wearon.net.errors import FetchError
from wearon.net.tls import trusting
from wearon.platform.base import Channel, PlatformUnavailable
from wearon.redis import clients as redis_connections
from wearon.settings import Settings
from wearon.tryon.openai.client import make_client

SESSION = "8c7d6c1e-5f0b-4b6e-9d38-9e0d6f5a1a11"
PICTURE = b"\xff\xd8\xff a picture"


def answer(kind: str, body: bytes) -> bytes:
    return f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


@dataclass(frozen=True)
class Behind:
    """Everything behind one TLS port: HTTP is answered, what is not HTTP goes to the real Redis."""

    port: int
    authority: Path


@pytest.fixture
async def behind_tls(redis_url: str, tmp_path: Path) -> AsyncIterator[Behind]:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    authority.cert_pem.write_to_path(tmp_path / "our own authority.pem")
    redis = urlsplit(redis_url)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            first = await reader.read(1)
            if first == b"*":
                await pipe_both(first, reader, writer)
            elif first:
                head = first + await reader.readuntil(b"\r\n\r\n")
                is_picture = b"/picture.jpg" in head
                writer.write(answer("image/jpeg", PICTURE) if is_picture else answer("application/json", b"[]"))
        writer.close()

    async def pipe_both(first: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_connection(redis.hostname, redis.port)
        inner_writer.write(first)
        await asyncio.wait(
            {asyncio.create_task(pipe(reader, inner_writer)), asyncio.create_task(pipe(inner_reader, writer))},
            return_when=asyncio.FIRST_COMPLETED,
        )
        inner_writer.close()

    async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    yield Behind(server.sockets[0].getsockname()[1], tmp_path / "our own authority.pem")
    server.close()


async def ask_redis(settings: Settings) -> None:
    assert settings.redis_url
    client = redis_connections.connect(settings.redis_url, name="test")
    try:
        assert await client.ping()
    finally:
        await client.aclose()


async def ask_supabase(settings: Settings) -> None:
    async with AsyncExitStack() as stack:
        platform = await open_platform(stack, settings, "", command_telemetry(settings))
        assert await platform.find_session(Channel.B2C, SESSION) is None


async def fetch_from_storage(settings: Settings) -> None:
    async with AsyncExitStack() as stack:
        telemetry = await open_telemetry(stack, settings, make_metrics(settings))
        fetcher = open_fetcher(stack, settings, "", telemetry)
        assert await fetcher.fetch(f"{settings.supabase_url}/picture.jpg", deadline_s=10) == PICTURE


async def ask_openai(settings: Settings) -> None:
    async with make_client(trusting(settings.authorities)) as client:
        assert (await client.get(settings.openai_base_url)).status_code == 200


async def let_the_doctor_ask(settings: Settings) -> None:
    trusted = trusting(settings.authorities)
    findings = [found async for found in check_openai("key", settings.openai_base_url, "model", trusted)]
    if "cannot be reached" in findings[0].message:
        raise ConnectionError(findings[0].message)


ALL: list[tuple[Callable[[Settings], Awaitable[None]], type[Exception]]] = [
    (ask_redis, RedisConnectionError),
    (ask_supabase, PlatformUnavailable),
    (fetch_from_storage, FetchError),
    (ask_openai, Exception),
    (let_the_doctor_ask, ConnectionError),
]


@pytest.fixture
def settings_for(behind_tls: Behind, monkeypatch: pytest.MonkeyPatch) -> Callable[[str | None], Settings]:
    where = f"localhost:{behind_tls.port}"
    variables = {
        "WEARON_MODE": "production",
        "REDIS_URL": f"rediss://{where}/0",
        "SUPABASE_URL": f"https://{where}",
        "SUPABASE_SERVICE_ROLE_KEY": "a-service-role-key",
        "OPENAI_API_KEY": "a-key",
        "OPENAI_BASE_URL": f"https://{where}/v1",
    }

    def load(setting: str | None) -> Settings:
        for name in ("CA_FILE", "SSL_CERT_FILE"):
            monkeypatch.delenv(name, raising=False)
        for name, value in (variables | ({setting: str(behind_tls.authority)} if setting else {})).items():
            monkeypatch.setenv(name, value)
        return Settings(_env_file=None)

    return load


@pytest.mark.parametrize("setting", ["CA_FILE", "SSL_CERT_FILE"])
@pytest.mark.parametrize("ask", [ask for ask, _ in ALL])
async def test_an_authority_of_ones_own_reaches_every_service(
    settings_for: Callable[[str | None], Settings], ask: Callable[[Settings], Awaitable[None]], setting: str
) -> None:
    await ask(settings_for(setting))


@pytest.mark.parametrize(("ask", "error"), ALL)
async def test_nobody_is_trusted_without_being_told(
    settings_for: Callable[[str | None], Settings],
    ask: Callable[[Settings], Awaitable[None]],
    error: type[Exception],
) -> None:
    with pytest.raises(error):
        await ask(settings_for(None))
