"""Which addresses a webhook may be sent to, judged by what its name resolves to and never by its text. Pure."""

from collections.abc import Sequence
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


class Denial(StrEnum):
    """Why an address is none for a webhook."""

    NEVER = "never"
    LOOPBACK = "loopback"
    OUTSIDE = "outside"


_NEVER: tuple[Network, ...] = tuple(
    ip_network(text)
    for text in (
        # "This network": Linux connects 0.0.0.0 to itself.
        *("0.0.0.0/8", "::/128"),
        # Link-local: beside what has no other address, the metadata service of nearly every cloud.
        *("169.254.0.0/16", "fe80::/10"),
        # The metadata services that live elsewhere: Amazon's and Google's by IPv6, Alibaba's, Azure's host.
        *("fd00:ec2::254", "fd20:ce::254", "100.100.100.200", "168.63.129.16"),
        # Multicast; reserved, with the broadcast address.
        *("224.0.0.0/4", "ff00::/8", "240.0.0.0/4"),
        # IPv4 wrapped into IPv6, which a gateway unwraps behind our back: NAT64, its local prefix, 6to4, Teredo,
        # SIIT, and the "compatible" form. `is_global` of Python calls the first and the third global.
        *("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32", "::ffff:0:0:0/96"),
    )
)
_COMPATIBLE = IPv6Network("::/96")


def denial(address: Address, host: str, allowed: Sequence[Network] = ()) -> Denial | None:
    """Say why `address`, which `host` in a webhook's URL resolved to, may not be connected to; None if it may.

    Private networks are the normal case and open. What is never one for a webhook stays closed whatever
    `allowed` holds. With `allowed`, all else must lie in it. Without, loopback must have been written as such,
    and `localhost` must be nothing else: a name in someone else's zone shall not lead to this machine.
    """
    address = _unmapped(address)
    if is_denied_for_ever(address):
        return Denial.NEVER
    if allowed:
        return None if any(address in network for network in allowed) else Denial.OUTSIDE
    return None if address.is_loopback == is_loopback(host) else Denial.LOOPBACK


def is_denied_for_ever(place: Address | Network) -> bool:
    """Whether no configuration opens this address, or any part of this network."""
    if isinstance(place, IPv4Network | IPv6Network):
        return any(
            type(place) is type(network) and place.subnet_of(network)  # type: ignore[arg-type]  # the same version
            for network in (*_NEVER, _COMPATIBLE)
        ) and place != IPv6Network("::1")
    if any(place in network for network in _NEVER):
        return True
    return place in _COMPATIBLE and not place.is_loopback


def is_loopback(host: str) -> bool:
    """Whether `host` is written as this machine's loopback; a name that merely resolves to it is not."""
    if host == "localhost":
        return True
    address = literal(host)
    return address is not None and address.is_loopback


def literal(host: str) -> Address | None:
    """Return the address that `host` is, without brackets; None for a name.

    127.1, 0x7f.1 and 2130706433 are names in this sense: the resolver knows them, and what it makes of them is
    judged.
    """
    try:
        return _unmapped(ip_address(host))
    except ValueError:
        return None


def _unmapped(address: Address) -> Address:
    """Return the IPv4 address that ::ffff:10.0.0.1 stands for: the kernel connects to that."""
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address
