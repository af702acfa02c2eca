"""What the terminal shows of a fleet."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from io import StringIO
from typing import Any

from rich.console import Console

from wearon.cli.status_view import draw, spark
from wearon.operations.incident_model import Cost
from wearon.operations.incidents import KINDS
from wearon.operations.models import (
    FleetStatus,
    ImageModel,
    ImageModelUse,
    Minute,
    Process,
    Queues,
    RunningJob,
    Spend,
)
from wearon.supervisor import Component

AT = datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC)
SESSION = "5b0c2c9e-6f0e-4f0e-9f57-2d3a6c1b9a10"


def a_fleet(**changes: Any) -> FleetStatus:
    fields: dict[str, Any] = {
        "at": AT,
        "mode": "production",
        "status": "ok",
        "queues": Queues(
            tasks=12, oldest_task_s=90, taken=1, jobs=4, running=3, dead_letters=2, refunds=1, refunds_by_hand=0,
            oldest_refund_s=7,
        ),
        "running": [
            RunningJob(
                session_id=SESSION, request_id="req_1", channel="b2c", worker="host:1:abc", step="generate", step_s=31,
                age_s=35, attempt=2,
            )
        ],
        "processes": [
            Process(
                worker="host:1:abc", host="host", pid=1, version="0.1.0", capacity=20, busy=3, beat_age_s=2,
                loop_lag_s=0.012, memory_mb=131.4,
                parts=[Component(name="consumer", state="running"), Component(name="lease", state="restarting")],
            )
        ],
        "last_hour": [Minute(at=AT - timedelta(minutes=60 - n), completed=n % 3, failed=n == 30) for n in range(60)],
        "failures_by_reason": {"picture": 1, "moderation": 4},
        "openai": ImageModelUse(
            calls=61, p50_s=21.4, p95_s=44.9, requests_per_minute=300, used_last_minute=12, next_slot_in_s=0.0
        ),
        "spend_today": Spend(cost_usd=Decimal("12.3456"), pictures=290, unknown_cost=3),
        **changes,
    }  # fmt: skip
    return FleetStatus(**fields)


def shown(now: FleetStatus, width: int = 100) -> str:
    console = Console(file=StringIO(), width=width)
    console.print(draw(now))
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def test_a_busy_fleet() -> None:
    text = shown(a_fleet())
    for expected in (
        "production mode, ok, 2026-11-24 12:00:00 UTC",
        "12 tasks (the oldest for 90 s), 1 taken, 1 job",
        "1 outstanding (the oldest for 7 s), 0 need review",
        "60 in the last hour",
        "1 in the last hour (moderation 4, picture 1)",
        "61 calls in the last hour, half of them within 21 s, 95 % within 45 s",
        "12 of 300 in the last minute",
        "12.35 USD for 290 pictures, and 3 of unknown cost",
        "3 of 20",
        "12 ms",
        "131 MB",
        "lease",
        SESSION,
        "generate",
        "31 s",
    ):
        assert expected in text, expected


def test_no_id_is_cut_at_80_columns() -> None:
    worker = "wearon-jobs-7d9f8b6c5-x2x4z:1:9f3c2a"
    fleet = a_fleet()
    fleet.running[0].worker, fleet.running[0].step = worker, "rate_limit"
    fleet.processes[0].worker = worker
    text = shown(fleet, width=80)
    assert "…" not in text
    assert text.count(worker) == 2
    assert SESSION in text


def test_incidents_come_first() -> None:
    refused = KINDS["openai_key_refused"].incident(
        "OpenAI refuses our key.", AT, affected=1, of=2, what="processes",
        cost=Cost(failed=3, refunded=2, cost_usd=Decimal("0.065"), cause="openai.key_refused."),
    )  # fmt: skip
    letters = KINDS["dead_letters"].incident("2 dead letters.", AT, affected=2, what="documents")
    over = KINDS["redis_away"].incident("Redis does not answer.", AT, recovered_at=AT + timedelta(seconds=75))
    dated = over.model_copy(update={"last_refused_at": AT + timedelta(seconds=63)})
    back = dated.model_copy(update={"answered_again_at": AT + timedelta(seconds=70)})
    fleet = a_fleet(status="degraded", incidents=[refused, letters], recovered=[over, dated, back])
    lines = shown(fleet, width=140).splitlines()
    assert "degraded" in lines[0]
    assert lines[1:6] == [
        "  ! OpenAI refuses our key.",
        "    openai_key_refused, since 12:00:00; 1 of 2 processes; 3 sessions failed, 2 refunded; 0.0650 USD lost",
        f"    {refused.what_to_do}",
        f"    If nothing is done: {refused.if_nothing_is_done}",
        "    What failed: `wearon sessions --cause failed:openai.key_refused.`",
    ]
    assert lines[8].endswith("discard the rest. `wearon dead-letters list`")
    assert lines[10:13] == [
        "  recovered 12:01:15; it lasted 75 s: Redis does not answer.",
        "  recovered 12:01:15, 12 s after the last refusal; it lasted 75 s: Redis does not answer.",
        "  recovered 12:01:15, 5 s after Redis came back; it lasted 75 s: Redis does not answer.",
    ]


def test_an_incident_of_another_day_tells_the_day() -> None:
    late = KINDS["refunds_late"].incident("Late.", AT - timedelta(days=3))
    assert "since 2026-11-21 12:00:00" in shown(a_fleet(incidents=[late]))


def test_without_redis_there_is_only_what_is_known() -> None:
    nothing: dict[str, Any] = dict.fromkeys(("queues", "openai", "spend_today"))
    text = shown(FleetStatus(at=AT, mode="local", status="degraded", **nothing))
    assert "waiting" not in text


def test_local_mode_has_no_price_and_asks_no_image_model() -> None:
    text = shown(a_fleet(mode="local"))
    assert "completed" in text
    assert not [word for word in ("USD", "image model", "rate limit") if word in text]


def test_names_of_others_are_not_taken_for_markup() -> None:
    job = a_fleet().running[0].model_copy(update={"step": "[red]x[/]"})
    assert "[red]x[/]" in shown(a_fleet(running=[job]), width=140)
    queues = a_fleet().queues
    assert queues is not None
    lines = queues.model_copy(update={"longest_lines": {"b2b:[/b2c]": 3}})
    assert "b2b:[/b2c] 3" in shown(a_fleet(queues=lines), width=140)
    asks = a_fleet().processes[0].model_copy(update={"image_models": [ImageModel(name="[/draw]")]})
    assert "wanted: [/draw]; " in shown(a_fleet(processes=[asks]), width=140)


def test_it_fits_into_a_small_terminal() -> None:
    assert max(map(len, shown(a_fleet(), width=80).splitlines())) <= 80
    assert SESSION in shown(a_fleet(), width=80)


def test_sparks() -> None:
    assert spark([0, 1, 4, 8]) == " ▂▅█"
    assert spark([0, 0]) == "  "
    assert spark([]) == ""
    assert spark([1000, 1]) == "█▁"
