"""Which addresses count as the public internet."""

from ipaddress import IPv4Network, IPv6Network, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wearon.net.addresses import SystemResolver, is_globally_reachable

PUBLIC = """
    1.1.1.1 8.8.8.8 9.255.255.255 11.0.0.0 93.184.215.14 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.0
    168.63.129.15 168.63.129.17 169.253.255.255 169.255.0.0 172.15.255.255 172.32.0.0 192.0.1.0 192.0.3.0
    192.167.255.255 192.169.0.0 198.17.255.255 198.20.0.0 203.0.112.255 203.0.114.0 223.255.255.255
    2606:4700:4700::1111 2001:4860:4860::8888 2a00:1450:4001:81b::200e 2001:200:: 2003:: 2c0f:fb50::1
    64:ff9b::8.8.8.8 64:ff9b::101:101
"""

NOT_PUBLIC = """
    0.0.0.0 0.1.2.3 0.255.255.255
    10.0.0.0 10.1.2.3 10.255.255.255
    100.64.0.0 100.100.100.200 100.127.255.255
    127.0.0.0 127.0.0.1 127.255.255.255
    168.63.129.16
    169.254.0.0 169.254.169.254 169.254.170.2 169.254.255.255
    172.16.0.0 172.17.0.1 172.31.255.255
    192.0.0.0 192.0.0.8 192.0.0.9 192.0.0.170 192.0.0.192 192.0.2.1
    192.88.99.1 192.168.0.0 192.168.1.1 192.168.255.255
    198.18.0.0 198.19.255.255 198.51.100.7 203.0.113.9
    224.0.0.1 239.255.255.250 240.0.0.1 255.255.255.254 255.255.255.255
    :: ::1 ::127.0.0.1 ::8.8.8.8
    ::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:169.254.169.254 ::ffff:8.8.8.8 ::ffff:0:127.0.0.1
    64:ff9b::127.0.0.1 64:ff9b::10.0.0.1 64:ff9b::169.254.169.254 64:ff9b::0.0.0.0 64:ff9b:1::8.8.8.8
    100::1 100:0:0:1::1
    2001::1 2001:0:4136:e378:8000:63bf:3fff:fdd2 2001:2::1 2001:10::1 2001:20::1 2001:1ff:ffff::1
    2001:db8::1 2002:7f00:1::1 2002:a00:1::1 2002:a9fe:a9fe::1 2002:808:808::1
    3fff::1 4000::1 5f00::1
    fc00::1 fd00:ec2::254 fd12:3456:789a::1 fe80::1 fe80::1%1 febf::1 fec0::1 ff02::1 ff0e::1
"""


@pytest.mark.parametrize("address", PUBLIC.split())
def test_public_addresses_are_reachable(address: str) -> None:
    assert is_globally_reachable(ip_address(address))


@pytest.mark.parametrize("address", NOT_PUBLIC.split())
def test_all_others_are_not(address: str) -> None:
    assert not is_globally_reachable(ip_address(address))


@pytest.mark.parametrize(
    "network", ["10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16"]
)
@given(data=st.data())
def test_no_translated_form_of_a_private_address_is_reachable(network: str, data: st.DataObject) -> None:
    private = IPv4Network(network)
    inner = private[data.draw(st.integers(0, private.num_addresses - 1))]
    number = int(inner)
    mapped, compatible = (IPv6Network(prefix)[number] for prefix in ("::ffff:0:0/96", "::/96"))
    nat64, local_nat64 = (IPv6Network(prefix)[number] for prefix in ("64:ff9b::/96", "64:ff9b:1::/96"))
    six_to_four = IPv6Network("2002::/16")[number << 80]
    teredo = IPv6Network("2001::/32")[(number << 64) | (number ^ 0xFFFF_FFFF)]
    for address in (inner, mapped, compatible, nat64, local_nat64, six_to_four, teredo):
        assert not is_globally_reachable(address)


async def test_the_system_resolver_gives_addresses_for_a_name_of_this_machine() -> None:
    addresses = await SystemResolver()("localhost")  # from the hosts file: nothing is sent
    assert addresses
    assert all(address.is_loopback for address in addresses)
