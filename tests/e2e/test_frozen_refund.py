"""A worker that is stopped for longer than the refund's lock, in the instant before its call: one refund in all."""

import signal
import sys

import pytest

from support.machines import Machines
from support.openai_stub import MODERATION, OpenAIStub
from support.postgrest import fail_and_refund_installed
from support.processes import wait_until
from support.shop import Shop

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="whether a process is stopped can be seen on Linux only"),
]


CALL = "POST /rest/v1/rpc/fail_and_refund_session"


def test_with_the_function_a_worker_that_stood_still_before_the_call_pays_nothing_more(
    shop: Shop, machines: Machines, openai: OpenAIStub
) -> None:
    with fail_and_refund_installed(shop.supabase):
        frozen = machines.freezing_serve("--no-api")
        order = shop.buy(credits=2)
        openai.when(order.session_id, MODERATION)
        shop.push(order, prompt=order.session_id)
        wait_until(lambda: frozen.is_stopped or None, lambda: frozen.log)
        machines.serve("--no-api")
        # No clock is turned: the lock runs out after its 20 s, and the other one takes the intent up.
        wait_until(lambda: shop.refunds(order) or None, lambda: "nobody has paid")
        calls = shop.supabase.gateway.count(CALL)
        frozen.signal(signal.SIGCONT)
        assert shop.supabase.gateway.wait_for(CALL, times=calls + 1), "the call that was about to be made is not"
        shop.wait_until_settled()
    assert shop.check_books(order)["status"] == "failed"
    assert openai.pictures_sent == 0
