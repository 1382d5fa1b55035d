"""Keeps webhooks out of the house: a URL that a tenant wrote must not reach what only the server can reach.

A name is resolved once for each connection, every address it has is checked, and the connection is made to these very
addresses: a name that answers differently the second time (DNS rebinding) is not asked a second time. Redirects are not
followed, proxies of the environment not used.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final
from urllib.parse import SplitResult, urlsplit

from aiohttp.abc import AbstractResolver, ResolveResult

from api.auth.networks import Network, is_within, parse_networks
from domain import InputError, Refused

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""A name and a port to the addresses it has now."""

RESOLVE_S: Final = 5.0
_CARRIERS: Final = tuple(
    # An IPv4 address inside an IPv6 one: a gateway may lead to it. NAT64 (RFC 6052, 8215), 6to4, Teredo.
    ip_network(block)
    for block in ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32", "::/96")
)


class Guard:
    """Decides which URLs and addresses are told anything.

    Args:
        allowed: Private blocks in which receivers may stand after all, by the operator's word; plain http is for these.
        resolve: The system's resolver, if not another.
    """

    def __init__(self, allowed: Sequence[str] = (), resolve: Resolve | None = None) -> None:
        self._allowed: tuple[Network, ...] = parse_networks(allowed)
        self._resolve = resolve or _ask_system

    def parse(self, url: str) -> SplitResult:
        """Read a URL.

        Raises:
            InputError: It is none, or has parts that a webhook's has not.
            Refused: Its host is an address inside, or it is not https.
        """
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as exc:
            raise InputError("not a URL", hint="https://host/path") from exc
        if parts.scheme not in ("https", "http") or not parts.hostname or port == 0:
            raise InputError("not a URL of a webhook", hint="https://host/path")
        if parts.username is not None or parts.password is not None or parts.fragment:
            raise InputError("a webhook's URL has no user, password or fragment", hint="signatures prove who sends")
        if any(ord(sign) <= 32 or ord(sign) > 126 or sign == "\\" for sign in url):
            raise InputError("a URL is of printable ASCII", hint="percent-encode the path, punycode the host")
        if parts.scheme == "http" and not self._allowed:
            raise Refused("a webhook's URL is https", rule="webhook-url")
        if (address := _literal(parts.hostname)) is not None:
            self.check([address], parts.scheme)
        return parts

    async def admit(self, url: str) -> None:
        """Look whether a URL leads outside, now; every delivery looks again.

        Raises:
            InputError: It is no URL, or its host has no address.
            Refused: It leads inside.
        """
        parts = self.parse(url)
        await self.addresses(parts.hostname or "", parts.port or 443, parts.scheme)

    async def addresses(self, host: str, port: int, scheme: str) -> list[str]:
        """The checked addresses of a host.

        Raises:
            InputError: It has none.
            Refused: One of them is inside.
        """
        try:
            async with asyncio.timeout(RESOLVE_S):
                found = await self._resolve(host, port)
        except (OSError, TimeoutError, UnicodeError) as exc:
            raise InputError(f"no address is known of {host[:80]}") from exc
        if not found:
            raise InputError(f"no address is known of {host[:80]}")
        self.check(found, scheme)
        return list(found)

    def check(self, addresses: Sequence[str], scheme: str) -> None:
        """Stop here if one of the addresses is inside.

        Raises:
            Refused: It is; which one is not said, for it is nobody's business.
        """
        for text in addresses:
            address = ip_address(text.partition("%")[0])
            if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
                address = address.ipv4_mapped
            if is_within(address, self._allowed):
                continue
            if not _is_public(address):
                raise Refused("this URL does not lead to a public address", rule="webhook-address")
            if scheme != "https":
                raise Refused("a webhook's URL is https", rule="webhook-url")


class CheckedResolver(AbstractResolver):
    """What aiohttp connects by: it gets no other address than a checked one."""

    def __init__(self, guard: Guard, scheme: str) -> None:
        self._guard = guard
        self._scheme = scheme

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        addresses = await self._guard.addresses(host, port, self._scheme)
        return [
            ResolveResult(
                hostname=host, host=address, port=port, proto=0, flags=socket.AI_NUMERICHOST,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
            )
            for address in addresses
        ]  # fmt: skip

    async def close(self) -> None:
        return None


def _is_public(address: IPv4Address | IPv6Address) -> bool:
    if not address.is_global or address.is_multicast or address.is_reserved or address.is_unspecified:
        return False
    if isinstance(address, IPv4Address):
        return True
    # fec0::/10 was an organisation's own until RFC 3879, and still is where nobody has changed it.
    return not (address.is_site_local or any(address in block for block in _CARRIERS))


def _literal(host: str) -> str | None:
    try:
        return str(ip_address(host))
    except ValueError:
        return None


async def _ask_system(host: str, port: int) -> list[str]:
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))
