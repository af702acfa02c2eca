"""OpenAI, Supabase's REST and Storage, and a shop's pictures in one process, as cheap as Python can be.

The stand-ins of the tests are faithful and slow: threads, PostgreSQL, a multipart parser. On two cores they would be
the bottleneck, so here is one that only knows what a well-behaved worker asks: raw asyncio protocol on uvloop, about
0.1 ms a request. It keeps the time (CLOCK_MONOTONIC, the same in all processes) of every session's every move.

    python -m benchmarks.stand_in FOLDER   serves FOLDER/*.jpg, answers with FOLDER/answer.json, prints its port

    GET  .../virtual-tryon-images/COPY/dress.jpg
                                           dress.jpg with a comment that says COPY: the same picture, bytes of its own
    POST /control/reset?latency=20         forget the moves; seconds that the image model takes from now on
    GET  /control/moves                    {session id: {status: time}} since then
"""

import asyncio
import json
import re
import struct
import sys
import time
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import uvloop

LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
SESSION = re.compile(r"[?&]id=eq\.([0-9a-f-]{36})")
STATUS = re.compile(rb'"status": ?"(\w+)"')
PICTURES = "/storage/v1/object/sign/virtual-tryon-images/"

JPEG_START = b"\xff\xd8"
JPEG_COMMENT = b"\xff\xfe"


class World:
    """What is served, and what happened."""

    def __init__(self, folder: Path) -> None:
        self.pictures = {file.name: file.read_bytes() for file in folder.glob("*.jpg")}
        answer = folder / "answer.json"
        self.answer = answer.read_bytes() if answer.exists() else b"{}"
        self.latency_s = 0.0
        self.moves: dict[str, dict[str, float]] = {}

    def move(self, target: str, body: bytes) -> bytes:
        """A PATCH of a session: always allowed."""
        session, status = SESSION.search(target), STATUS.search(body)
        assert session
        assert status
        self.moves.setdefault(session[1], {}).setdefault(status[1].decode(), time.monotonic())
        return b'[{"id":"%s"}]' % session[1].encode()

    def control(self, target: str) -> bytes:
        """What the benchmark asks."""
        parts = urlsplit(target)
        if parts.path.endswith("/reset"):
            self.moves.clear()
            self.latency_s = float(parse_qs(parts.query)["latency"][0])
        return json.dumps(self.moves).encode()


class Connection(asyncio.Protocol):
    """One keep-alive connection; requests come one after the other."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._buffer = bytearray()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # TCP's is one
        """Keep the connection, to answer on it."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Collect what comes, and answer a request that is whole."""
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        head = bytes(self._buffer[:end])
        length = LENGTH.search(head)
        whole = end + 4 + (int(length[1]) if length else 0)
        if len(self._buffer) < whole:
            return
        body = bytes(self._buffer[end + 4 : min(whole, end + 4096)])
        del self._buffer[:whole]
        method, target, _ = head.split(b"\r\n", 1)[0].decode().split(" ", 2)
        self._serve(method, target, body)

    def _serve(self, method: str, target: str, body: bytes) -> None:
        world = self._world
        path = target.partition("?")[0]
        if path.endswith("/images/edits"):
            asyncio.get_running_loop().call_later(world.latency_s, self._answer, world.answer)
        elif path.startswith("/control/"):
            self._answer(world.control(target))
        elif method == "PATCH":
            self._answer(world.move(target, body))
        elif method == "GET" and path.startswith(PICTURES):
            self._answer_picture(*path.removeprefix(PICTURES).rpartition("/")[::2])
        elif method == "POST" and path.startswith("/storage/v1/object/sign/"):
            signed = path.removeprefix("/storage/v1") + "?token=t"
            self._answer(json.dumps({"signedURL": signed}).encode())
        elif path.startswith("/storage/v1/object/"):
            self._answer(b'{"Key":"k","Id":"i"}')
        else:
            self._answer(b"[]")

    def _answer_picture(self, copy: str, name: str) -> None:
        picture = memoryview(self._world.pictures[name])[len(JPEG_START) :]
        comment = JPEG_COMMENT + struct.pack("!H", 2 + len(copy)) + copy.encode()
        self._answer(JPEG_START + comment, picture, content_type=b"image/jpeg")

    def _answer(self, *body: bytes | memoryview, content_type: bytes = b"application/json") -> None:
        if not self._transport.is_closing():
            head = b"HTTP/1.1 200 OK\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n"
            self._transport.write(head % (content_type, sum(map(len, body))))
            for piece in body:
                self._transport.write(piece)


async def main() -> None:
    """Listen on a free port and say which; ends with the parent's pipe."""
    loop = asyncio.get_running_loop()
    world = World(Path(sys.argv[1]))
    server = await loop.create_server(lambda: Connection(world), "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    uvloop.run(main())
