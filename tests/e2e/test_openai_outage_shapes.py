"""The shapes that outages of OpenAI really have: each for a while under twelve running jobs, and nobody notices.

    uv run pytest tests/e2e/test_openai_outage_shapes.py -s     # with figures

Over TLS, as OpenAI is, and through a forwarder. All complete, and each picture is paid once. While it lasts `/health`
must name it, but for slowness, which is none.
"""

import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme

from support.machines import Machines
from support.openai_stub import INVALID_KEY, Answer, Fault, OpenAIStub, Picture, Reset, server_error
from support.outages import (
    HTML,
    JOBS,
    PAGE,
    WITHIN_S,
    all_completed_and_paid_once,
    all_is_well,
    completed,
    goes_on,
    push_orders,
    sit_it_out,
    wait_for_requests,
)
from support.service_address import ServiceAddress, Way, on_the_way, service_address
from support.shop import Shop
from wearon.queue.pauses import PROBE_S

pytestmark = pytest.mark.slow


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def openai(authority: trustme.CA) -> Iterator[OpenAIStub]:
    """In place of the usual stand-in: one that speaks TLS."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    with OpenAIStub(tls=tls) as stub:
        yield stub


@dataclass(frozen=True)
class Service:
    """OpenAI, and what lies before it."""

    openai: OpenAIStub
    address: ServiceAddress


@pytest.fixture
def service(openai: OpenAIStub) -> Iterator[Service]:
    with service_address(openai.port) as address:
        yield Service(openai, address)


def answers(answer: Fault) -> Callable[[Service], Iterator[None]]:
    def last(service: Service) -> Iterator[None]:
        service.openai.always(answer)
        yield
        service.openai.always(Picture())

    return last


@dataclass(frozen=True)
class Outage:
    """`words`: a piece of what `/health` says. `asked_before`: how many pictures are being made when it begins.
    `within_s`: work goes on so soon after its end."""

    name: str
    last: Callable[[Service], Iterator[None]]
    words: str | None
    asked_before: int = JOBS // 2
    within_s: float = WITHIN_S


OUTAGES = [
    # The fleet pauses itself, and one job in 30 s tries.
    Outage("refused key", answers(INVALID_KEY), "OpenAI refuses our key", within_s=PROBE_S + WITHIN_S),
    Outage("503", answers(server_error(503)), "OpenAI does not answer"),
    Outage("page of a gateway", answers(Answer(502, HTML, PAGE)), "OpenAI does not answer"),
    Outage("page of a gateway with status 200", answers(Answer(200, HTML, PAGE)), "OpenAI does not answer"),
    Outage("half-open connections", on_the_way(Way.HOLE), "OpenAI does not answer"),
    Outage("latency of a second", on_the_way(Way.SLOW), None),
    Outage("requests are lost", answers(Reset()), "OpenAI does not answer"),
    # What is being made when they are cut off is paid: that it is asked for again is not promised to cost nothing.
    Outage("reset in the hand-shake", on_the_way(Way.RESET_GREETINGS), "OpenAI does not answer", asked_before=0),
]


@pytest.mark.parametrize("outage", OUTAGES, ids=lambda outage: outage.name)
def test_an_outage_of_this_shape_fails_nobody_and_is_paid_by_nobody(
    shop: Shop, machines: Machines, service: Service, authority: trustme.CA, tmp_path: Path, outage: Outage
) -> None:
    openai = service.openai
    openai.latency_s = 2.0
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    process = machines.serve(
        WORKER_CONCURRENCY=str(JOBS),
        OPENAI_BASE_URL=f"https://127.0.0.1:{service.address.port}/v1",
        CA_FILE=str(tmp_path / "authority.pem"),
    )
    url = process.wait_for("started")["url"]
    orders = push_orders(shop, JOBS) if outage.asked_before else []
    wait_for_requests(openai, outage.asked_before)
    with contextmanager(outage.last)(service):
        orders += push_orders(shop, 4 if orders else JOBS)
        sit_it_out(url, outage.words)
        done = completed(shop)
    goes_on(shop, min(done, len(orders) - 1), limit_s=outage.within_s)
    all_completed_and_paid_once(shop, openai, orders)
    all_is_well(url)
