"""Draws the status of the fleet for a terminal: incidents first, then what waits, what ended, and who works on what."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from rich.box import SIMPLE
from rich.console import Group, RenderableType
from rich.table import Column, Table
from rich.text import Text

from wearon.cli.output import plain
from wearon.observability.visible import visible
from wearon.operations.incident_model import Incident, Severity
from wearon.operations.incidents import books, retention
from wearon.operations.models import FleetStatus, Process, Queues, RunningJob
from wearon.operations.words import duration, plural
from wearon.refunds.intents import LATE_S
from wearon.supervisor import ComponentState

BARS = "▁▂▃▄▅▆▇█"


def draw(fleet: FleetStatus) -> RenderableType:
    """The status for a terminal."""
    return Group(
        _headline(fleet),
        *(line for incident in fleet.incidents for line in _incident(incident, fleet.at)),
        *(Text(visible(_recovered(incident)), style="green") for incident in fleet.recovered),
        _facts(fleet),
        *([_processes(fleet.processes)] if fleet.processes else []),
        *([_running(fleet.running)] if fleet.running else []),
    )


def spark(values: Sequence[float]) -> str:
    """One bar for each value, the highest one full; a blank for zero."""
    highest = max(values, default=0)
    if not highest:
        return " " * len(values)
    return "".join(BARS[min(len(BARS) - 1, int(value / highest * len(BARS)))] if value else " " for value in values)


def _headline(fleet: FleetStatus) -> Text:
    colour = "green" if fleet.status == "ok" and not fleet.problems else "yellow" if fleet.status == "ok" else "red"
    return Text.assemble(
        ("WearOn ", "bold"),
        f"{fleet.mode} mode, ",
        (visible(fleet.status), f"bold {colour}"),
        f", {fleet.at:%Y-%m-%d %H:%M:%S} UTC",
    )


def _incident(incident: Incident, at: datetime) -> Iterator[Text]:
    """What it is, how much is affected since when, and what to do."""
    style = "bold red" if incident.severity is Severity.CRITICAL else "bold yellow"
    yield Text(f"  ! {visible(incident.title)}", style=style)
    cost = incident.cost
    day = "" if incident.since.date() == at.date() else f"{incident.since:%Y-%m-%d} "
    facts = [
        f"{incident.code}, since {day}{incident.since:%H:%M:%S}",
        incident.detail,
        "" if incident.affected is None else f"{_of_how_many(incident)} {incident.what}",
        f"{plural(cost.failed, 'session')} failed, {cost.refunded} refunded" if cost.failed else "",
        f"{plural(cost.retried, 'attempt')} retried" if cost.retried else "",
        f"{cost.cost_usd:.4f} USD lost" if cost.cost_usd else "",
    ]
    yield Text(f"    {visible('; '.join(fact for fact in facts if fact))}", style="dim")
    commands = "".join(f" `{action.command}`" for action in incident.actions if action.command)
    yield Text(f"    {visible(incident.what_to_do + commands)}")
    yield Text(f"    If nothing is done: {visible(incident.if_nothing_is_done)}", style="dim")
    if cost.failed:
        yield Text(f"    What failed: `wearon sessions --cause failed:{visible(cost.cause)}`", style="dim")


def _of_how_many(incident: Incident) -> str:
    return f"{incident.affected}" if incident.of is None else f"{incident.affected} of {incident.of}"


def _recovered(incident: Incident) -> str:
    assert incident.recovered_at
    lasted = duration((incident.recovered_at - incident.since).total_seconds())
    after_s = incident.after_last_refusal_s if incident.after_answer_s is None else incident.after_answer_s
    since_then = f", {duration(after_s)} after {incident.after_what}" if incident.after_what else ""
    return f"  recovered {incident.recovered_at:%H:%M:%S}{since_then}; it lasted {lasted}: {incident.title}"


def _facts(fleet: FleetStatus) -> Table:
    """Rows with what waits, and with the figures of the last hour and of today."""
    table = Table.grid(padding=(0, 2))
    for name, value in [
        *_of_the_queues(fleet.queues),
        *_of_the_hour(fleet),
        *_of_the_model(fleet),
        *_of_the_books(fleet),
    ]:
        table.add_row(f"[bold]{name}[/]", value)
    return table


def _of_the_queues(queues: Queues | None) -> Iterator[tuple[str, str]]:
    if queues is None:
        return
    oldest = "" if queues.oldest_task_s is None else f" (the oldest for {duration(queues.oldest_task_s)})"
    jobs = plural(queues.waiting - queues.tasks, "job")
    yield "waiting", f"{plural(queues.tasks, 'task')}{oldest}, {queues.taken} taken, {jobs}"
    if queues.longest_lines:
        lines = ", ".join(f"{tenant} {jobs}" for tenant, jobs in queues.longest_lines.items())
        yield "by tenant", plain(lines)
    yield "running", str(queues.running)
    yield "dead letters", _worry(queues.dead_letters, "yellow")
    late = (queues.oldest_refund_s or 0.0) > LATE_S
    since = "" if queues.oldest_refund_s is None else f" (the oldest for {duration(queues.oldest_refund_s)})"
    by_hand = _worry(queues.refunds_by_hand, "red")
    yield "refunds", f"{_worry(queues.refunds, 'red' if late else 'yellow')} outstanding{since}, {by_hand} need review"


def _of_the_hour(fleet: FleetStatus) -> Iterator[tuple[str, str]]:
    if not fleet.last_hour:
        return
    completed, failed = _by_two([m.completed for m in fleet.last_hour]), _by_two([m.failed for m in fleet.last_hour])
    reasons = ", ".join(f"{plain(reason)} {count}" for reason, count in _most_first(fleet.failures_by_reason))
    yield "completed", f"[green]{spark(completed)}[/] {sum(completed)} in the last hour"
    yield "failed", f"[red]{spark(failed)}[/] {sum(failed)} in the last hour" + (f" ({reasons})" if reasons else "")


def _of_the_model(fleet: FleetStatus) -> Iterator[tuple[str, str]]:
    if fleet.mode == "local":
        return  # a preview costs nothing, and no image model is asked
    openai, spend = fleet.openai, fleet.spend_today
    if openai is not None:
        took = "" if openai.p50_s is None else f", half of them within {openai.p50_s:.0f} s"
        most = "" if openai.p95_s is None else f", 95 % within {openai.p95_s:.0f} s"
        wanted = dict.fromkeys(process.image_models[0].name for process in fleet.processes if process.image_models)
        named = f"wanted: {plain(', '.join(wanted))}; " if wanted else ""
        yield "image model", f"{named}{plural(openai.calls, 'call')} in the last hour{took}{most}"
        wait = f"; the next must wait for {openai.next_slot_in_s:.1f} s" if openai.next_slot_in_s > 0 else ""
        yield "rate limit", f"{openai.used_last_minute} of {openai.requests_per_minute} in the last minute{wait}"
    if spend is not None:
        unknown = f", and {spend.unknown_cost} of unknown cost" if spend.unknown_cost else ""
        yield "spent today", f"{spend.cost_usd:.2f} USD for {plural(spend.pictures, 'picture')}{unknown}"


def _of_the_books(fleet: FleetStatus) -> Iterator[tuple[str, str]]:
    if fleet.books is not None:
        yield "books", plain(books.summary(fleet.books, fleet))
    if fleet.retention is not None:
        yield "retention", plain(retention.summary(fleet.retention, fleet))


def _processes(processes: Sequence[Process]) -> Table:
    table = Table(Column("worker", no_wrap=True), "busy", "beat", "loop lag", "memory", box=SIMPLE)
    for process in processes:
        broken = [component.name for component in process.parts if component.state != ComponentState.RUNNING]
        table.add_row(
            plain(process.worker) + (f"\n[red]not running: {plain(', '.join(broken))}[/]" if broken else ""),
            f"{process.busy} of {process.capacity}",
            f"{process.beat_age_s:.0f} s ago",
            f"{process.loop_lag_s * 1000:.0f} ms",
            "-" if process.memory_mb is None else f"{process.memory_mb:.0f} MB",
        )
    return table


def _running(jobs: Sequence[RunningJob]) -> Table:
    # Worker and session above each other: beside each other, 80 columns hold no whole ids of both.
    table = Table(Column("session", no_wrap=True), "step", "since", "age", "attempt", box=SIMPLE, pad_edge=False)
    for job in jobs:
        table.add_row(
            f"{plain(job.session_id)}\n[dim]on {plain(job.worker)}[/]",
            f"{plain(job.step)}\n[dim]{plain(job.channel)}[/]",
            f"{job.step_s:.0f} s",
            duration(job.age_s),
            str(job.attempt),
        )
    return table


def _by_two(minutes: Sequence[int]) -> list[int]:
    """Sums of two minutes each, so that the bars fit into 80 columns."""
    return [sum(minutes[start : start + 2]) for start in range(0, len(minutes), 2)]


def _most_first(counts: dict[str, int]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))


def _worry(number: int, colour: str) -> str:
    return f"[{colour}]{number}[/]" if number else "0"
