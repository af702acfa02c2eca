"""Why a session failed, for three readers: the operator, the shop's clerk and the shopper. One table, pure.

What the shopper's page shows is the row's `error_message`, which the contract fixes; these sentences are for the
console and `wearon session`. A row is found by the category of the reason and by a phrase of its text.
"""

import re
from dataclasses import dataclass

from wearon.operations.models import Advice, RefundState
from wearon.tryon.retry_policy import Reason


@dataclass(frozen=True, slots=True)
class _Row:
    phrases: tuple[str, ...]
    advice: Advice


def _row(phrases: str, headline: str, operator: str, clerk: str = "", shopper: str = "") -> _Row:
    advice = Advice(headline=headline, operator=operator, clerk=clerk or OUR_FAULT, shopper=shopper)
    return _Row(tuple(phrases.split("|")), advice)


OUR_FAULT = "Something went wrong on our side, not with your pictures. Please try again in a few minutes."

UNKNOWN = Advice(
    headline="The session failed, and no history of this worker says why.",
    operator="Look for its request id in the logs. The platform itself fails b2c sessions older than 10 minutes.",
    clerk=OUR_FAULT,
)
"""For a session that was failed by others, or whose history has expired."""

CANCELLED = Advice(
    headline="An operator cancelled the session.",
    operator="Nothing.",
    clerk="This try-on was cancelled.",
)

CREDIT = {
    RefundState.GIVEN_BACK: " The credit was given back.",
    RefundState.OUTSTANDING: " The credit is being given back.",
    RefundState.BY_HAND: " We are looking into the credit.",
    RefundState.NOT_SEEN: " We are looking into the credit.",
}
"""What the clerk may add."""

_OPENAI_AWAY = "See https://status.openai.com, and /health for what it answers."

ROWS: dict[Reason, tuple[_Row, ...]] = {
    Reason.MODERATION: (
        _row(
            "",
            "The safety filter of the image model refused the pictures or the prompt.",
            "Nothing, unless it happens often in one store: then look at that store's garments.",
            "The safety filter flagged one of the pictures. Please try it with other pictures.",
            "Use other pictures: nobody undressed, no one known from the media, no signs or writing on the clothes.",
        ),
    ),
    Reason.RATE_LIMIT: (
        _row(
            "",
            "The image model had too many requests, again and again.",
            "Compare OPENAI_REQUESTS_PER_MINUTE with the account's limit, and ask OpenAI for a higher one.",
            "It was too busy just then. Please try again in a few minutes.",
        ),
    ),
    Reason.OPENAI: (
        _row(
            "KeyRejected",
            "OpenAI refused our key until the deadline.",
            "Put OPENAI_API_KEY right: is it valid, and is the organisation verified for image models?",
        ),
        _row("QuotaExhausted", "Our OpenAI account has no money left.", "Top up the account, or raise its limit."),
        _row(
            "ModelUnavailable",
            "No image model that we may ask was left.",
            "Name a model that lives in OPENAI_MODEL or OPENAI_FALLBACK_MODELS; `wearon doctor` lists them.",
        ),
        _row(
            "no person found",
            "The preview found no person in the first picture.",
            "Nothing: only local mode looks for a person, to draw its preview.",
            "We could not find a person in the photo. Please choose another one.",
            "Choose a photo that shows the whole person from the front.",
        ),
        _row(
            "RequestRefused",
            "OpenAI refused the request itself.",
            "Read the reason: a setting (OPENAI_IMAGE_SIZE, OPENAI_IMAGE_QUALITY, ...), or a fault of this worker.",
        ),
        _row("BadAnswer", "The image model answered without a picture.", "Nothing, unless it happens again."),
        _row("ServiceUnavailable|NotAsked", "OpenAI did not answer until the deadline.", _OPENAI_AWAY),
        _row("", "The image model made no picture.", _OPENAI_AWAY),
    ),
    Reason.PLATFORM: (
        _row(
            "PlatformRefused",
            "Supabase refused what we write about this session.",
            "Read the reason: a row, a right or a function is not as this worker expects; `wearon doctor` checks them.",
        ),
        _row(
            "",
            "Supabase or Redis did not answer until the deadline.",
            "See /health and `wearon doctor` for what they answer, and https://status.supabase.com.",
        ),
    ),
    Reason.DEADLINE: (
        _row(
            "",
            "The picture took longer than the shopper can wait.",
            "Compare the steps' times: is the image model slow, or are there too few workers?",
            "It took too long this time. Please try again.",
        ),
    ),
    Reason.TASK: (
        _row(
            "is not known to this worker",
            "The shop's platform pushed a task of a version that this worker does not know.",
            "Deploy a worker that knows the version, then retry the dead letters.",
        ),
        _row(
            "no such session",
            "There is no such session, or not yet.",
            "The producer must write the session before it pushes the task. Retry the dead letter once it is there.",
        ),
        _row(
            "belongs to somebody else",
            "The task names a session of another owner.",
            "The producer mixes up owners: mend it. Discard the dead letter.",
        ),
        _row(
            "unusable job",
            "A job in Redis cannot be read.",
            "Another version of the worker, or another program, wrote it. Deploy one version, then retry.",
        ),
        _row(
            "longer than any task|larger than",
            "The task is larger than any task can be.",
            "Find the producer that pushes such documents. It was cut, so it can only be discarded.",
        ),
        _row(
            "",
            "What was pushed is no task that can be used.",
            "Mend the producer: the reason names the field. Discard the dead letters.",
        ),
    ),
    Reason.STORE_LIMIT: (
        _row(
            "",
            "The store has had its tasks for today.",
            "Nothing is wrong. `STORE_DAILY_LIMIT` sets how many a store may have on one day (UTC).",
            "This store has reached its limit for today. Please try again tomorrow.",
        ),
    ),
    Reason.CRASHES: (
        _row(
            "",
            "The worker died again and again at this job.",
            "Look at the machine's memory, and for what killed the process (`dmesg`, the platform's events).",
            "These pictures could not be worked on. Please try it with others.",
            "Use other pictures.",
        ),
    ),
    Reason.INTERNAL: (_row("", "A fault of this worker.", "Its log has the traceback: please report it."),),
}
"""For each reason the rows of its causes; the first of which a phrase is in the text. The last one fits all."""

PICTURES = (
    # what is in the reason, what is wrong with the picture, what to do about it
    (("is HEIC",), "is HEIC, which cannot be read", "Take the photo as JPEG: HEIC cannot be read."),
    (("is not a JPEG", "content type"), "is no JPEG, PNG or WebP", "Send the picture as JPEG, PNG or WebP."),
    (("is empty",), "is an empty file", "Choose the picture again."),
    (("megapixels", " pixels"), "has too many pixels", "Make it smaller: 4000 pixels are plenty."),
    (("is larger than",), "is too large a file", "Make it smaller: at most 10 MB."),
    (
        ("too long to decode", " scans", "of a processor", "could not be decoded"),
        "is made in a way that takes too much work to read",
        "Save the picture anew as JPEG.",
    ),
    (("cut off", "truncated", "damaged"), "is damaged or not complete", "Take it again, or choose another one."),
    (("status 404", "status 410"), "is not there any more", "Choose the picture again."),
    (("status ", "redirect", "compressed", "does not begin"), "is refused by the server that it lies on", ""),
    (("could not connect", "broke off", "cannot be read"), "could not be fetched from where it lies", ""),
    (("took longer", "too slowly", "small pieces"), "came too slowly", "Try again in a few minutes."),
    (("host name",), "lies on a server whose name is not known", ""),
    (("public internet",), "lies on a server that is not on the public internet", ""),
    (("URL", "the host", "the port"), "has an address that cannot be used", ""),
    (("",), "could not be used", "Try it with another picture."),
)
"""Causes of `Reason.PICTURE`: the first row of which a phrase is in the text. The last one fits all."""

_ROLE = re.compile(r"\b(person|garment|accessory [0-9]+): ")


def advise(category: Reason | None, text: str) -> Advice:
    """What is to be said about a failure, from its category and the operator's text."""
    if category is None:
        return UNKNOWN
    if category is Reason.PICTURE:
        return _about_a_picture(text)
    return next(row.advice for row in ROWS[category] if any(phrase in text for phrase in row.phrases))


def _about_a_picture(text: str) -> Advice:
    role = found[1] if (found := _ROLE.search(text)) else ""
    wrong, remedy = next((wrong, remedy) for phrases, wrong, remedy in PICTURES if any(one in text for one in phrases))
    if role == "person":
        headline = f"The photo of the person {wrong}."
        remedy = remedy or "Choose the photo again."
        operator = "Nothing, if it is one shopper; if there are many, look where the photos come from."
    else:
        of_what = {"": "", "garment": " of the garment"}.get(role, f" of {role}")
        headline = f"The picture{of_what} {wrong}."
        operator = f"Tell the shop whose picture it is. {remedy}".strip()
        remedy = "Choose another garment." if role == "garment" else "Leave that picture out."
    return Advice(headline=headline, operator=operator, clerk=f"{headline} {remedy}", shopper=remedy)
