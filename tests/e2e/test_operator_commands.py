"""`wearon dead-letters`, `refunds`, `reconcile`, `session`: against a real Redis and platform, and in local mode."""

import json
import subprocess
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from support.gateway import Fault
from support.machines import Machines
from support.processes import SERVE, run_wearon, wait_until, worker
from support.shop import Order, Shop

pytestmark = pytest.mark.slow

Run = Callable[..., "subprocess.CompletedProcess[str]"]


def run_with(env: Mapping[str, str], cwd: Path) -> Run:
    """What runs `wearon ...` with those settings."""

    def run(*arguments: str, answer: str = "", expect: int = 0) -> "subprocess.CompletedProcess[str]":
        done = run_wearon(*arguments, env=env, cwd=cwd, answer=answer)
        assert done.returncode == expect, done.stderr
        return done

    return run


@pytest.fixture
def wearon(production_env: dict[str, str], tmp_path: Path) -> Run:
    return run_with(production_env, tmp_path)


def answer_of(done: "subprocess.CompletedProcess[str]") -> Any:
    return json.loads(done.stdout)


def outstanding_refund(shop: Shop, order: Order, **fields: str) -> None:
    """What a worker that died before it could do anything has left in the outbox."""
    intent = {
        "channel": order.channel,
        "owner_id": order.owner_id,
        "session_id": order.session_id,
        "request_id": order.request_id,
        "error_message": "Internal error during generation",
        "reason": "for the test",
        "completed_at": datetime.now(UTC).isoformat(timespec="microseconds"),
        **fields,
    }
    shop.redis.hset("wearon:refunds", f"{order.channel}:{order.session_id}", json.dumps(intent))


def test_dead_letters_are_listed_shown_retried_and_discarded(shop: Shop, machines: Machines, wearon: Run) -> None:
    machines.serve("--no-api")
    early = shop.buy()
    row = shop.row(early)
    shop.supabase.sql("delete from generation_sessions where id = %s", [early.session_id])
    shop.push(early)
    shop.push_raw("this is not [bold]JSON[/bold]")
    shop.push_raw(b"x" * 600_000)
    wait_until(lambda: len(shop.dead_letters()) == 3 or None, lambda: "no dead letters")
    shop.wait_until_settled()

    letters = answer_of(wearon("dead-letters", "list", "--json"))["dead_letters"]
    by_reason = {letter["reason"].split(":")[0]: letter for letter in letters}
    missing, garbage, large = by_reason["no such session"], by_reason["not JSON"], by_reason["larger than 524288 bytes"]
    assert missing["session_id"] == early.session_id
    assert garbage["id"] in wearon("dead-letters", "list").stdout
    assert "[bold]JSON[/bold]" in wearon("dead-letters", "show", garbage["id"]).stdout
    assert answer_of(wearon("dead-letters", "show", missing["id"], "--json"))["whole"] is True

    # The session has come meanwhile: a retry makes its picture.
    shop.supabase.sql(
        "insert into generation_sessions (id, user_id) values (%s, %s)", [early.session_id, row["user_id"]]
    )
    wearon("dead-letters", "retry", missing["id"])
    shop.wait_for_end(early)
    shop.wait_until_settled()
    assert shop.check_books(early)["status"] == "completed"

    refused = wearon("dead-letters", "retry", large["id"], expect=1)
    assert len(refused.stderr.strip().splitlines()) == 1
    wearon("dead-letters", "discard", garbage["id"], answer="n\n", expect=1)
    assert len(shop.dead_letters()) == 2
    wearon("dead-letters", "discard", garbage["id"], answer="y\n")
    wearon("dead-letters", "discard", large["id"], "--yes")
    assert shop.dead_letters() == []
    assert "there is no dead letter" in wearon("dead-letters", "show", "nothing", expect=1).stderr


def test_refunds_are_listed_with_age_and_error_and_retried(shop: Shop, wearon: Run) -> None:
    user, overage = shop.buy("b2c", credits=2), shop.buy("b2b")
    shop.supabase.sql(
        "update store_credit_transactions set type = 'overage' where request_id = %s", [overage.request_id]
    )
    late = (datetime.now(UTC) - timedelta(minutes=5)).isoformat(timespec="microseconds")
    outstanding_refund(shop, user, completed_at=late)
    outstanding_refund(shop, overage)

    shop.supabase.gateway.stop()
    failed = wearon("refunds", "retry", "--json", expect=1)
    assert answer_of(failed)["settled"] == []
    listed = wearon("refunds", "list", "--json", expect=0)
    shop.supabase.gateway.start()
    first, second = answer_of(listed)["outstanding"]
    assert (first["session_id"], first["late"], second["late"]) == (user.session_id, True, False)
    assert first["age_s"] >= 300
    assert "ConnectError" in first["error"]
    assert "LATE" in wearon("refunds", "list").stdout

    assert set(answer_of(wearon("refunds", "retry", "--json"))["settled"]) == {user.session_id, overage.session_id}
    assert shop.check_books(user)["status"] == "failed"
    assert refunds_in_the_list(wearon)[user.session_id] == "given_back"
    after = answer_of(wearon("refunds", "list", "--json"))
    assert after["outstanding"] == []
    (case,) = after["by_hand"]
    assert (case["session_id"], case["why"]) == (overage.session_id, "charged in money as an overage")
    assert shop.credits_back(overage) == 0
    wearon("refunds", "resolve", overage.session_id, "--yes")
    assert answer_of(wearon("refunds", "list", "--json"))["by_hand"] == []
    resolved, *retried = answer_of(wearon("audit-log", "--since", "1h", "--json"))["entries"]
    assert (resolved["action"], resolved["via"], resolved["ids"]) == (
        "resolve_refunds",
        "command",
        [overage.session_id],
    )
    assert resolved["before"] == {"needs_review": True, "why": "charged in money as an overage"}
    assert [one["action"] for one in retried] == ["retry_refunds"] * len(retried)
    assert overage.session_id in wearon("audit-log").stdout
    assert "no refund of session" in wearon("refunds", "retry", str(uuid4()), expect=1).stderr


def refunds_in_the_list(wearon: Run) -> dict[str, str]:
    """What became of the refund of each session that failed, as the list of sessions says."""
    lines = answer_of(wearon("sessions", "--json"))["sessions"]
    return {line["session_id"]: line["refund"] for line in lines if line["status"] == "failed"}


def test_an_audit_finds_a_refund_that_everybody_forgot_and_repairs_it(shop: Shop, wearon: Run) -> None:
    user, store = shop.buy("b2c"), shop.buy("b2b", resell=True)
    an_hour_ago = datetime.now(UTC) - timedelta(hours=1)
    said = [an_hour_ago, an_hour_ago, "Internal error during generation"]
    assignments = "set status = 'failed', created_at = %s, completed_at = %s, error_message = %s"
    shop.supabase.sql(f"update generation_sessions {assignments}", said)
    shop.supabase.sql(f"update store_generation_sessions {assignments}", said)

    found = wearon("audit", "--since", "2h", expect=1)
    assert "2 sessions audited." in found.stdout
    assert {line for line in found.stdout.splitlines() if "(b2" in line} == {
        f"  {order.session_id} ({order.channel})" for order in (user, store)
    }
    assert "the books do not agree in 2 places" in found.stderr
    assert "2 refund missing" in wearon("status", "--once", expect=1).stdout
    assert answer_of(wearon("audit", "--since", "30m", "--json", expect=1))["counts"] == {"refund_missing": 2}

    repaired = answer_of(wearon("audit", "--repair", "--json"))
    assert {finding["session_id"] for finding in repaired["settled"]} == {user.session_id, store.session_id}
    assert wearon("audit").stdout == "2 sessions audited. The books agree.\n"
    assert refunds_in_the_list(wearon) == {user.session_id: "given_back", store.session_id: "given_back"}
    for order in (user, store):
        assert shop.check_books(order)["status"] == "failed"
    assert "span of time" in wearon("audit", "--since", "2 days", expect=2).stderr


def test_old_pictures_are_counted_and_deleted_when_that_is_wanted(
    shop: Shop, wearon: Run, production_env: dict[str, str], tmp_path: Path
) -> None:
    storage = shop.supabase.storage
    now, storage.clock = storage.clock, lambda: now() - 7 * 3600
    for path in (photo := f"uploads/person-1764400000000-{uuid4()}.jpg", dress := "uploads/[bold]dress.jpg"):
        storage.put(path, b"\xff\xd8\xff")
    storage.clock = now
    assert "RETENTION_HOURS is not set" in wearon("retention", expect=1).stderr
    counted = wearon("retention", "--dry-run").stdout
    assert "Older than 6 hours and would be deleted: 0 results, 1 upload" in counted
    assert dress in counted
    assert photo in storage.objects
    done = answer_of(run_with({**production_env, "RETENTION_HOURS": "6"}, tmp_path)("retention", "--json"))
    (noted,) = answer_of(wearon("audit-log", "--json"))["entries"]
    assert (noted["action"], noted["about"]) == ("delete_old_pictures", "older than 6 hours")
    assert (done["dry_run"], done["uploads"]) == (False, 1)
    assert photo not in storage.objects
    assert dress in storage.objects


def test_reconcile_finds_what_nobody_works_on_and_leaves_the_rest(shop: Shop, wearon: Run) -> None:
    orphan, waiting, young, half_failed = shop.buy(), shop.buy("b2b"), shop.buy(), shop.buy("b2b", resell=True)
    for order in (orphan, waiting):
        shop.age(order, minutes=20)
    shop.push(waiting)
    outstanding_refund(shop, half_failed)

    would = answer_of(wearon("reconcile", "--dry-run", "--json"))
    assert [found["session_id"] for found in would["orphans"]] == [orphan.session_id]
    assert [found["session_id"] for found in would["outstanding"]] == [half_failed.session_id]
    assert shop.row(orphan)["status"] == "queued"
    assert "would be failed" in wearon("reconcile", "--dry-run").stdout

    done = answer_of(wearon("reconcile", "--json"))
    assert [found["session_id"] for found in done["orphans"]] == [orphan.session_id]
    assert done["settled"] == [half_failed.session_id]
    assert refunds_in_the_list(wearon) == {orphan.session_id: "given_back", half_failed.session_id: "given_back"}
    assert shop.check_books(orphan)["status"] == "failed"
    assert shop.check_books(half_failed)["status"] == "failed"
    assert [shop.row(order)["status"] for order in (waiting, young)] == ["queued", "queued"]
    assert "No session is orphaned" in wearon("reconcile").stdout


def add_old_photo(shop: Shop) -> None:
    storage = shop.supabase.storage
    now, storage.clock = storage.clock, lambda: now() - 7 * 3600
    storage.put(f"uploads/person-1764400000000-{uuid4()}.jpg", b"\xff\xd8\xff")
    storage.clock = now


def forget_a_refund(shop: Shop) -> None:
    an_hour_ago = datetime.now(UTC) - timedelta(hours=1)
    shop.supabase.sql(
        "update generation_sessions set status = 'failed', created_at = %s, completed_at = %s, error_message = %s"
        " where id = %s",
        [an_hour_ago, an_hour_ago, "Internal error during generation", shop.buy().session_id],
    )


REFUND = "POST /rest/v1/rpc/refund_credits"


@pytest.mark.parametrize(
    ("command", "action", "arrange", "request_line"),
    [
        ("reconcile", "fail_orphans", lambda shop: shop.age(shop.buy(), minutes=20), "PATCH /rest/v1/generation_"),
        ("audit --repair", "repair_books", forget_a_refund, REFUND),
        ("retention", "delete_old_pictures", add_old_photo, "DELETE /storage/v1/object"),
        ("refunds retry", "retry_refunds", lambda shop: outstanding_refund(shop, shop.buy()), REFUND),
    ],
)
def test_a_command_that_is_killed_after_it_did_something_is_in_the_audit_log(
    shop: Shop,
    wearon: Run,
    production_env: dict[str, str],
    tmp_path: Path,
    command: str,
    action: str,
    arrange: Callable[[Shop], None],
    request_line: str,
) -> None:
    arrange(shop)
    done = shop.supabase.gateway.add(Fault(request_line, hold_answer=True))
    with worker([*SERVE[:3], *command.split()], {**production_env, "RETENTION_HOURS": "6"}, tmp_path) as process:
        assert done.reached.wait(20), process.log
        process.kill()
    done.release()
    (entry,) = answer_of(wearon("audit-log", "--json"))["entries"]
    assert (entry["action"], entry["via"], entry["after"]) == (action, "command", {"state": "begun"})


def await_dead_letters(shop: Shop, count: int) -> None:
    wait_until(lambda: len(shop.dead_letters()) == count or None, lambda: f"not {count} dead letters")


def test_sessions_are_cancelled_one_by_one_and_those_of_a_store_together(shop: Shop, wearon: Run) -> None:
    alone, store = shop.buy(), shop.buy("b2b")
    for order in (alone, store):
        shop.push(order)
    done = wearon("cancel", alone.session_id)
    assert alone.session_id in done.stdout
    # No worker is there, so its task still waits for its turn, and everybody sees at once what has become of it.
    assert shop.redis.llen("wearon:tasks:generation") == 2
    assert shop.check_books(alone)["status"] == "failed"
    history = answer_of(wearon("session", alone.session_id, "--json"))
    assert (history["where"], history["refund"]["state"]) == ("Failed: Cancelled", "given_back")
    assert refunds_in_the_list(wearon) == {alone.session_id: "given_back"}
    again = answer_of(wearon("cancel", alone.session_id, "--now", "--json", expect=1))
    assert again == {"session_id": alone.session_id, "outcome": "failed"}
    for wrong in ((), (alone.session_id, "--waiting"), ("--store", store.owner_id)):
        wearon("cancel", *wrong, expect=2)
    wearon("cancel", "--store", store.owner_id, "--waiting", answer="n\n", expect=1)
    assert shop.row(store)["status"] == "queued"
    found = answer_of(wearon("cancel", "--store", store.owner_id, "--waiting", "--yes", "--json"))
    assert found == {"store_id": store.owner_id, "cancelled": 1}
    for order in (alone, store):
        assert shop.check_books(order)["error_message"] == "Cancelled"


def test_many_dead_letters_are_retried_at_once(shop: Shop, machines: Machines, wearon: Run) -> None:
    machines.serve("--no-api")
    rows = {}
    for number, order in enumerate(orders := [shop.buy() for _ in range(3)], start=1):
        rows[order.session_id] = shop.row(order)
        shop.supabase.sql("delete from generation_sessions where id = %s", [order.session_id])
        shop.push(order)
        # One after the other: jobs run side by side, and become dead letters in any order.
        await_dead_letters(shop, number)
    shop.push_raw(b"x" * 600_000)
    await_dead_letters(shop, 4)
    for order in orders:
        shop.supabase.sql(
            "insert into generation_sessions (id, user_id) values (%s, %s)",
            [order.session_id, rows[order.session_id]["user_id"]],
        )

    wearon("dead-letters", "retry", expect=1)
    wearon("dead-letters", "retry", "--all", answer="n\n", expect=1)
    assert len(shop.dead_letters()) == 4
    done = wearon("dead-letters", "retry", "--all", "--yes", "--json", expect=1)
    answer = answer_of(done)
    assert [letter["session_id"] for letter in answer["pushed"]] == [order.session_id for order in orders]
    assert ["cannot become tasks" in refused["why"] for refused in answer["refused"]] == [True]
    assert len(shop.dead_letters()) == 1
    for order in orders:
        assert shop.wait_for_end(order)["status"] == "completed"


def test_what_is_out_of_reach_is_one_line(production_env: dict[str, str], tmp_path: Path) -> None:
    wearon = run_with({**production_env, "REDIS_URL": "redis://127.0.0.1:1"}, tmp_path)
    for command in (["dead-letters", "list"], ["refunds", "list"], ["reconcile"], ["session", str(uuid4())]):
        assert len(wearon(*command, expect=1).stderr.strip().splitlines()) == 1


def test_they_work_in_local_mode(tmp_path: Path) -> None:
    env = {"WEARON_MODE": "local", "WEARON_HOME": str(tmp_path / "home"), "LOCAL_REDIS_PORT": "0"}
    wearon = run_with(env, tmp_path)
    assert "wearon serve" in wearon("dead-letters", "list", expect=1).stderr
    with worker((*SERVE, "--no-worker", "--no-api"), env, tmp_path) as process:
        process.wait_for("started")
        assert "no dead letters" in wearon("dead-letters", "list").stdout
        assert answer_of(wearon("refunds", "list", "--json")) == {"outstanding": [], "by_hand": []}
        assert answer_of(wearon("reconcile", "--json"))["orphans"] == []
