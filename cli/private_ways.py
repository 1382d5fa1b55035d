"""Opens the ways onto a chain that the settings name for what is not for the public."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from chain import ChainClient
from domain import InputError
from runtime.secrets import resolve_secret

if TYPE_CHECKING:
    from chain.paths import SignText, Ways
    from cli.settings import ChainSettings


@asynccontextmanager
async def open_ways(chain: ChainSettings, client: ChainClient, root: Path) -> AsyncIterator[Ways | None]:
    """Open what `[chain]` names as private endpoints and relays; None when it names none.

    Raises:
        InputError: The relay identity is no key.
    """
    if not (chain.private_endpoints or chain.private_relays or chain.bundle_relays):
        yield None
        return
    from chain.paths import RelayRpc, Ways

    async with AsyncExitStack() as stack:
        relays: list[RelayRpc] = []
        bundle_relays: list[RelayRpc] = []
        if chain.private_relays or chain.bundle_relays:
            address, sign = _identity(chain, root)
            relays = [RelayRpc(url, address, sign) for url in chain.private_relays]
            bundle_relays = [RelayRpc(url, address, sign) for url in chain.bundle_relays]
        ways = Ways(client, endpoints=chain.private_endpoints, relays=relays, bundle_relays=bundle_relays)
        yield await stack.enter_async_context(ways)


def _identity(chain: ChainSettings, root: Path) -> tuple[str, SignText]:
    """The key that relays know us by. It holds no funds and moves none; without one, this process makes its own."""
    from eth_account import Account
    from eth_account.messages import encode_defunct

    key = "0x" + secrets.token_hex(32)
    if chain.relay_identity is not None:
        key = resolve_secret(chain.relay_identity, base_dir=root).reveal()
    try:
        account = Account.from_key(key)
    except Exception as exc:  # eth_account and eth_keys raise many kinds; none may show the key
        raise InputError("relay_identity is no private key of 32 bytes in hex") from exc

    async def sign(text: str) -> bytes:
        return bytes(account.sign_message(encode_defunct(text=text)).signature)

    return str(account.address), sign
