"""A stand-in for OpenAI's image edits that real processes can talk to: a loopback HTTP server in a thread of its own.

    with OpenAIStub(latency_s=0.2) as openai:
        openai.then(RateLimit(retry_after="2"), Reset())   # the next two requests; later ones get pictures
        ...                                                # a worker with OPENAI_BASE_URL=openai.url
        assert openai.requests[0].fields["model"] == "gpt-image-2.6-sunburst"

It knows OpenAI's models (`support.openai_catalogue`) and has a day: one whose last day has come is gone. A request with
a field that its model does not take is refused, and fails the test when the stand-in stops.

It answers with a real JPEG made of the pictures that were sent, so a test can see that the right ones arrived. It
works the same from sync and async tests: nothing of it runs on the caller's loop.
"""

import asyncio
import base64
import io
import json
import socket
import ssl
import struct
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from email.message import Message
from email.parser import BytesParser
from email.utils import formatdate
from typing import Self

from PIL import Image

from support.openai_catalogue import CATALOGUE, NOW, Listed, complaint_about

USAGE = {
    "total_tokens": 2416,
    "input_tokens": 832,
    "output_tokens": 1584,
    "input_tokens_details": {"text_tokens": 64, "image_tokens": 768},
    "output_tokens_details": {"text_tokens": 0, "image_tokens": 1584},
}
COST_USD = "0.053984"
"""(64 * 5 + 768 * 8 + 1584 * 30) / 1e6, by hand: what a worker must write for `USAGE` with a model of today."""

COST_USD_1_5 = "0.057152"
"""The same for `gpt-image-1.5`: 32 for an output token."""


@dataclass(frozen=True)
class Part:
    """One picture of a request."""

    name: str
    content_type: str
    data: bytes


@dataclass(frozen=True)
class Received:
    """One request as it came. Header names are in lower case."""

    path: str
    headers: Mapping[str, str]
    fields: Mapping[str, str]
    pictures: Sequence[Part]
    at: float
    """time.monotonic()"""


@dataclass(frozen=True)
class Answer:
    """What to send back, in full."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


def error(
    status: int, code: str | None, headers: Mapping[str, str] | None = None, param: str | None = None, about: str = ""
) -> Answer:
    """An error as OpenAI words it. The message quotes the key and the prompt, which no log may show."""
    message = f"Incorrect: sk-secret, 'a prompt'{about}"
    details = {"message": message, "type": "invalid_request_error", "param": param}
    return Answer(status, json.dumps({"error": {**details, "code": code}}).encode(), headers or {})


def rate_limit(retry_after: str | None = "1") -> Answer:
    """429, come back later."""
    return error(429, "rate_limit_exceeded", {"Retry-After": retry_after} if retry_after is not None else {})


def server_error(status: int = 500) -> Answer:
    """A 5xx."""
    return error(status, "server_error")


MODERATION = error(400, "moderation_blocked")
INSUFFICIENT_QUOTA = error(429, "insufficient_quota")
INVALID_KEY = error(401, "invalid_api_key")
GARBAGE = Answer(200, b"<html>this is not JSON</html>")


class Reset:
    """Close the connection with a TCP reset after the request was read: it may have been done."""


class Hang:
    """Never answer."""


@dataclass(frozen=True)
class Picture:
    """A picture after all, in another format (`PNG`, `WEBP`) or after another time than usual."""

    format: str = "JPEG"
    latency_s: float | None = None


Fault = Answer | Reset | Hang | Picture


class OpenAIStub:
    """The server. Every request for a picture is kept in `requests`, in the order in which they were read."""

    def __init__(self, *, latency_s: float = 0.0, tls: ssl.SSLContext | None = None) -> None:
        self.latency_s = latency_s
        self._tls = tls
        self.requests: list[Received] = []
        self.looked_up: list[str] = []
        """Paths of the look-ups of models: free, and in no list above."""
        self.connections = 0
        """How many connections were opened so far."""
        self.today = NOW
        """Models whose last day is this or an earlier one are gone."""
        self.not_allowed: set[str] = set()
        """Models that answer 403, as they do to an organisation that is not verified."""
        self.not_taken: list[str] = []
        """What was refused because the model does not take it."""
        self._models = {name: model for model in CATALOGUE for name in model.names}
        self.paid: list[Received] = []
        """Requests that were answered with a picture, read by the other side or not."""
        self._script: deque[Fault] = deque()
        self._scripts: dict[str, deque[Fault]] = {}
        self._always: Fault = Picture()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="openai-stub", daemon=True)
        self._pictures: dict[tuple[object, ...], bytes] = {}
        self._serving: set[asyncio.Task[None]] = set()

    def start(self) -> Self:
        """Listen on a free loopback port."""
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result()
        self.port = int(self._server.sockets[0].getsockname()[1])
        return self

    def stop(self) -> None:
        """Close every connection and end the thread."""
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, failure: object, *_: object) -> None:
        self.stop()
        if failure is None:
            assert self.not_taken == [], "a model was sent what it does not take"

    @property
    def url(self) -> str:
        """What OPENAI_BASE_URL is to be."""
        return f"http{'s' if self._tls else ''}://127.0.0.1:{self.port}/v1"

    @property
    def pictures_sent(self) -> int:
        """How many requests were paid."""
        return len(self.paid)

    def serve_own(self, name: str) -> None:
        """A model of somebody's own, on a server that refuses fields that it does not know."""
        self._models[name] = Listed([name], any_size=True, own=True)

    def announce(self, name: str, shutdown: date) -> None:
        """The last day of a model and its aliases."""
        listed = replace(self._models[name], shutdown=shutdown)
        self._models.update(dict.fromkeys(listed.names, listed))

    def when(self, prompt: str, *faults: Fault) -> None:
        """What the requests with that very prompt get, one each and the last one for ever."""
        self._scripts[prompt] = deque(faults)

    def then(self, *faults: Fault) -> None:
        """What the next requests get, one each."""
        self._script.extend(faults)

    def always(self, fault: Fault) -> None:
        """What every request gets that `then` does not speak of; `Picture()` brings back the normal state."""
        self._always = fault

    async def _listen(self) -> asyncio.Server:
        return await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=2**20, ssl=self._tls)

    async def _close(self) -> None:
        self._server.close()
        for connection in self._serving:
            connection.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        self.connections += 1
        try:
            while (received := await _read_request(reader)) is not None:
                if "/models/" in received.path:
                    self.looked_up.append(received.path)
                else:
                    self.requests.append(received)
                if not await self._answer(received, writer):
                    break
        except (ConnectionError, asyncio.CancelledError):
            pass  # the worker was killed, or the test is over
        finally:
            self._serving.discard(task)
            writer.close()

    async def _answer(self, received: Received, writer: asyncio.StreamWriter) -> bool:
        """Do what is due; False when the connection is over."""
        fault = self._fault_for(received)
        match fault:
            case Hang():
                await asyncio.Event().wait()
            case Reset():
                # SO_LINGER with a time of zero turns close() into a reset.
                connection: socket.socket = writer.get_extra_info("socket")
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                writer.transport.abort()
                return False
            case Picture():
                started = time.monotonic()
                size = received.fields.get("size", "1024x1536")
                picture = await asyncio.to_thread(self._picture, received.pictures, fault.format, size)
                latency_s = self.latency_s if fault.latency_s is None else fault.latency_s
                await asyncio.sleep(max(0.0, latency_s - (time.monotonic() - started)))
                self.paid.append(received)
                answer = {"created": 1, "data": [{"b64_json": base64.b64encode(picture).decode()}], "usage": USAGE}
                await _send(writer, Answer(200, json.dumps(answer).encode()))
            case Answer():
                await _send(writer, fault)
        return True

    def _fault_for(self, received: Received) -> Fault:
        script = self._scripts.get(received.fields.get("prompt", ""))
        if script:
            return script.popleft() if len(script) > 1 else script[0]
        if self._script and "/models/" not in received.path:  # look-ups are no requests for pictures
            return self._script.popleft()
        if not isinstance(self._always, Picture):
            return self._always
        if "/models/" in received.path:
            return self._listing(received.path.partition("/models/")[2])
        return self._refusal(received) or self._always

    def _listing(self, name: str) -> Answer:
        model = self._living(name)
        if model is None:
            return error(404, "model_not_found", about=f": The model '{name}' does not exist")
        shutdown = model.shutdown and model.shutdown.isoformat()
        return Answer(200, json.dumps({"id": name, "object": "model", "shutdown_date": shutdown}).encode())

    def _living(self, name: str) -> Listed | None:
        model = self._models.get(name)
        return None if model is None or (model.shutdown and model.shutdown <= self.today) else model

    def _refusal(self, received: Received) -> Answer | None:
        """What the API says to a request before it makes a picture; None: nothing."""
        name = received.fields.get("model", "")
        if name in self.not_allowed:
            about = f": Your organization must be verified to use the model `{name}`"
            return error(403, None, about=about)
        model = self._living(name)
        if model is None:
            return error(404, "model_not_found", about=f": The model '{name}' does not exist")
        complaint = complaint_about(model, received.fields, len(received.pictures))
        if complaint is None:
            return None
        self.not_taken.append(f"{name}: {complaint.param} ({complaint.code})")
        return error(400, complaint.code, param=complaint.param)

    def _picture(self, parts: Sequence[Part], picture_format: str, size: str) -> bytes:
        """The pictures that were sent, side by side; kept, so that a load test does not measure Pillow."""
        key = (picture_format, size, *(hash(part.data) for part in parts))
        if key not in self._pictures:
            wide, high = (int(edge) for edge in size.split("x"))
            canvas = Image.new("RGB", (wide, high), "white")
            width = wide // max(1, len(parts))
            for index, part in enumerate(parts):
                with Image.open(io.BytesIO(part.data)) as picture:
                    canvas.paste(picture.convert("RGB").resize((width, high)), (index * width, 0))
            data = io.BytesIO()
            canvas.save(data, picture_format)
            self._pictures[key] = data.getvalue()
        return self._pictures[key]


async def _read_request(reader: asyncio.StreamReader) -> Received | None:
    """One HTTP/1.1 request with a Content-Length, as httpx sends it; None at the end of the connection."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        request_line, _, header_lines = head.partition(b"\r\n")
        message = BytesParser().parsebytes(header_lines, headersonly=True)
        body = await reader.readexactly(int(message.get("content-length", "0")))
    except asyncio.IncompleteReadError:
        return None
    at = time.monotonic()
    headers = {name.lower(): str(value) for name, value in message.items()}
    if request_line.startswith(b"GET "):
        return Received(request_line.split()[1].decode(), headers, {}, [], at)
    fields, pictures = await asyncio.to_thread(parse_form, headers.get("content-type", ""), body)
    return Received(request_line.split()[1].decode(), headers, fields, pictures, at)


def parse_form(content_type: str, body: bytes) -> tuple[dict[str, str], list[Part]]:
    """Text fields and pictures (`image[]`) of a multipart form; fails when it is not put together by the rules.

    Python's MIME parser does it too, but needs a tenth of a second for a megabyte.
    """
    form = Message()
    form["Content-Type"] = content_type
    assert form.get_content_type() == "multipart/form-data"
    boundary = b"\r\n--" + str(form.get_param("boundary")).encode()
    preamble, *parts, epilogue = (b"\r\n" + body).split(boundary)
    assert preamble == b""
    assert epilogue == b"--\r\n"
    fields: dict[str, str] = {}
    pictures: list[Part] = []
    for part in parts:
        head, separator, data = part.partition(b"\r\n\r\n")
        assert separator
        headers = BytesParser().parsebytes(head.removeprefix(b"\r\n"), headersonly=True)
        assert headers.get_content_disposition() == "form-data"
        name = str(headers.get_param("name", header="content-disposition"))
        if name == "image[]":
            pictures.append(Part(headers.get_filename() or "", headers.get_content_type(), data))
        else:
            assert name not in fields, f"{name} was sent twice"
            fields[name] = data.decode()
    return fields, pictures


async def _send(writer: asyncio.StreamWriter, answer: Answer) -> None:
    headers = {
        "Content-Type": "application/json",
        "Content-Length": str(len(answer.body)),
        "x-request-id": "req_openai",
        "Date": formatdate(usegmt=True),
        **answer.headers,
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    writer.write(f"HTTP/1.1 {answer.status} -\r\n{head}\r\n".encode() + answer.body)
    await writer.drain()
