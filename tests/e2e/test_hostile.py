"""Hostile pictures, transfers, addresses and documents against real worker processes: each ends by the contract, the
process lives on, and an honest customer behind them is served.
"""

import json
import pickle
import re
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from support import picture_zoo as zoo
from support.api_process import PERSON
from support.gateway import Request, Response
from support.hostile_server import HOPELESS, HostileServer, running_hostile_server
from support.machines import SECRET_KEY, Machines
from support.openai_stub import OpenAIStub
from support.processes import LIMIT_S, WorkerProcess, wait_until
from support.shop import Order, Shop

pytestmark = pytest.mark.slow

ROOM_MB = 400
"""For the process with the event loop. Busy with pictures it needs some 200; each gigabyte of a bomb would show."""

INTERNAL = "Internal error during generation"


class ForbiddenServer:
    """Listens on loopback, where nobody may be led by a URL."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._socket.setblocking(False)
        self.port = self._socket.getsockname()[1]

    def was_reached(self) -> bool:
        """Whether anybody has connected."""
        try:
            self._socket.accept()[0].close()
        except BlockingIOError:
            return False
        return True

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def forbidden() -> Iterator[ForbiddenServer]:
    """The server that must stay alone."""
    server = ForbiddenServer()
    yield server
    assert not server.was_reached()
    server.close()


def inward_urls(port: int) -> list[str]:
    """Ways to write this machine's own address; if one of them works, the packet still stays here."""
    hosts = (
        "127.0.0.1", "localhost", "LOCALHOST", "localhost.", "127.1", "127.0.1", "0x7f.0.0.1", "0x7f000001",
        "2130706433", "0177.0.0.1", "017700000001", "0.0.0.0", "0", "[::1]", "[::]", "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]", "[::127.0.0.1]", "user:password@127.0.0.1", "trusted.example@127.0.0.1", "127.0.0.1%00",
    )  # fmt: skip
    return [
        *(f"http://{host}:{port}/latest/meta-data?token=inward-secret" for host in hosts),
        f"https://127.0.0.1:{port}/",
        f"ftp://127.0.0.1:{port}/",
        f"gopher://127.0.0.1:{port}/_PING",
        "file:///etc/passwd",
        f"//127.0.0.1:{port}/",
        "data:image/png;base64,AAAA",
    ]


def hostile_answers(shop: Shop, forbidden: ForbiddenServer) -> list[str]:
    """URLs at the trusted origin whose answers are no pictures: it may be reached, but not believed."""
    image = {"Content-Type": "image/jpeg"}
    answers = {
        "redirect": Response(302, b"", {"Location": f"http://127.0.0.1:{forbidden.port}/"}),
        "html": Response(200, b"<p/>", {"Content-Type": "text/html"}),
        "no-type": Response(200, b"\xff\xd8\xff\xe0"),
        "bomb": Response(200, b"\x1f\x8b" + bytes(1000), {**image, "Content-Encoding": "gzip"}),
        "too-large": Response(200, bytes(10 * 1024 * 1024 + 1), image),
        "missing": Response(404),
        "nothing": Response(204),
    }

    def answer(request: Request) -> Response:
        return answers[request.path.strip("/")]

    shop.supabase.gateway.mount("/hostile", answer)
    return [f"{shop.supabase.url}/hostile/{name}?token=inward-secret" for name in answers]


def peak_mb(process: WorkerProcess) -> float:
    """The most memory that it ever had, in MB."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+)", status)
    assert found
    return int(found[1]) / 1024


def check_calm(process: WorkerProcess, shop: Shop, *, forbidden: ForbiddenServer | None = None) -> None:
    """Alive, of bounded size, and discreet."""
    assert peak_mb(process) < ROOM_MB
    secrets = ["inward-secret", "token=", SECRET_KEY, shop.supabase.service_role_key, "eyJ"]
    if forbidden is not None:
        secrets += [f"127.0.0.1:{forbidden.port}", "meta-data"]
    for secret in secrets:
        assert secret not in process.log
    assert "Traceback" not in process.log


def push_good(shop: Shop) -> Order:
    order = shop.buy()
    shop.push(order)
    return order


def test_every_picture_transfer_and_address_ends_its_own_session_only(
    shop: Shop, machines: Machines, openai: OpenAIStub, forbidden: ForbiddenServer
) -> None:
    process = machines.serve("--no-api", PICTURE_PROCESSES="2")
    fine = {specimen.name: shop.upload("in.jpg", specimen.data) for specimen in zoo.all_that_come_out()}
    bad = {specimen.name: shop.upload("in.jpg", specimen.data) for specimen in zoo.hopeless()}
    bad |= {url: url for url in (*inward_urls(forbidden.port), *hostile_answers(shop, forbidden))}

    def buy(urls: dict[str, str]) -> dict[str, Order]:
        orders = {name: shop.buy("b2b" if number % 2 else "b2c") for number, name in enumerate(urls)}
        for name, order in orders.items():
            shop.push(order, [shop.person_url, urls[name]])
        return orders

    to_fail, to_complete = buy(bad), buy(fine)
    good = push_good(shop)
    for order in (*to_fail.values(), *to_complete.values(), good):
        shop.wait_for_end(order)
    shop.wait_until_settled()

    ends = {name: shop.check_books(order) for name, order in to_fail.items()}
    assert {name for name, row in ends.items() if row["status"] != "failed"} == set()
    assert {row["error_message"] for row in ends.values()} == {INTERNAL}
    assert {name for name, o in to_complete.items() if shop.check_books(o)["status"] != "completed"} == set()
    assert shop.check_books(good)["status"] == "completed"
    assert len(openai.requests) == len(fine) + 1, "nothing is paid for a picture that cannot be used"
    assert all(zoo.SECRET not in part.data for request in openai.requests for part in request.pictures)
    check_calm(process, shop, forbidden=forbidden)


def check_beside_a_front(answer: tuple[int, Any], what: str) -> None:
    """A side picture that is of no use spoils nothing."""
    status, estimate = answer
    assert status == 200, what
    assert "side_photo_not_used" in {warning["code"] for warning in estimate["warnings"]}, what
    assert estimate["measured_from"] == ["photo", "height"], what


def test_every_picture_transfer_and_address_gets_the_contracts_answer(
    shop: Shop, machines: Machines, forbidden: ForbiddenServer
) -> None:
    process = machines.serve("--no-worker", "--no-consumer")
    url = process.wait_for("started")["url"]

    def estimate(image_url: str, **more: str) -> tuple[int, Any]:
        question = {"image_url": image_url, "height_cm": 170, **more}
        answer = httpx.post(f"{url}/estimate-body", json=question, timeout=LIMIT_S)
        return answer.status_code, answer.json()

    def healthy_estimate() -> bool | None:
        return True if estimate(shop.upload("me.jpg", PERSON))[0] == 200 else None

    wait_until(healthy_estimate, lambda: process.log)
    front = shop.upload("me.jpg", PERSON)
    refused = [400, {"detail": "Invalid or inaccessible image URL"}]
    for bad_url in (*inward_urls(forbidden.port), *hostile_answers(shop, forbidden)):
        assert [*estimate(bad_url)] == refused, bad_url
        check_beside_a_front(estimate(front, side_image_url=bad_url), bad_url)
    for hopeless in zoo.hopeless():
        hopeless_url = shop.upload("in.jpg", hopeless.data)
        assert [*estimate(hopeless_url)] == refused, hopeless.name
        check_beside_a_front(estimate(front, side_image_url=hopeless_url), hopeless.name)
    for healthy in zoo.all_that_come_out():
        status, answer = estimate(shop.upload("in.jpg", healthy.data))
        assert (status, answer["detail"]) == (422, "Could not detect full body pose from image"), healthy.name
    wait_until(healthy_estimate, lambda: process.log)
    check_calm(process, shop, forbidden=forbidden)


@pytest.fixture
def stranger() -> Iterator[HostileServer]:
    """A server that does whatever it likes. It is a trusted one, else nobody would connect to loopback at all."""
    with running_hostile_server() as server:
        yield server


def test_no_transfer_holds_up_or_fills_up_the_generations(
    shop: Shop, machines: Machines, openai: OpenAIStub, stranger: HostileServer
) -> None:
    # A trusted server's failures are worth coming back for, up to this deadline.
    settings = {"IMAGE_TRUSTED_ORIGINS": stranger.origin, "GENERATION_DEADLINE_S": "10"}
    process = machines.serve("--no-api", **settings)
    orders = {path: shop.buy("b2b" if number % 2 else "b2c") for number, path in enumerate(HOPELESS)}
    for path, order in orders.items():
        shop.push(order, [shop.person_url, f"{stranger.origin}{path}?token=inward-secret"])
    good = push_good(shop)

    assert shop.wait_for_end(good)["status"] == "completed"
    ends = {path: shop.wait_for_end(order) for path, order in orders.items()}
    shop.wait_until_settled()
    assert {path for path, row in ends.items() if row["status"] != "failed"} == set()
    assert {shop.check_books(order)["error_message"] for order in orders.values()} == {INTERNAL}
    assert shop.wait_for_end(push_good(shop))["status"] == "completed"
    assert len(openai.requests) == 2
    check_calm(process, shop)


def test_no_transfer_holds_up_or_fills_up_the_estimates(
    shop: Shop, machines: Machines, stranger: HostileServer
) -> None:
    process = machines.serve("--no-worker", "--no-consumer", IMAGE_TRUSTED_ORIGINS=stranger.origin)
    url = process.wait_for("started")["url"]
    process.wait_for("pose processes are warm")

    def estimate(image_url: str, **more: str) -> httpx.Response:
        question = {"image_url": image_url, "height_cm": 170, **more}
        return httpx.post(f"{url}/estimate-body", json=question, timeout=LIMIT_S)

    def estimate_in_turn(image_url: str, **more: str) -> httpx.Response:
        """As a caller asks who comes again when that is said: a slow machine serves fewer at once."""
        for _ in range(int(LIMIT_S)):
            answer = estimate(image_url, **more)
            if answer.status_code != 503:
                break
            time.sleep(float(answer.headers.get("Retry-After", 1)))
        return answer

    def estimate_all(
        paths: Sequence[str], *, at_once: int, ask: Callable[..., httpx.Response] = estimate
    ) -> set[tuple[str, int, str]]:
        with ThreadPoolExecutor(at_once) as callers:
            answers = callers.map(ask, [f"{stranger.origin}{path}?token=inward-secret" for path in paths])
            return {(path, a.status_code, a.json()["detail"]) for path, a in zip(paths, answers, strict=True)}

    refused = {(path, 400, "Invalid or inaccessible image URL") for path in HOPELESS}
    assert estimate_all(HOPELESS, at_once=3, ask=estimate_in_turn) == refused
    # More than can be served in time are told so, the others as before.
    turned_away = {(path, 503, "Pose estimation service is temporarily unavailable") for path in HOPELESS}
    assert estimate_all([*HOPELESS, *HOPELESS], at_once=2 * len(HOPELESS)) <= refused | turned_away
    front = shop.upload("me.jpg", PERSON)
    assert estimate_in_turn(front).status_code == 200
    with ThreadPoolExecutor(3) as callers:
        sides = [f"{stranger.origin}{path}" for path in HOPELESS]
        answers = list(callers.map(lambda side: estimate_in_turn(front, side_image_url=side), sides))
    for path, answer in zip(HOPELESS, answers, strict=True):
        check_beside_a_front((answer.status_code, answer.json()), path)
    check_calm(process, shop)


class TouchesAFile:
    """What a pickle of it does to whoever reads it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self._path,)


def test_no_document_and_no_planted_job_stops_the_worker(
    shop: Shop, machines: Machines, openai: OpenAIStub, tmp_path: Path
) -> None:
    process = machines.serve("--no-api")
    touched = tmp_path / "touched"
    evil = pickle.dumps(TouchesAFile(touched))
    nameless: list[bytes] = [
        b"", b"\0", b"\xff\xfe", b"null", b"[]", b"[" * 60_000, b'{"a":' * 20_000, b"1" * 5000, b'{"a": NaN}',
        b'{"a": 1e999}', b'{"session_id": "\\ud800"}', b"x" * 600_000, b"x" * 2_000_000, evil,
    ]  # fmt: skip
    for document in nameless:
        shop.push_raw(document)
    named = {
        "too large": {"padding": "x" * 600_000},
        "nested": {"more": json.loads("[" * 300 + "]" * 300)},
        "huge number": {"version": 10**4000},
    }
    mended = {"NUL": {"prompt": "a\0b"}, "half a pair": {"prompt": "\ud83d"}}
    orders = {name: shop.buy() for name in (*named, *mended)}
    for name, changes in {**named, **mended}.items():
        shop.push(orders[name], **changes)
    planted = (evil, b"{}", b"[]", b"\xff", b'{"f": "os.system", "a": ["true"], "k": {}}')
    for number, job in enumerate(planted):
        shop.redis.set(f"arq:job:planted-{number}", job)
        shop.redis.zadd("wearon:jobs", {f"planted-{number}": 1})
    good = push_good(shop)

    for order in (*orders.values(), good):
        shop.wait_for_end(order)
    shop.wait_until_settled()
    assert not touched.exists()
    for name in named:
        assert shop.check_books(orders[name])["error_message"] == INTERNAL
    for name in mended:
        assert shop.check_books(orders[name])["status"] == "completed"
    assert shop.check_books(good)["status"] == "completed"
    assert len(shop.dead_letters()) == len({*nameless}) + len(named) + len(planted)
    assert len(openai.requests) == 1 + len(mended)
    assert peak_mb(process) < ROOM_MB
    assert process.stop() == 0
