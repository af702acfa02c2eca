"""A request's head: whether every proxy on the way has read it as we do, or a request could be smuggled past one."""

PATH_BYTES = 2048
"""Ours have a tenth of it. uvicorn decodes what is escaped in it when the head is there, a microsecond for 4 bytes."""

QUERY_FIELDS = 100
"""Each is looked at one by one, by some routes twice: eight thousand in one head took the loop 5 ms."""


def is_too_long(address: bytes) -> bool:
    """Whether reading the request's address would cost more than an honest one's."""
    path, _, query = address.partition(b"?")
    return len(path) > PATH_BYTES or query.count(b"&") >= QUERY_FIELDS


def is_unambiguous(version: str, method: bytes, fields: list[tuple[bytes, bytes]]) -> bool:
    """Whether a proxy before us has read the head as we do. llhttp has looked at lengths and spelling."""
    hosts = codings = 0
    for name, value in fields:
        if name == b"host":
            hosts += 1
        elif name == b"transfer-encoding":
            codings += 1
            if value.strip().lower() != b"chunked":
                return False
    if method == b"CONNECT" or version not in {"1.0", "1.1"}:
        return False
    return hosts == 1 and codings <= 1 if version == "1.1" else hosts <= 1 and codings == 0


def has_body(fields: list[tuple[bytes, bytes]]) -> bool:
    """Whether a body follows the head. A request that wants to be upgraded would be read without it."""
    return any(name in {b"content-length", b"transfer-encoding"} for name, _ in fields)
