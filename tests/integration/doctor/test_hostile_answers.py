"""Services that answer the doctor with more than he may hear: he says so, and no more of it is read."""

import asyncio
import gzip
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from wearon.doctor import Finding, Level
from wearon.doctor.machine import check_port
from wearon.doctor.openai import check_openai
from wearon.doctor.supabase import SupabaseDoctor
from wearon.net.whole_answers import MAX_ANSWER_BYTES, asking

ENDLESS = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n"
PACKED_TWICE = gzip.compress(gzip.compress(bytes(50_000_000)))
NESTED = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip, gzip\r\nContent-Length: %d\r\n\r\n%s" % (
    len(PACKED_TWICE),
    PACKED_TWICE,
)
UNASKED = b"HTTP/1.1 200 OK\r\nContent-Encoding: br\r\nContent-Length: 4\r\n\r\n\x0b\x01\x80a"

ANSWERS = {"endless": ENDLESS, "gzip in gzip": NESTED, "a compression that was not asked for": UNASKED}


class Talker:
    """Answers each connection with the same, and goes on as long as it is heard."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer
        self.sent = 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(self._answer)
            while self._answer is ENDLESS:
                writer.write(b" " * 65536)
                await writer.drain()
                self.sent += 65536
        writer.close()


@asynccontextmanager
async def talking(answer: bytes) -> AsyncIterator[tuple[int, Talker]]:
    talker = Talker(answer)
    async with await asyncio.start_server(talker, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1], talker


async def of_supabase(port: int) -> list[Finding]:
    async with asking(10.0) as client:
        doctor = SupabaseDoctor(f"http://127.0.0.1:{port}", "sb_secret_abcdefgh", client)
        return [finding async for finding in doctor.check_project()]


async def of_openai(port: int) -> list[Finding]:
    return [finding async for finding in check_openai("sk-key", f"http://127.0.0.1:{port}", "gpt-image-2")]


async def of_the_port(port: int) -> list[Finding]:
    return [finding async for finding in check_port("127.0.0.1", port)]


@pytest.mark.parametrize("answer", ANSWERS)
@pytest.mark.parametrize("found_by", [of_supabase, of_openai, of_the_port])
async def test_what_cannot_be_heard_to_its_end_is_told(answer: str, found_by: object) -> None:
    assert callable(found_by)
    async with talking(ANSWERS[answer]) as (port, talker):
        async with asyncio.timeout(60):
            findings = await found_by(port)
    assert [finding.level for finding in findings] == [Level.FAULT]
    assert talker.sent < 2 * MAX_ANSWER_BYTES
