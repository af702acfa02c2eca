"""Strangers at the HTTP port of a worker that makes pictures: nothing is paid twice, honest callers are heard."""

import resource
from functools import partial
from pathlib import Path

import httpx
import pytest
from benchmarks.hostile_callers import TRICKS, attacking, hold_idle, send_again_and_again

from support.machines import API_TOKEN, Machines
from support.openai_stub import OpenAIStub
from support.processes import LIMIT_S
from support.shop import Shop

pytestmark = pytest.mark.slow

DESCRIPTORS = 1024
TOKEN = {"Authorization": f"Bearer {API_TOKEN}"}


def test_all_tricks_at_once_cost_no_order_and_no_descriptor_of_paid_work(
    shop: Shop, machines: Machines, openai: OpenAIStub
) -> None:
    openai.latency_s = 1.0
    process = machines.serve(API_TOKEN=API_TOKEN)
    url = process.wait_for("started")["url"]
    process.wait_for("pose processes are warm")
    resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (DESCRIPTORS, DESCRIPTORS))
    port = int(url.rpartition(":")[2])
    tricks = [partial(send_again_and_again, port, sent) for sent in TRICKS.values()]
    with attacking(*tricks, partial(hold_idle, port, 1150)):
        orders = [shop.buy("b2b" if number % 2 else "b2c") for number in range(10)]
        for order in orders:
            shop.push(order)
        for _ in range(20):
            assert httpx.get(f"{url}/health/live", timeout=LIMIT_S).status_code == 200
        answer = httpx.post(
            f"{url}/estimate-body",
            json={"image_url": shop.person_url, "height_cm": 170},
            headers=TOKEN,
            timeout=LIMIT_S,
        )
        assert answer.status_code in {200, 422}, "heard and measured, whoever else is there"
        assert len(list(Path(f"/proc/{process.pid}/fd").iterdir())) < DESCRIPTORS
        ends = [shop.wait_for_end(order)["status"] for order in orders]
    assert ends == ["completed"] * len(orders)
    assert openai.pictures_sent == len(orders)
    shop.wait_until_settled()
    scrape = httpx.get(f"{url}/metrics", headers=TOKEN, timeout=LIMIT_S).text
    assert 'wearon_http_hung_up_total{reason="crowded"} 0.0' not in scrape
    assert "Traceback" not in process.log
    assert process.stop() == 0
