"""Which addresses an untrusted URL may lead to: the globally reachable ones.

The lists are ours because Python's `is_global` changed within 3.11 and 3.12 (gh-113171), and because it lets
translated forms pass whose IPv4 half it does not look at. Source: the IANA special-purpose address registries
(https://www.iana.org/assignments/iana-ipv4-special-registry, .../iana-ipv6-special-registry), RFC 6890.
"""

import asyncio
import socket
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from threading import Thread

from wearon.resources.fair_slots import FairSlots

IPAddress = IPv4Address | IPv6Address

Resolver = Callable[[str], Awaitable[Sequence[IPAddress]]]
"""A function from a host name to all its addresses. It raises OSError (socket.gaierror) when there are none."""

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


_LOOK_UPS = 64
"""Look-ups at once: four new names a second that each take 15 s to fail. A waiting thread has 20 KB of memory."""

_LOOK_UPS_OF_KNOWN = 16
_LOOK_UPS_OF_A_DOMAIN = 8
_MOST_KNOWN = 2000
"""Hosts that have answered last time: those of all shops."""


def is_globally_reachable(address: IPAddress) -> bool:
    """Whether the address belongs to the public internet, its embedded IPv4 address included."""
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _NOT_GLOBAL_V4)
    if address in _NAT64:
        return is_globally_reachable(IPv4Address(int(address) & 0xFFFF_FFFF))
    return address in _GLOBAL_UNICAST_V6 and not any(address in network for network in _NOT_GLOBAL_V6)


class SystemResolver:
    """The system's getaddrinfo, each look-up in a thread of its own.

    A look-up cannot be ended: glibc waits ten seconds and more for a server that never answers. So there is room for
    many of them, for a few of one domain, and for names that have answered before room of their own: names that never
    answer take up neither that nor the loop's shared threads, which look up our own services.
    """

    def __init__(self) -> None:
        self._unknown = FairSlots(_LOOK_UPS, _LOOK_UPS_OF_A_DOMAIN)
        self._known = FairSlots(_LOOK_UPS_OF_KNOWN, _LOOK_UPS_OF_A_DOMAIN)
        self._answered: OrderedDict[str, None] = OrderedDict()

    async def __call__(self, host: str) -> Sequence[IPAddress]:
        """All addresses of the name, in the order the system prefers. Raises OSError when there are none."""
        loop = asyncio.get_running_loop()
        slots, domain = self._known if host in self._answered else self._unknown, _domain(host)
        self._answered.pop(host, None)  # until it answers again
        await slots.acquire(domain)
        answer: asyncio.Future[Sequence[IPAddress]] = loop.create_future()

        def told(addresses: Sequence[IPAddress] | None, error: Exception | None) -> None:
            slots.release(domain)
            if answer.done():
                return  # its caller has gone
            if addresses is None:
                answer.set_exception(error or OSError("no answer"))
            else:
                answer.set_result(addresses)

        look_up = Thread(target=_look_up, args=(host, loop, told), name="resolve", daemon=True)
        try:
            look_up.start()
        except RuntimeError as error:  # the system has no thread left
            slots.release(domain)
            raise socket.gaierror(socket.EAI_AGAIN, "no thread") from error
        addresses = await answer
        self._answered[host] = None
        if len(self._answered) > _MOST_KNOWN:
            self._answered.popitem(last=False)
        return addresses


Told = Callable[[Sequence[IPAddress] | None, Exception | None], None]


def _look_up(host: str, loop: asyncio.AbstractEventLoop, told: Told) -> None:
    addresses, failed = None, None
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        addresses = [ip_address(sockaddr[0]) for *_, sockaddr in found]
    except Exception as error:  # noqa: BLE001 (raised again in the task that waits)
        failed = error
    with suppress(RuntimeError):  # the loop has ended meanwhile
        loop.call_soon_threadsafe(told, addresses, failed)


def _domain(host: str) -> str:
    """The last two labels, which most names of one owner have in common."""
    return ".".join(host.split(".")[-2:])
