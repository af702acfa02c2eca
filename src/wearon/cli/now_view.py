"""Draws `Now` for a terminal: what is wrong first, then what waits, what ended, who works and on what."""

from collections.abc import Iterator, Sequence

from rich.box import SIMPLE
from rich.console import Group, RenderableType
from rich.table import Column, Table
from rich.text import Text

from wearon.cli.output import plain
from wearon.overview.models import Now, ProcessNow, QueuesNow, RunningJob
from wearon.overview.problems import duration
from wearon.supervisor import PartState
from wearon.tryon.refund_intents import LATE_S
from wearon.visible import visible

BARS = "▁▂▃▄▅▆▇█"


def draw(now: Now) -> RenderableType:
    """The whole view."""
    return Group(
        _headline(now),
        *(Text(f"  ! {visible(problem)}", style="bold red") for problem in now.problems),
        _facts(now),
        *([_processes(now.processes)] if now.processes else []),
        *([_running(now.running)] if now.running else []),
    )


def spark(values: Sequence[float]) -> str:
    """One bar for each value, the highest one whole; a blank for nothing."""
    highest = max(values, default=0)
    if not highest:
        return " " * len(values)
    return "".join(BARS[min(len(BARS) - 1, int(value / highest * len(BARS)))] if value else " " for value in values)


def _headline(now: Now) -> Text:
    colour = "green" if now.status == "ok" and not now.problems else "yellow" if now.status == "ok" else "red"
    return Text.assemble(
        ("WearOn ", "bold"),
        f"{now.mode} mode, ",
        (visible(now.status), f"bold {colour}"),
        f", {now.at:%Y-%m-%d %H:%M:%S} UTC",
    )


def _facts(now: Now) -> Table:
    """What waits, and the numbers of the last hour and of today, each with its name."""
    table = Table.grid(padding=(0, 2))
    for name, value in [*_of_the_queues(now.queues), *_of_the_hour(now), *_of_the_model(now)]:
        table.add_row(f"[bold]{name}[/]", value)
    return table


def _of_the_queues(queues: QueuesNow | None) -> Iterator[tuple[str, str]]:
    if queues is None:
        return
    oldest = "" if queues.oldest_task_s is None else f" (the oldest for {duration(queues.oldest_task_s)})"
    yield "waiting", f"{_count(queues.tasks, 'task')}{oldest}, {queues.taken} taken, {_count(queues.jobs, 'job')}"
    yield "running", str(queues.running)
    yield "dead letters", _worry(queues.dead_letters, "yellow")
    late = (queues.oldest_refund_s or 0.0) > LATE_S
    since = "" if queues.oldest_refund_s is None else f" (the oldest for {duration(queues.oldest_refund_s)})"
    by_hand = _worry(queues.refunds_by_hand, "red")
    yield "refunds", f"{_worry(queues.refunds, 'red' if late else 'yellow')} outstanding{since}, {by_hand} by hand"


def _of_the_hour(now: Now) -> Iterator[tuple[str, str]]:
    if not now.last_hour:
        return
    completed, failed = _by_two([m.completed for m in now.last_hour]), _by_two([m.failed for m in now.last_hour])
    reasons = ", ".join(f"{plain(reason)} {count}" for reason, count in _most_first(now.failures_by_reason))
    yield "completed", f"[green]{spark(completed)}[/] {sum(completed)} in the last hour"
    yield "failed", f"[red]{spark(failed)}[/] {sum(failed)} in the last hour" + (f" ({reasons})" if reasons else "")


def _of_the_model(now: Now) -> Iterator[tuple[str, str]]:
    openai, spend = now.openai, now.spend_today
    if openai is not None:
        took = "" if openai.p50_s is None else f", half of them within {openai.p50_s:.0f} s"
        most = "" if openai.p95_s is None else f", 95 % within {openai.p95_s:.0f} s"
        wanted = dict.fromkeys(process.image_models[0].name for process in now.processes if process.image_models)
        named = f"wanted: {visible(', '.join(wanted))}; " if wanted else ""
        yield "image model", f"{named}{_count(openai.calls, 'call')} in the last hour{took}{most}"
        wait = f"; the next must wait for {openai.next_slot_in_s:.1f} s" if openai.next_slot_in_s > 0 else ""
        yield "rate limit", f"{openai.used_last_minute} of {openai.requests_per_minute} in the last minute{wait}"
    if spend is not None:
        unknown = f", and {spend.unknown_cost} of unknown cost" if spend.unknown_cost else ""
        yield "spent today", f"{spend.cost_usd:.2f} USD for {_count(spend.pictures, 'picture')}{unknown}"


def _processes(processes: Sequence[ProcessNow]) -> Table:
    table = Table("worker", "busy", "beat", "loop lag", "memory", "not running", box=SIMPLE)
    for process in processes:
        broken = [part.name for part in process.parts if part.state != PartState.RUNNING]
        table.add_row(
            plain(process.worker),
            f"{process.busy} of {process.capacity}",
            f"{process.beat_age_s:.0f} s ago",
            f"{process.loop_lag_s * 1000:.0f} ms",
            "-" if process.memory_mb is None else f"{process.memory_mb:.0f} MB",
            f"[red]{plain(', '.join(broken))}[/]" if broken else "-",
        )
    return table


def _running(jobs: Sequence[RunningJob]) -> Table:
    table = Table(Column("session", no_wrap=True), "channel", "step", "since", "age", "attempt", "worker", box=SIMPLE)
    for job in jobs:
        table.add_row(
            plain(job.session_id),
            plain(job.channel),
            plain(job.step),
            f"{job.step_s:.0f} s",
            duration(job.age_s),
            str(job.attempt),
            plain(job.worker),
        )
    return table


def _by_two(minutes: Sequence[int]) -> list[int]:
    """Half as many bars, so that a line fits into 80 columns."""
    return [sum(minutes[start : start + 2]) for start in range(0, len(minutes), 2)]


def _most_first(counts: dict[str, int]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))


def _worry(number: int, colour: str) -> str:
    return f"[{colour}]{number}[/]" if number else "0"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
