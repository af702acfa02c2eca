"""The cause that an attempt's error is counted under."""

import pytest
from redis.exceptions import ConnectionError as RedisAway

from wearon.operations.counters import of_run
from wearon.platform.base import Channel, PlatformUnavailable, SessionRef, SessionUnreadable
from wearon.refunds.intents import Settled, Settlement
from wearon.tryon.causes import EXPECTED, cause_of
from wearon.tryon.image_model import GenerationError, KeyRejected, Moderated, NotAsked
from wearon.tryon.input_images import InputImageError
from wearon.tryon.retry_policy import Reason
from wearon.tryon.run import Outcome, Run

REF = SessionRef(Channel.B2B, "store-1", "session-1")


def below(kind: type[Exception]) -> list[type[Exception]]:
    return [kind, *(deeper for sub in kind.__subclasses__() for deeper in below(sub))]


@pytest.mark.parametrize(
    ("error", "step", "cause"),
    [
        (PlatformUnavailable("no answer"), "upload", "supabase.away.upload"),
        (SessionUnreadable("odd row"), "start", "session.refused.start"),
        (InputImageError("503", again_later=True), "photos", "supabase.storage_away.photos"),
        (InputImageError("404", again_later=False), "photos", "pictures.unusable.photos"),
        (KeyRejected("401"), "generate", "openai.key_refused.generate"),
        (NotAsked("away"), "generate", "openai.away.generate"),
        (RedisAway("gone"), "", "redis.away.start"),
        (OSError(24, "Too many open files"), "photos", "machine.refused.photos"),
        (KeyError("x"), "generate", "worker.internal.generate"),
    ],
)
def test_a_cause_is_dependency_kind_and_step(error: Exception, step: str, cause: str) -> None:
    assert cause_of(error, step) == cause


def test_every_error_of_the_image_model_has_a_cause_of_its_service() -> None:
    causes = {cause_of(kind("x"), "generate") for kind in below(GenerationError)}
    assert {cause.partition(".")[0] for cause in causes} == {"openai"}
    assert len(causes) == 8
    assert cause_of(Moderated("x"), "generate").startswith(EXPECTED)


def test_a_run_is_counted_by_its_cause_and_pictures_by_store() -> None:
    run = Run(REF, "", 1, cause="supabase.away.upload")
    run.end(Outcome.RETRIED, "away", Reason.PLATFORM)
    assert of_run(run)[0] == {"put_back": 1, "retried:supabase.away.upload": 1}
    failed = Run(REF, "", 1, cause="pictures.unusable.photos", settlement=Settlement(Settled.REFUNDED))
    failed.end(Outcome.FAILED, "404", Reason.PICTURE)
    assert of_run(failed)[0] == {
        "failed": 1,
        "reason:picture": 1,
        "refunded": 1,
        "failed:pictures.unusable.photos": 1,
        "refunded:pictures.unusable.photos": 1,
        "picture:b2b:store-1": 1,
    }
