"""Strangers do everything they can at once: every order ends, each is paid once, and honest callers are heard."""

import asyncio
import gzip
import resource
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, suppress
from functools import partial
from itertools import count
from pathlib import Path

import httpx
import pytest
from benchmarks.estimate import Answer, Caller
from benchmarks.hostile_callers import TRICKS, attacking, hold_idle, send_again_and_again
from benchmarks.report import quantile

from support import odd_pictures
from support.api_process import PERSON
from support.gateway import Do, Fault, Response
from support.hostile_server import HostileServer, running_hostile_server
from support.machines import API_TOKEN, Machines
from support.openai_stub import OpenAIStub
from support.processes import LIMIT_S, WorkerProcess, wait_until
from support.serve_among_strangers import SILENT, STRANGERS
from support.shop import Order, Shop

pytestmark = pytest.mark.slow

DESCRIPTORS = 1024
ORDERS, CALLERS = 50, 16
TREE_MB = 1200
"""Peaks of the process with the loop, of one that measures and of one that prepares, added up."""

TOKEN = {"Authorization": f"Bearer {API_TOKEN}"}
PACKED_TWICE = {"Content-Type": "application/json", "Content-Encoding": "gzip, gzip"}


@pytest.fixture
def stranger() -> Iterator[HostileServer]:
    """The internet."""
    with running_hostile_server() as server:
        yield server


async def ask_again_and_again(url: str, picture_url: str, answers: list[Answer]) -> None:
    """As an honest caller does, who connects again when he was hung up on while he waited."""
    while True:
        with suppress(OSError, asyncio.IncompleteReadError), closing(Caller(url, API_TOKEN)) as caller:
            while True:
                answers.append(await caller.estimate(picture_url))
                await asyncio.sleep(answers[-1].retry_after or 0)


async def name_what_never_answers(url: str) -> None:
    """One new name a second."""

    async def ask(number: int) -> None:
        with closing(Caller(url, API_TOKEN)) as caller:
            await caller.estimate(f"http://a.{number}{SILENT}/me.jpg")

    async with asyncio.TaskGroup() as group:
        for number in count():
            group.create_task(ask(number))
            await asyncio.sleep(1.0)


def push_hostile_orders(shop: Shop) -> tuple[list[Order], list[Order]]:
    """Those that cost much and are made, and those that nothing can come of; and documents that are no orders."""
    work = odd_pictures.all_work()
    made, hopeless = [], []
    for name in ("PNG of profiles", "PNG, 36 megapixels", "JPEG of comments", "WebP of unknown chunks"):
        made.append(order := shop.buy("b2b"))
        shop.push(order, [shop.upload("me", work[name]()), shop.garment_url], prompt=f"\x1b]52;c;eA==\x07{name}")
    for number in range(6):
        hopeless.append(order := shop.buy("b2b"))
        shop.push(order, [shop.person_url, f"http://drip{number}{STRANGERS}/slow-drip"])
    for document in (b"x" * 64_000_000, b"\x1b]0;owned\x07" * 1000, b'{"session_id": "' + b"\xe2\x80\xae" * 1000):
        shop.push_raw(document)
    return made, hopeless


def misbehave(shop: Shop) -> None:
    """Answers of Supabase that unpack to too much, and messages that are long to read."""
    bomb = Response(200, gzip.compress(gzip.compress(bytes(100_000_000))), PACKED_TWICE)
    long_words = Response(500, b'{"message": "' + b"a" * 80_000 + b'"}', {"Content-Type": "application/json"})
    for answer in (bomb, long_words):
        shop.supabase.gateway.add(Fault(r"GET /rest/v1/\w*generation_sessions", Do.ANSWER, answer, times=5))


def made_room(url: str) -> bool | None:
    """True once waiting connections had to make room for new ones."""
    with suppress(httpx.HTTPError):  # this one may have to
        scrape = httpx.get(f"{url}/metrics", headers=TOKEN, timeout=LIMIT_S).text
        return 'wearon_http_hung_up_total{reason="crowded"} 0.0' not in scrape or None
    return None


def tree_peak_mb(process: WorkerProcess) -> float:
    """The most memory that each process of the tree ever had, in MB, added up."""
    peaks = 0.0
    for pid in (process.pid, *process.pool_processes()):
        status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
        peaks += int(status["VmHWM"].split()[0]) / 1024
    return peaks


def test_all_tricks_at_once_cost_no_order_and_no_descriptor_of_paid_work(
    shop: Shop, machines: Machines, openai: OpenAIStub, stranger: HostileServer
) -> None:
    openai.latency_s = 1.0
    process = machines.serve_among_strangers(stranger.port, API_TOKEN=API_TOKEN)
    url = process.wait_for("started")["url"]
    process.wait_for("pose processes are warm")
    resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (DESCRIPTORS, DESCRIPTORS))
    port, person_url = int(url.rpartition(":")[2]), shop.upload("me.jpg", PERSON)
    answers: list[Answer] = []
    made, hopeless = push_hostile_orders(shop)
    misbehave(shop)
    tricks = [partial(send_again_and_again, port, sent) for sent in TRICKS.values()]
    callers = [partial(ask_again_and_again, url, person_url, answers)] * CALLERS
    with (
        attacking(*tricks, partial(hold_idle, port, 1150), partial(name_what_never_answers, url)),
        attacking(*callers),
    ):
        orders = [shop.buy("b2b" if number % 2 else "b2c") for number in range(ORDERS)]
        for order in orders:
            shop.push(order)
        for order in (*orders, *made, *hopeless):
            shop.wait_for_end(order)
        wait_until(partial(made_room, url), lambda: "there were never too many connections")
        assert len(list(Path(f"/proc/{process.pid}/fd").iterdir())) < DESCRIPTORS
    shop.wait_until_settled()
    assert {shop.check_books(order)["status"] for order in (*orders, *made)} == {"completed"}
    assert {shop.check_books(order)["status"] for order in hopeless} == {"failed"}
    assert openai.pictures_sent == len(orders) + len(made), "each is paid once"
    assert len(shop.dead_letters()) == 3
    statuses = Counter(answer.status for answer in answers)
    times = sorted(answer.seconds for answer in answers)
    print(f"estimates: {dict(statuses)}, p95 {quantile(times, 0.95):.2f} s; tree {tree_peak_mb(process):.0f} MB")
    assert statuses.keys() <= {200, 503}
    assert statuses[200] > 0
    assert tree_peak_mb(process) < TREE_MB
    assert "Traceback" not in process.log
    assert "\x1b" not in process.log
    assert process.stop() == 0
