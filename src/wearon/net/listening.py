"""Where this process listens for HTTP, and the URL under which this machine reaches it."""

import socket
from ipaddress import IPv6Address, ip_address

from wearon.resources.descriptors import BACKLOG


def listen(host: str, port: int) -> socket.socket:
    """Bind and listen; on `::` for IPv4, too, where the system can. Raises OSError."""
    host = host.removeprefix("[").removesuffix("]")
    if "%" in host:
        raise OSError("an address with a zone cannot be written into a URL")
    try:
        family = _family(host, port)
        both = family == socket.AF_INET6 and _is_wildcard(host) and socket.has_dualstack_ipv6()
        return socket.create_server((host, port), family=family, backlog=BACKLOG, dualstack_ipv6=both)
    except UnicodeError:  # the encoding of host names
        raise OSError("that is no host name") from None


def url_of(listening: socket.socket) -> str:
    """The URL for callers on this machine."""
    address, port, *_ = listening.getsockname()
    only_ipv6 = listening.family == socket.AF_INET6 and listening.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
    if only_ipv6 and _is_wildcard(address):
        address = "::1"
    return url_at(address, port)


def url_at(host: str, port: int) -> str:
    """The URL of a process that listens on this host and port."""
    host = host.removeprefix("[").removesuffix("]")
    if _is_wildcard(host):
        host = "127.0.0.1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _family(host: str, port: int) -> socket.AddressFamily:
    """IPv4 for a name that has both: callers on this machine try that one, too."""
    found = {family for family, *_ in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)}
    return socket.AF_INET6 if found == {socket.AF_INET6} else socket.AF_INET


def _is_wildcard(host: str) -> bool:
    try:
        address = ip_address(host)
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return (mapped or address).is_unspecified
