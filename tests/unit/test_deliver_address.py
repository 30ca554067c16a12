"""Which addresses a webhook may be sent to."""

from ipaddress import IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.deliver.address import Denial, denial, is_denied_for_ever, literal

EVERYTHING = (ip_network("0.0.0.0/0"), ip_network("::/0"))


@pytest.mark.parametrize(
    "address",
    [
        *("10.0.0.7", "172.16.3.4", "192.168.1.1", "100.64.0.1"),
        *("93.184.216.34", "2606:2800:220:1:248:1893:25c8:1946", "fd12:3456::1", "::ffff:10.0.0.7"),
    ],
)
def test_the_network_beside_us_and_the_world_are_open(address: str) -> None:
    """Private and public addresses may be had, IPv4 written as IPv6 included."""
    assert denial(ip_address(address), "receiver.example") is None


@pytest.mark.parametrize(
    "address",
    [
        *("169.254.169.254", "169.254.0.1", "fe80::1", "::ffff:169.254.169.254"),
        *("fd00:ec2::254", "fd20:ce::254", "100.100.100.200", "168.63.129.16"),
        *("224.0.0.1", "239.1.2.3", "ff02::1", "255.255.255.255", "240.0.0.1"),
        *("0.0.0.0", "0.1.2.3", "::"),
        *("64:ff9b::a9fe:a9fe", "64:ff9b:1::a9fe:a9fe", "2002:a9fe:a9fe::", "2001:0:a9fe:a9fe::1"),
        *("::a9fe:a9fe", "::ffff:0:a9fe:a9fe", "fe80::1%eth0"),
    ],
)
def test_what_no_webhook_may_have_stays_closed(address: str) -> None:
    """Link-local, metadata, multicast, reserved and wrapped addresses are denied, whatever is allowed."""
    for host in (address, "receiver.example"):
        assert denial(ip_address(address), host) is Denial.NEVER
        assert denial(ip_address(address), host, EVERYTHING) is Denial.NEVER


@given(st.integers(0, 2**32 - 1))
def test_wrapping_an_address_opens_nothing(number: int) -> None:
    """Each IPv4 address is denied in every wrapping, and judged as itself where the kernel takes it for itself."""
    plain = ip_address(number)
    assert denial(IPv6Address(0xFFFF << 32 | number), "h") is denial(plain, "h")
    for prefix in (0x64FF9B << 96, 0x64FF9B0001 << 80, 0xFFFF << 48):
        assert denial(IPv6Address(prefix | number), "h") is Denial.NEVER
    assert denial(IPv6Address(0x2002 << 112 | number << 80), "h") is Denial.NEVER


@pytest.mark.parametrize(
    ("host", "address", "verdict"),
    [
        ("127.0.0.1", "127.0.0.1", None),
        ("127.1.2.3", "127.1.2.3", None),
        ("::1", "::1", None),
        ("::ffff:127.0.0.1", "127.0.0.1", None),
        ("localhost", "127.0.0.1", None),
        ("localhost", "::1", None),
        ("localhost", "10.0.0.7", Denial.LOOPBACK),
        *((host, "127.0.0.1", Denial.LOOPBACK) for host in ("127.1", "0x7f.1", "2130706433", "0177.0.0.1")),
        ("rebind.example", "127.0.0.1", Denial.LOOPBACK),
        ("rebind.example", "::1", Denial.LOOPBACK),
        ("rebind.example", "::ffff:127.0.0.1", Denial.LOOPBACK),
        ("localhost.example", "127.0.0.1", Denial.LOOPBACK),
    ],
)
def test_this_machine_must_be_meant(host: str, address: str, verdict: Denial | None) -> None:
    """Loopback is open to who writes it, and to no name that leads there; localhost is nothing else."""
    assert denial(ip_address(address), host) is verdict


@pytest.mark.parametrize(
    ("networks", "address", "verdict"),
    [
        (["10.0.0.0/8"], "10.9.9.9", None),
        (["10.0.0.0/8"], "::ffff:10.9.9.9", None),
        (["10.0.0.0/8"], "11.0.0.1", Denial.OUTSIDE),
        (["10.0.0.0/8"], "fd00::1", Denial.OUTSIDE),
        (["fd00::/8", "192.0.2.7"], "fd00::1", None),
        (["fd00::/8", "192.0.2.7"], "192.0.2.7", None),
        (["127.0.0.0/8"], "127.0.0.1", None),
        (["10.0.0.0/8"], "127.0.0.1", Denial.OUTSIDE),
    ],
)
def test_networks_that_are_named_are_the_only_ones(
    networks: list[str], address: str, verdict: Denial | None
) -> None:
    """With `allow_networks` all else is closed, and loopback is meant by naming it."""
    assert denial(ip_address(address), "h.example", [ip_network(text) for text in networks]) is verdict


@pytest.mark.parametrize(
    ("network", "denied"),
    [
        ("169.254.0.0/16", True),
        ("169.254.169.254", True),
        ("64:ff9b::/120", True),
        ("224.0.0.0/8", True),
        ("169.0.0.0/8", False),
        ("10.0.0.0/8", False),
        ("::1", False),
        ("0.0.0.0/0", False),
    ],
)
def test_a_network_that_is_closed_as_a_whole_is_known(network: str, denied: bool) -> None:
    """A configuration that allows nothing but what is denied can be told so."""
    assert is_denied_for_ever(ip_network(network)) is denied


@pytest.mark.parametrize("host", ["127.1", "0x7f.1", "2130706433", "0177.0.0.1", "receiver.example", ""])
def test_what_only_the_resolver_reads_as_an_address_is_a_name(host: str) -> None:
    """Short, hexadecimal, decimal and octal forms are judged by what the resolver makes of them."""
    assert literal(host) is None
