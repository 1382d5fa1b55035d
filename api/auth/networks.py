"""Where a caller comes from, and where it may come from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TYPE_CHECKING

from api.core.errors import BadRequest
from domain import InputError

if TYPE_CHECKING:  # Settings are read by every command, connections by one.
    from starlette.requests import HTTPConnection

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_HOPS_MAX = 16


def parse_networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """Read addresses and CIDR blocks.

    Raises:
        InputError: One that is none, or has bits set beyond its prefix.
    """
    networks: list[Network] = []
    for text in texts:
        try:
            networks.append(ip_network(text.strip()))
        except ValueError as exc:
            raise InputError(
                f"not an IP address or block: {text[:64]!r}", hint="203.0.113.7 or 203.0.113.0/24"
            ) from exc
    return tuple(networks)


def is_within(address: Address | None, networks: Sequence[Network]) -> bool:
    """Whether an address is in one of the networks. Nobody's address is in none."""
    return address is not None and any(address in network for network in networks if network.version == address.version)


def caller_address(connection: HTTPConnection, proxies: Sequence[Network]) -> Address | None:
    """The address a request comes from; None over a socket without addresses.

    `X-Forwarded-For` is believed as far as it was written by `proxies`, read from the right: the first address that is
    not one of them. Whatever the caller wrote to the left of it means nothing.

    Raises:
        BadRequest: One of the proxies wrote what is no address.
    """
    peer = _address(connection.client.host) if connection.client else None
    if peer is None or not is_within(peer, proxies):
        return peer
    hops = [hop for line in connection.headers.getlist("x-forwarded-for") for hop in line.split(",")]
    for hop in reversed(hops[-_HOPS_MAX:]):
        address = _address(hop.strip())
        if address is None:
            raise BadRequest("X-Forwarded-For holds what is no address")
        if not is_within(address, proxies):
            return address
    return peer


def counted_as(address: Address | None) -> str:
    """The name under which an address is counted. Of IPv6 it is the /64: a house is given no less, and may use all."""
    return str(ip_network((address, 64), strict=False) if isinstance(address, IPv6Address) else address)


@lru_cache(4_096)
def _address(text: str) -> Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    # ::ffff:203.0.113.7 is 203.0.113.7, whatever socket it came in by.
    return address.ipv4_mapped or address if isinstance(address, IPv6Address) else address
