"""Whatever HOST is, the URL that is told leads to this process from this machine."""

import socket
from contextlib import closing
from urllib.parse import urlsplit

import pytest

from wearon.net.listening import listen, url_at, url_of
from wearon.net.origins import Origin


def answers(url: str) -> bool:
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=10):
        return True


@pytest.fixture(params=["::", "::1", "[::1]", "0.0.0.0", "127.0.0.1", "127.0.0.2", "localhost"])
def host(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def test_the_url_is_taken_from_the_socket_and_leads_to_it(host: str) -> None:
    with closing(listen(host, 0)) as listening:
        url = url_of(listening)
        assert answers(url)
        assert str(Origin.parse(url)) == url
        assert url_at(host, listening.getsockname()[1]).rpartition(":")[2] == url.rpartition(":")[2]
        assert answers(url_at(host, listening.getsockname()[1]))


def test_both_families_are_served_on_the_wildcard_of_ipv6() -> None:
    with closing(listen("::", 0)) as listening:
        port = listening.getsockname()[1]
        assert answers(f"http://127.0.0.1:{port}")
        assert answers(f"http://[::1]:{port}")


def test_an_ipv6_address_alone_leaves_ipv4_out() -> None:
    with closing(listen("::1", 0)) as listening, pytest.raises(OSError, match="refused"):
        answers(f"http://127.0.0.1:{listening.getsockname()[1]}")


@pytest.mark.parametrize("host", ["192.0.2.7", "2001:db8::1", "no such host", "a" * 70, "fe80::1%lo", "*", "http://::"])
def test_a_host_that_is_not_ours_is_an_os_error(host: str) -> None:
    with pytest.raises(OSError, match=r"\w"):
        listen(host, 0)


def test_a_port_in_use_is_an_os_error() -> None:
    with closing(listen("127.0.0.1", 0)) as taken, pytest.raises(OSError, match="in use"):
        listen("127.0.0.1", taken.getsockname()[1])
