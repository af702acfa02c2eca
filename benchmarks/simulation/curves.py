"""`python -m benchmarks.simulation.curves`: draw the curves of docs/scaling.md, in about a minute."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.report import quantile
from benchmarks.simulation.fleet import B2C, Fleet, Outcome, Simulation, poisson

IMAGES = Path(__file__).parents[2] / "docs" / "images"
COLOURS = ("#0b6e4f", "#c8553d", "#3d5a98", "#8f6bb3", "#7a7a7a")
HOUR = 3600.0
HIGHEST_S = 200.0


def main() -> None:
    """All of them."""
    mpl.use("Agg")
    mpl.rcParams.update({"font.size": 11, "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True})
    mpl.rcParams.update({"grid.alpha": 0.3, "svg.hashsalt": "wearon"})
    waits_against_load()
    burst()
    deaths()
    flood()


def waits_against_load() -> None:
    """How long customers wait at each load, for fleets of several sizes."""
    fleets = {
        "1 worker x 20 slots": (Fleet(1), "-"),
        "2 workers x 20 slots": (Fleet(2), "-"),
        "4 workers x 20 slots": (Fleet(4), "-"),
        "8 workers x 20 slots": (Fleet(8), "-"),
        "1 worker x 150 slots": (Fleet(1, slots=150), "--"),
    }
    figure, axes = _page("Wait from LPUSH to the picture, 95th percentile of an hour", "tasks a minute", "seconds")
    loads = [10, 30, 35, 40, 45, 50, 60, 75, 85, 95, 120, 155, 170, 190, 250, 275, 290, 300, 315]
    for colour, (name, (fleet, dashes)) in zip(COLOURS, fleets.items(), strict=True):
        line = [(load, _p95(fleet, load)) for load in loads]
        beyond = next((number for number, (_, wait) in enumerate(line) if wait > HIGHEST_S), len(line))
        axes.plot(*zip(*line[: beyond + 1], strict=True), color=colour, label=name, lw=2, ls=dashes)
    axes.set_ylim(30, HIGHEST_S)
    axes.axvline(300, color="black", lw=1, ls=":")
    axes.text(297, 125, "the account's limit: 300 a minute", rotation=90, ha="right", va="center")
    axes.legend(frameon=False, fontsize=10, loc="center", bbox_to_anchor=(0.745, 0.62))
    _save(figure, "scaling-load.png")


def _p95(fleet: Fleet, per_minute: float) -> float:
    arrivals = poisson(per_minute, HOUR, seed=1)
    return quantile(Simulation(fleet, arrivals).run().waits(after=HOUR / 4), 0.95)


def burst() -> None:
    """Ten minutes of ten times the load, at two limits of the account."""
    arrivals = sorted(poisson(30, 1.5 * HOUR, seed=2) + poisson(300, 600, seed=3, start=600))
    figure, axes = _page(
        "A sale: 30 tasks a minute, and 330 from minute 10 to 20", "minutes", "tasks waiting for a slot"
    )
    fleets = {
        "2 workers x 20 slots": Fleet(2),
        "4 workers x 20 slots": Fleet(4),
        "1 worker x 150 slots": Fleet(1, slots=150),
        "1 worker x 150 slots, limit 150 a minute": Fleet(1, slots=150, per_minute=150),
    }
    for colour, (name, fleet) in zip(COLOURS, fleets.items(), strict=False):
        outcome = Simulation(fleet, arrivals).run()
        times, lengths = zip(*outcome.backlog, strict=True)
        worst = outcome.waits()[-1] / 60
        axes.plot([at / 60 for at in times], lengths, color=colour, lw=2, label=f"{name}: longest wait {worst:.0f} min")
    axes.axvspan(10, 20, color="black", alpha=0.06)
    axes.set_xlim(0, 90)
    axes.set_ylim(0)
    axes.legend(frameon=False)
    _save(figure, "scaling-burst.png")


def deaths() -> None:
    """What workers that die cost the customers and the account."""
    base = Fleet(4)
    lives = [120, 180, 300, 600, 900, 1800, 3600, 7200, 14400]
    arrivals = poisson(75, 3 * HOUR, seed=4)
    figure, axes = _page("4 workers x 20 slots, 75 tasks a minute, each worker killed now and then", "", "seconds")
    outcomes = [Simulation(replace(base, mean_life_s=life), arrivals, seed=5).run() for life in lives]
    minutes = [life / 60 for life in lives]
    for colour, (name, share) in zip(COLOURS, (("median", 0.5), ("p95", 0.95), ("p99", 0.99)), strict=False):
        axes.plot(minutes, [quantile(o.waits(), share) for o in outcomes], color=colour, lw=2, label=f"wait, {name}")
    second: Sequence[float] = [100 * outcome.second_calls / len(arrivals) for outcome in outcomes]
    right = axes.twinx()
    right.plot(minutes, second, color="#7a7a7a", lw=2, ls="--", label="paid twice (right)")
    right.set_ylabel("% of the tasks")
    right.grid(visible=False)
    right.set_ylim(0)
    axes.set_xscale("log")
    axes.set_xticks([2, 5, 10, 30, 60, 120, 240], ["2", "5", "10", "30", "60", "120", "240"])
    axes.set_xlabel("mean minutes from a worker's start to its kill -9")
    axes.set_ylim(0, 150)
    lines = [*axes.get_lines(), *right.get_lines()]
    axes.legend(lines, [str(line.get_label()) for line in lines], frameon=False)
    _save(figure, "scaling-deaths.png")


def flood() -> None:
    """A store pushes a whole catalogue: how long it, and all others, wait."""
    shops = [(at, f"store {n}") for n in range(5) for at in poisson(6, 2 * HOUR, seed=10 + n)]
    arrivals: list[tuple[float, str]] = [(at, B2C) for at in poisson(30, 2 * HOUR, seed=6)] + shops
    arrivals += [(600.0, "catalogue")] * 5000
    figure, axes = _page(
        "4 workers x 20 slots, 60 tasks a minute; a store pushes 5,000 in minute 10",
        "minute in which a task comes",
        "seconds from LPUSH to the picture, 95 % within",
    )
    turns = replace(Fleet(4), weights={B2C: 10.0})
    for colour, name, fleet in zip(
        COLOURS, ("first come, first served", "with turns"), (Fleet(4), turns), strict=False
    ):
        outcome = Simulation(fleet, sorted(arrivals)).run()
        for dashes, whose, tenants in (("-", "b2c", {B2C}), ("--", "other stores", {f"store {n}" for n in range(5)})):
            line = [(minute, _p95_of(outcome, tenants, minute * 60.0, 120.0)) for minute in range(0, 90, 2)]
            axes.plot(*zip(*line, strict=True), color=colour, lw=2, ls=dashes, label=f"{whose}, {name}")
        last = outcome.waits(tenant="catalogue")[-1] / 60
        axes.plot([], [], " ", label=f"the catalogue, {name}: done after {last:.0f} min")
    axes.axhline(600, color="black", lw=1, ls=":")
    axes.text(89, 640, "b2c sessions are refunded by the platform", ha="right")
    axes.set_yscale("log")
    axes.set_yticks([30, 60, 120, 300, 600, 1800, 3600], ["30", "60", "120", "300", "600", "1800", "3600"])
    axes.set_ylim(25, 20_000)
    axes.legend(frameon=False, fontsize=9, ncols=2, loc="upper right")
    _save(figure, "scaling-flood.png")


def _p95_of(outcome: Outcome, tenants: set[str], after: float, seconds: float) -> float:
    waits = (outcome.waits(after, after + seconds, tenant) for tenant in tenants)
    return quantile(sorted(wait for some in waits for wait in some), 0.95)


def _page(title: str, across: str, up: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    axes.set_title(title, loc="left", fontsize=12)
    axes.set_xlabel(across)
    axes.set_ylabel(up)
    return figure, axes


def _save(figure: Figure, name: str) -> None:
    IMAGES.mkdir(parents=True, exist_ok=True)
    figure.savefig(IMAGES / name, dpi=130)


if __name__ == "__main__":
    main()
