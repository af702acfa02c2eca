"""What Supabase's answers mean: findings about its key, its refund functions and its bucket. Pure rules, no I/O."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from wearon.doctor.findings import Finding, Promise, fault, ok, warning
from wearon.platform.base import MAX_PICTURE_BYTES
from wearon.platform.supabase_bucket import BUCKET, RESULT_TYPE, refuses_results, takes_too_little
from wearon.platform.supabase_functions import FAIL_AND_REFUND, FAIL_AND_REFUND_ARGUMENTS
from wearon.settings.supabase_keys import claims_of, is_public

FUNCTIONS: Mapping[str, frozenset[str]] = {
    "refund_credits": frozenset({"p_user_id", "p_amount", "p_description"}),
    "refund_store_credits": frozenset({"p_store_id", "p_amount", "p_request_id", "p_description"}),
    "refund_store_shopper_credits": frozenset(
        {"p_store_id", "p_shopper_email", "p_amount", "p_request_id", "p_description"}
    ),
}
"""Refund functions and the arguments by whose names PostgREST picks them (the contract, section 3)."""

MIME_TYPES = frozenset({"image/jpeg", "image/png", "image/webp"})

KEY_ENDS_SOON_S = 30 * 24 * 3600.0


@dataclass(frozen=True, slots=True)
class Described:
    """Arguments of a function as PostgREST describes them."""

    all: frozenset[str]
    required: frozenset[str]

    def fits(self, arguments: frozenset[str]) -> bool:
        """Whether a call with just these finds it."""
        return self.required <= arguments <= self.all


def described_arguments(description: Mapping[str, Any] | None, function: str) -> Described | None:
    """What the description says of a function; None when it does not."""
    try:
        parameters = (description or {})["paths"][f"/rpc/{function}"]["post"]["parameters"]
        schema = next(p["schema"] for p in parameters if p.get("in") == "body")
        return Described(frozenset(schema.get("properties", {})), frozenset(schema.get("required", ())))
    except (LookupError, TypeError, AttributeError, StopIteration):
        return None


def judge_function(
    function: str, described: Described | None, nearest: frozenset[str] | None, *, is_described: bool
) -> Finding:
    """The finding about a function that is not described as needed. `is_described`: PostgREST has described its API."""
    check, needed = "supabase functions", FUNCTIONS[function]
    signature = f"{function}({listed(needed)})"
    if nearest == needed and is_described and described is None:
        return fault(
            check,
            f"{function} may not be run by this key",
            f"grant execute on function {function} to service_role",
            Promise.REFUNDED_ONCE,
        )
    if nearest == needed:
        return ok(check, signature)
    others = nearest or (described.all if described else None)
    has = f"{function} takes ({listed(others)})" if others else f"there is no {function}"
    return fault(
        check,
        f"{has}: it is called with ({listed(needed)})",
        f"make {signature}; then reload PostgREST's schema cache (notify pgrst, 'reload schema')",
        Promise.REFUNDED_ONCE,
    )


def judge_key(key: str, now: float) -> list[Finding]:
    """The findings that the key itself gives, without asking Supabase; none when all is well."""
    check, advice = "supabase key", "put the project's service role (secret) key into SUPABASE_SERVICE_ROLE_KEY"
    if is_public(key):
        return [
            fault(
                check,
                "is a public one: row level security hides every session from it",
                advice,
                Promise.EVERY_TASK_ENDS,
            )
        ]
    claims = claims_of(key)
    if not key.startswith("sb_secret_") and claims.get("role") != "service_role":
        return [warning(check, "has no role in it: whether it is the service role's cannot be told", advice)]
    ends = claims.get("exp")
    if isinstance(ends, int | float) and ends < now + KEY_ENDS_SOON_S:
        if ends <= now:
            return [fault(check, "has expired", advice, Promise.EVERY_TASK_ENDS)]
        return [warning(check, f"expires in {(ends - now) / 86400:.0f} days", advice)]
    return []


def judge_fail_and_refund(
    described: Described | None, nearest: frozenset[str] | None, *, is_described: bool
) -> Finding:
    """The finding about the optional function, and what is lost where it is not installed."""
    check = "supabase functions"
    if described is not None and described.fits(FAIL_AND_REFUND_ARGUMENTS):
        return ok(check, f"{FAIL_AND_REFUND} is installed: a b2c session is failed and refunded in one transaction")
    fits = nearest == FAIL_AND_REFUND_ARGUMENTS
    if fits and not is_described:
        return ok(check, f"{FAIL_AND_REFUND} is installed: a b2c session is failed and refunded in one transaction")
    if fits:
        return warning(
            check,
            f"{FAIL_AND_REFUND} may not be run by this key: it is of no use",
            f"grant execute on function {FAIL_AND_REFUND} to service_role",
        )
    if nearest or described:
        return warning(
            check,
            f"{FAIL_AND_REFUND} is there with other arguments than ({listed(FAIL_AND_REFUND_ARGUMENTS)})",
            "install deploy/supabase/fail_and_refund_session.sql again",
        )
    return ok(
        check,
        f"{FAIL_AND_REFUND} is not installed (optional, deploy/supabase): with it a worker that stands still for 20 s "
        "just before its call cannot refund a b2c session a second time",
    )


def judge_deletion(refusal: str | None) -> Finding:
    """Whether old pictures may be deleted, after Storage was asked to delete one that is not there."""
    if refusal is None:
        return ok("supabase bucket", "lets us delete (tried with a picture that is not there)")
    return fault(
        "supabase bucket",
        f"does not let us delete ({refusal}): pictures stay longer than shoppers are promised",
        "grant delete on storage.objects to service_role, or leave RETENTION_HOURS empty and let something else delete",
        Promise.DELETED_IN_TIME,
    )


def judge_bucket(bucket: Mapping[str, Any]) -> list[Finding]:
    """Privacy, size limit and types of the bucket, as Storage tells them."""
    judged = (
        _judge_privacy(public=bool(bucket.get("public"))),
        _judge_size(bucket.get("file_size_limit")),
        _judge_types(bucket.get("allowed_mime_types")),
    )
    found = [finding for finding in judged if finding is not None]
    return found or [ok("supabase bucket", f"{BUCKET}: private, 10 MB, {listed(MIME_TYPES)}")]


def _judge_privacy(*, public: bool) -> Finding | None:
    if not public:
        return None
    return fault(
        "supabase bucket",
        "is public: shoppers' pictures open without a signature",
        "make it private",
        Promise.PICTURES_PRIVATE,
    )


def _judge_size(limit: int | None) -> Finding | None:
    """`limit` in bytes; None is the project's."""
    if limit == MAX_PICTURE_BYTES:
        return None
    if limit is not None and takes_too_little(limit):
        return fault(
            "supabase bucket",
            f"takes only {limit / 2**20:.1f} MB: a larger result cannot be stored",
            "set its limit to 10 MB",
            Promise.EVERY_TASK_ENDS,
        )
    told = "has no size limit of its own" if limit is None else f"takes {limit / 2**20:.0f} MB"
    return warning("supabase bucket", told, "set its limit to 10 MB: the worker reads no larger picture")


def _judge_types(types: Sequence[str] | None) -> Finding | None:
    """The finding about the file types that the bucket takes; `types` None: any."""
    if types is not None and set(types) == MIME_TYPES:
        return None
    if refuses_results(types):
        return fault(
            "supabase bucket",
            f"refuses {RESULT_TYPE}: no result can be stored",
            f"allow {listed(MIME_TYPES)}",
            Promise.EVERY_TASK_ENDS,
        )
    told = "takes files of any type" if types is None else f"allows {listed(types)}"
    return warning("supabase bucket", told, f"allow just {listed(MIME_TYPES)}")


def listed(names: Sequence[str] | frozenset[str]) -> str:
    """Names as a sentence lists them."""
    return ", ".join(sorted(names))
