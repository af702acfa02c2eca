"""Which addresses may be connected to for a stranger: the globally reachable ones.

The lists are ours because Python's `is_global` changed within 3.11 and 3.12 (gh-113171), and because it lets
translated forms pass whose IPv4 half it does not look at. Source: the IANA special-purpose address registries
(https://www.iana.org/assignments/iana-ipv4-special-registry, .../iana-ipv6-special-registry), RFC 6890.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

IPAddress = IPv4Address | IPv6Address

Resolver = Callable[[str], Awaitable[Sequence[IPAddress]]]
"""From a host name to all its addresses. Raises OSError (socket.gaierror) when there are none."""

_NOT_GLOBAL_V4 = tuple(
    IPv4Network(network)
    for network in (
        "0.0.0.0/8",  # this network; 0.0.0.0 is the machine itself
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # shared (CGNAT); Alibaba's metadata service
        "127.0.0.0/8",  # loopback
        "168.63.129.16/32",  # Azure's platform service: a public number that only its own machines reach
        "169.254.0.0/16",  # link-local: cloud metadata
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # IETF protocol assignments; Oracle's metadata service
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # 6to4 relays (deprecated)
        "192.168.0.0/16",  # private
        "198.18.0.0/15",  # benchmarking
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, limited broadcast
    )
)

_GLOBAL_UNICAST_V6 = IPv6Network("2000::/3")
"""All that IANA has ever given out. Outside lie loopback, IPv4-mapped and -compatible, ULA, link-local,
multicast and SRv6."""

_NOT_GLOBAL_V6 = tuple(
    IPv6Network(network)
    for network in (
        "2001::/23",  # IETF protocol assignments: Teredo, benchmarking, ORCHID
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4: carries an IPv4 address that a relay would connect to
        "3fff::/20",  # documentation
    )
)

_NAT64 = IPv6Network("64:ff9b::/96")
"""The well-known prefix: how machines with IPv6 only reach the IPv4 address in the last 32 bits."""


def is_globally_reachable(address: IPAddress) -> bool:
    """Whether the address belongs to the public internet, its embedded IPv4 address included."""
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _NOT_GLOBAL_V4)
    if address in _NAT64:
        return is_globally_reachable(IPv4Address(int(address) & 0xFFFF_FFFF))
    return address in _GLOBAL_UNICAST_V6 and not any(address in network for network in _NOT_GLOBAL_V6)


class SystemResolver:
    """The system's getaddrinfo, in threads of its own.

    The loop's shared threads (four under uvloop) also resolve our own services' names: strangers' names that
    answer slowly must not be able to take them all.
    """

    def __init__(self, threads: int = 8) -> None:
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="resolve")

    async def __call__(self, host: str) -> Sequence[IPAddress]:
        """All addresses of the name, in the order the system prefers. Raises OSError when there are none."""
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(
            self._threads, lambda: socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        )
        return [ip_address(sockaddr[0]) for *_, sockaddr in found]

    def close(self) -> None:
        """Take no more names; look-ups that are under way are left to end by themselves."""
        self._threads.shutdown(wait=False, cancel_futures=True)
