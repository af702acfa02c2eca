"""How entries of the audit log name what an action was for."""


def group_in_words(group: str | None) -> str:
    """A group's, or that it was for all."""
    return "all" if group is None else f"group {group}"
