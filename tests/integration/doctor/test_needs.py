"""What the doctor looks for is what the worker really asks of Supabase, read off the wire."""

import json
import re
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from urllib.parse import parse_qsl, urlsplit
from uuid import uuid4

import pytest

from support.gateway import Exchange
from support.observers import platform_observers
from support.platform_side import SupabaseSide
from support.postgrest import Supabase
from wearon.doctor.supabase import TABLES
from wearon.doctor.supabase_verdicts import FUNCTIONS
from wearon.platform.base import OPEN_STATUSES, Channel, Completion, ShopperRefund, Status, StoreRefund, UserRefund
from wearon.platform.supabase import SupabasePlatform
from wearon.platform.supabase_bucket import BUCKET
from wearon.platform.supabase_functions import FAIL_AND_REFUND, FAIL_AND_REFUND_ARGUMENTS

pytestmark = pytest.mark.slow

NO_COLUMNS = {"select", "order", "limit", "offset", "columns", "and", "or"}


async def test_the_doctor_looks_for_what_the_worker_uses(supabase: Supabase) -> None:
    platform = await SupabasePlatform.connect(supabase.url, supabase.service_role_key, **platform_observers())
    try:
        side = SupabaseSide(supabase, platform)
        supabase.gateway.exchanges.clear()
        await do_everything(side)
    finally:
        await platform.aclose()

    columns, functions, buckets = used(list(supabase.gateway.exchanges))
    assert functions == {**FUNCTIONS, FAIL_AND_REFUND: FAIL_AND_REFUND_ARGUMENTS}
    assert buckets == {BUCKET}
    # Ledger rows are read whole ("*"); what is picked out of them is checked by what is filtered by, and here by name.
    for ledger in ("credit_transactions", "store_credit_transactions"):
        columns[ledger] |= {"type", "description"}
    assert columns == {table: set(names) for table, names in TABLES.items()}


async def do_everything(side: SupabaseSide) -> None:
    """Each call of the platform once, on both channels."""
    now = datetime.now(UTC)
    done = Completion("https://example.com/x", 1, 2, 3, Decimal("0.1"), now)
    for channel in Channel:
        ref = side.add_session(channel, Status.QUEUED, request_id="req_1")
        await side.platform.start_session(ref)
        await side.platform.requeue_session(ref)
        await side.platform.start_session(ref)
        await side.platform.complete_session(ref, done)
        await side.platform.fail_session(ref, "sorry", now)
        session = await side.platform.find_session(channel, ref.session_id)
        assert session is not None
        await side.platform.ledger_entries(session)
        await side.platform.store_picture(ref, b"\xff\xd8\xff jpeg \xff\xd9")
        await side.platform.has_picture(ref)
        await side.platform.sign_picture(ref)
        await side.platform.sign_for_a_look(ref.picture_path)
        for term in (ref.session_id, ref.owner_id, "req_1"):
            await side.platform.search_sessions(term, 10)
        await side.platform.list_sessions(channel, OPEN_STATUSES, now, 10)
    await side.platform.check()
    await side.platform.check_bucket()
    await side.platform.fail_and_refund(ref, "sorry", now, "x")
    await side.platform.give_back(UserRefund(side.add_user(), 1, "x"))
    store = side.add_store("shopper@example.com")
    await side.platform.give_back(StoreRefund(store, 1, str(uuid4()), "x"))
    await side.platform.give_back(ShopperRefund(store, "shopper@example.com", 1, str(uuid4()), "x"))


def used(exchanges: Sequence[Exchange]) -> tuple[dict[str, set[str]], dict[str, frozenset[str]], set[str]]:
    """Columns by table, arguments by function, and buckets, as they stood in the requests."""
    columns: dict[str, set[str]] = defaultdict(set)
    functions: dict[str, frozenset[str]] = {}
    buckets: set[str] = set()
    for exchange in exchanges:
        method, _, target = exchange.line.partition(" ")
        url = urlsplit(target)
        _, service, _, name, *rest = url.path.split("/")
        if service == "storage":
            buckets.update(part for part in rest if part.startswith("virtual-"))
        elif name == "rpc":
            functions[rest[0]] = frozenset(json.loads(exchange.body))
        else:
            query = parse_qsl(url.query)
            columns[name] |= {key for key, _ in query} - NO_COLUMNS
            columns[name] |= {word for key, value in query if key == "select" for word in re.findall(r"\w+", value)}
            columns[name] |= {value.partition(".")[0] for key, value in query if key == "order"}
            columns[name] |= set(json.loads(exchange.body)) if method == "PATCH" else set()
    return dict(columns), functions, buckets
