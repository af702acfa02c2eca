"""A stable hash of a session's owner, by which OpenAI can tell a misbehaving end user from all others.

Without the key a hash cannot be traced to its user, not even by trying all ids. The key comes from a secret that every
machine of the fleet has, so the hash is the same everywhere; it changes when that secret does.
"""

import hashlib
import hmac
from collections.abc import Callable

PURPOSE = b"wearon safety identifier"
"""Derives a key of its own, so that the secret itself signs nothing that leaves the worker."""


def make_identifier(secret: str) -> Callable[[str], str]:
    """How owners are called: 64 hexadecimal digits, the most that OpenAI takes."""
    key = hmac.digest(secret.encode(), PURPOSE, hashlib.sha256)

    def identify(owner: str) -> str:
        return hmac.new(key, owner.encode(), hashlib.sha256).hexdigest()

    return identify
