"""The settings that say who may call what: a part of `wearon.settings`. docs/operations.md has the table of roles."""

from collections.abc import Mapping
from enum import StrEnum
from itertools import combinations
from typing import Annotated

from pydantic import AfterValidator, SecretStr
from pydantic_settings import BaseSettings

LEAST_TOKEN_CHARACTERS = 16
"""64 bits of hex: at the fifty tries a second that the API allows, guessing takes ten thousand million years."""

TOKENS = ("api_token", "viewer_token", "metrics_token", "estimate_token")


class EstimateAccess(StrEnum):
    """Who may ask for sizes."""

    OPEN = "open"
    """Everyone who reaches the API, as the platform's size proxy, which has no token."""
    TOKEN = "token"  # noqa: S105 (the name of a choice)
    """Who has `ESTIMATE_TOKEN` or `API_TOKEN`."""


def check_key(key: SecretStr) -> SecretStr:
    """Keys go into HTTP headers, and a copied one often has a line's end behind it."""
    text = key.get_secret_value().strip()
    if not text or not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError("is empty, or holds characters that no key has")
    return SecretStr(text)


Key = Annotated[SecretStr, AfterValidator(check_key)]


class AccessSettings(BaseSettings):
    """Tokens by role, and whether estimates need one."""

    estimate_access: EstimateAccess = EstimateAccess.OPEN
    api_token: Key | None = None
    viewer_token: Key | None = None
    metrics_token: Key | None = None
    estimate_token: Key | None = None


def access_problems(values: Mapping[str, object], *, in_production: bool) -> list[str]:
    """What is wrong with the tokens together, from settings that are not checked yet; no token is quoted."""
    tokens = _well_formed(values)
    problems = [
        f"{name.upper()} has fewer than {LEAST_TOKEN_CHARACTERS} characters: make one with `openssl rand -hex 32`"
        for name, token in tokens.items()
        if in_production and len(token) < LEAST_TOKEN_CHARACTERS
    ]
    problems += [
        f"{one.upper()} and {other.upper()} are the same: each role needs a token of its own"
        for one, other in combinations(tokens, 2)
        if tokens[one] == tokens[other]
    ]
    if values.get("estimate_access") == EstimateAccess.TOKEN and not any(
        values.get(name) for name in ("api_token", "estimate_token")
    ):
        problems.append("ESTIMATE_ACCESS=token lets nobody ask for sizes: set ESTIMATE_TOKEN, or API_TOKEN")
    return problems


def _well_formed(values: Mapping[str, object]) -> Mapping[str, str]:
    """The tokens that are keys at all: of the others, each field says what is wrong."""
    tokens = {}
    for name in TOKENS:
        given = values.get(name)
        try:
            tokens[name] = check_key(given if isinstance(given, SecretStr) else SecretStr(str(given or "")))
        except ValueError:
            continue
    return {name: token.get_secret_value() for name, token in tokens.items()}
