"""The fleet on paper keeps the rules that the real one has."""

import itertools
from collections import Counter
from dataclasses import replace

import pytest
from benchmarks.report import quantile
from benchmarks.simulation.fleet import B2C, Fleet, Outcome, Simulation, poisson

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


def test_a_flood_of_one_store_holds_up_no_other_tenant_longer_than_a_job_takes() -> None:
    fleet = Fleet(2, slots=5, latency=lambda _: 10.0, cpu_before_s=0.0, cpu_after_s=0.0, per_minute=1e9, weights={})
    arrivals = [(0.0, "flood")] * 500 + [(15.0, "other"), (15.0, B2C)]
    fair = Simulation(fleet, arrivals).run()
    assert [fair.waits(tenant=tenant) for tenant in ("other", B2C)] == [[pytest.approx(15.0)]] * 2
    assert fair.waits(tenant="flood")[-1] == pytest.approx(510.0), "alone it has all slots"
    by_order = Simulation(replace(fleet, weights=None), arrivals).run()
    assert min(by_order.waits(tenant="other")) > 400


def test_tenants_that_never_stop_get_their_weights_share() -> None:
    weights = {B2C: 10.0, "a": 5.0, "b": 1.0}
    fleet = Fleet(1, slots=32, latency=lambda _: 10.0, per_minute=1e9, weights=weights)
    outcome = Simulation(fleet, [(0.0, tenant) for tenant in weights for _ in range(3000)]).run()
    done = Counter(job.tenant for job in outcome.jobs if job.wait_s < 600)
    for tenant, weight in weights.items():
        assert done[tenant] / done.total() == pytest.approx(weight / 16, rel=0.05)


def test_a_store_that_holds_half_of_the_slots_lets_others_before() -> None:
    fleet = Fleet(1, slots=10, latency=lambda _: 10.0, cpu_before_s=0.0, cpu_after_s=0.0, weights={"large": 100.0})
    arrivals = [(0.0, B2C)] * 10 + [(1.0, "large")] * 100 + [(1.0, B2C)] * 100
    outcome = Simulation(fleet, arrivals).run()
    assert Counter(job.tenant for job in outcome.jobs if job.started == pytest.approx(10.0, abs=3)) == {
        "large": 5,
        B2C: 5,
    }
