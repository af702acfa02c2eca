"""The fleet on paper keeps the rules that the real one has."""

import itertools
from dataclasses import replace

import pytest
from benchmarks.report import quantile
from benchmarks.simulation.fleet import Fleet, Outcome, Simulation, poisson

HOUR = 3600.0


def run(fleet: Fleet, per_minute: float = 60, seconds: float = HOUR) -> Outcome:
    return Simulation(fleet, poisson(per_minute, seconds, seed=1)).run()


def test_an_idle_fleet_waits_for_nothing_but_its_own_work() -> None:
    fleet = Fleet(1, latency=lambda _: 10.0, cpu_before_s=1.0, cpu_after_s=0.5, overhead_s=0.25)
    (wait,) = Simulation(fleet, [5.0]).run().waits()
    assert wait == pytest.approx(11.75)


def test_no_more_calls_start_than_the_account_allows() -> None:
    fleet = Fleet(1, slots=1000, per_minute=60, latency=lambda _: 0.0, cpu_before_s=0.0, cpu_after_s=0.0)
    outcome = Simulation(fleet, [0.0] * 200).run()
    starts = sorted(job.arrived + job.wait_s for job in outcome.jobs)
    assert all(later - earlier > 1.0 for earlier, later in itertools.pairwise(starts))


def test_slots_bound_what_is_under_way() -> None:
    fleet = Fleet(2, slots=3, latency=lambda _: 10.0, cpu_before_s=0.0, cpu_after_s=0.0, per_minute=1e9)
    outcome = Simulation(fleet, [0.0] * 12).run()
    assert outcome.waits() == pytest.approx([10.0] * 6 + [20.0] * 6)


def test_every_job_is_done_whoever_dies_and_only_calls_under_way_are_paid_twice() -> None:
    dying = run(Fleet(4, mean_life_s=120.0))
    assert all(job.done is not None for job in dying.jobs)
    assert 0 < dying.second_calls < len(dying.jobs) / 2
    assert run(Fleet(4)).second_calls == 0


def test_the_same_seed_gives_the_same_run_and_more_workers_never_a_longer_wait() -> None:
    fleet = Fleet(2, mean_life_s=600.0)
    assert run(fleet).waits() == run(fleet).waits()
    slow, fast = (quantile(run(replace(Fleet(1), workers=workers)).waits(), 0.95) for workers in (1, 4))
    assert fast < slow
