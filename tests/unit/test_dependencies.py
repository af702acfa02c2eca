"""What services refuse is remembered until they grant it again."""

from wearon.dependencies import FORGOTTEN_AFTER_S, Dependencies, Dependency
from wearon.metrics import Metrics


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def words(dependencies: Dependencies) -> list[str]:
    return [refusal.words for refusal in dependencies.refusals]


def test_a_refusal_lasts_until_the_next_success_of_that_service() -> None:
    clock = Clock()
    dependencies = Dependencies(clock)
    dependencies.refused(Dependency.SUPABASE, "Supabase refuses our key")
    clock.now += 5
    dependencies.refused(Dependency.SUPABASE, "Supabase refuses our key")
    dependencies.answered(Dependency.REDIS)
    (refusal,) = dependencies.refusals
    assert (refusal.dependency, refusal.words, refusal.since_s) == ("supabase", "Supabase refuses our key", 5)
    dependencies.answered(Dependency.SUPABASE)
    assert words(dependencies) == []
    assert list(dependencies.last_refused) == ["supabase_refused"], "when it was refused last is known afterwards"
    assert list(dependencies.answered_again) == ["supabase_refused"]
    assert dependencies.answered_again["supabase_refused"] >= dependencies.last_refused["supabase_refused"]
    dependencies.refused(Dependency.SUPABASE, "Supabase refuses our key")
    assert dependencies.answered_again == {}


def test_another_thing_that_is_granted_does_not_hide_what_is_refused() -> None:
    dependencies = Dependencies()
    dependencies.refused(Dependency.SUPABASE, "Supabase refuses the bucket", "upload")
    dependencies.answered(Dependency.SUPABASE, "select")
    assert words(dependencies) == ["Supabase refuses the bucket"]
    dependencies.answered(Dependency.SUPABASE, "upload")
    assert words(dependencies) == []


def test_the_same_sentence_about_several_things_is_said_once_with_the_longest_time() -> None:
    clock = Clock()
    dependencies = Dependencies(clock)
    dependencies.refused(Dependency.SUPABASE, "Supabase refuses our key", "upload")
    clock.now += 7
    dependencies.refused(Dependency.SUPABASE, "Supabase refuses our key", "select")
    dependencies.refused(Dependency.REDIS, "Redis may not be written: READONLY")
    assert [(refusal.words, refusal.since_s) for refusal in dependencies.refusals] == [
        ("Supabase refuses our key", 7),
        ("Redis may not be written: READONLY", 0),
    ]


def test_the_gauge_of_a_service_is_up_while_anything_is_refused_by_it() -> None:
    clock, metrics = Clock(), Metrics()
    dependencies = Dependencies(clock)
    metrics.show_refusals(dependencies)

    def gauges() -> dict[str, float | None]:
        value = metrics.registry.get_sample_value
        return {service: value("wearon_dependency_refused", {"service": service}) for service in Dependency}

    well: dict[str, float | None] = dict.fromkeys(Dependency, 0.0)
    assert gauges() == well
    dependencies.refused(Dependency.SUPABASE, "Supabase refuses our key", "upload")
    assert gauges() == well | {"supabase": 1.0}
    clock.now += FORGOTTEN_AFTER_S
    assert gauges() == well
    dependencies.refused(Dependency.REDIS, "Redis cannot be reached")
    assert gauges() == well | {"redis": 1.0}
    dependencies.answered(Dependency.REDIS)
    assert gauges() == well


def test_what_nobody_asks_for_any_more_is_forgotten() -> None:
    clock = Clock()
    dependencies = Dependencies(clock)
    dependencies.refused(Dependency.OPENAI, "OpenAI refuses our key")
    clock.now += FORGOTTEN_AFTER_S - 1
    assert words(dependencies) == ["OpenAI refuses our key"]
    clock.now += 1
    assert words(dependencies) == []
