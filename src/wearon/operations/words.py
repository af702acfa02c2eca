"""Numbers and durations in sentences for operators."""


def duration(seconds: float | None) -> str:
    """`42 s`, `5 min`, `2 h`."""
    whole = round(seconds or 0.0)
    if whole < 120:
        return f"{whole} s"
    return f"{whole // 60} min" if whole < 7200 else f"{whole // 3600} h"


def group_in_words(group: str | None) -> str:
    """How entries of the audit log name a group, or that an action was for all."""
    return "all" if group is None else f"group {group}"


def took(seconds: float) -> str:
    """`31.2 s`, and what is short in milliseconds: 0.0 s would say nothing."""
    return f"{seconds * 1000:.0f} ms" if seconds < 0.05 else f"{seconds:.1f} s"


def plural(number: int, noun: str) -> str:
    """`1 task`, `2 tasks`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
