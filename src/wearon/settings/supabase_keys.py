"""What a Supabase key says of itself, unasked: a JSON web token carries its role, a newer kind of key its name."""

import base64
import json
from collections.abc import Mapping
from typing import Any

PUBLIC_ROLES = frozenset({"anon", "authenticated"})
"""Row level security hides every session from these, so each task would look as if its session did not exist."""

PUBLIC_PREFIX = "sb_publishable_"


def claims_of(key: str) -> Mapping[str, Any]:
    """What a JSON web token says, unchecked; nothing when it is none."""
    try:
        payload = key.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (IndexError, ValueError):
        return {}
    return claims if isinstance(claims, dict) else {}


def is_public(key: str) -> bool:
    """Whether it is a key for browsers."""
    return key.startswith(PUBLIC_PREFIX) or claims_of(key).get("role") in PUBLIC_ROLES
