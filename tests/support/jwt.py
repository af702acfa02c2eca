"""JSON web tokens with HMAC-SHA256: as much as service role keys and signed URLs need."""

import base64
import hashlib
import hmac
import json


class InvalidToken(Exception):
    """It was not made with this secret."""


def make_token(claims: dict[str, object], secret: str) -> str:
    """Sign claims."""
    unsigned = f"{_encode({'alg': 'HS256', 'typ': 'JWT'})}.{_encode(claims)}"
    return f"{unsigned}.{_signature(unsigned, secret)}"


def read_token(token: str, secret: str) -> dict[str, object]:
    """The claims of a token. Raises InvalidToken."""
    unsigned, _, signature = token.rpartition(".")
    if not unsigned or not hmac.compare_digest(signature.encode(), _signature(unsigned, secret).encode()):
        raise InvalidToken
    payload = unsigned.partition(".")[2]
    claims: dict[str, object] = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return claims


def _signature(unsigned: str, secret: str) -> str:
    return _base64(hmac.digest(secret.encode(), unsigned.encode(), hashlib.sha256))


def _encode(value: dict[str, object]) -> str:
    return _base64(json.dumps(value, separators=(",", ":")).encode())


def _base64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
