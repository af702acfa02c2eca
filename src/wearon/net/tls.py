"""Whose certificates we take: the public authorities' (certifi's list), and those that the operator adds.

CannotTrust   the file with an operator's authorities cannot be used
"""

import functools
import ssl
from pathlib import Path

import httpx


class CannotTrust(ValueError):
    """The message is one clause for the operator, without the file's name or content."""


@functools.cache
def trusting(authorities: Path | None = None) -> ssl.SSLContext:
    """What our clients check certificates with: one for all, as reading the lists takes 20 ms. Raises CannotTrust."""
    context = httpx.create_ssl_context(trust_env=False)
    if authorities is not None:
        _add(authorities, context)
    return context


def check_authorities(file: Path) -> None:
    """Check that the file holds certificates. Raises CannotTrust."""
    _add(file, ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))


def _add(file: Path, context: ssl.SSLContext) -> None:
    try:
        context.load_verify_locations(cafile=file)
    except ssl.SSLError:
        raise CannotTrust("holds no certificate of an authority in PEM form") from None
    except OSError as error:
        raise CannotTrust(f"cannot be read: {error.strerror}") from None
