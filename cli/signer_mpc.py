"""MPC keys behind `capstan signer serve`: their shares stay with the cosigners, which judge again for themselves."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from domain import InputError

if TYPE_CHECKING:
    from wallets.mpc import MpcSigner

_PARTY_TIMEOUT_S: Final = 4.0
"""A party that hangs must leave time for another pair before the client's own patience (10 s) ends."""


@dataclass(frozen=True, slots=True)
class MpcKeys:
    """A coordinator's folder, and the wallets of its committee to sign for."""

    coordinator: Path
    wallets: tuple[str, ...]
    presigned: int
    """How many presignatures to keep ready for each."""


def mpc_keys(committee: Path | None, wallets: Sequence[str], presigned: int) -> MpcKeys | None:
    """Read the options.

    Raises:
        InputError: One without the other, or a wallet named twice.
    """
    if committee is None and not wallets and not presigned:
        return None
    if committee is None or not wallets:
        raise InputError("--committee and --mpc-wallet belong together, and --mpc-presign with them")
    if len(set(wallets)) != len(wallets):
        raise InputError("an --mpc-wallet is named twice")
    return MpcKeys(committee, tuple(wallets), presigned)


async def open_mpc_keys(keys: MpcKeys, opened: AsyncExitStack) -> list[MpcSigner]:
    """Connect to the parties. The addresses are those that t of them name.

    Raises:
        InputError: The folder is no coordinator's, or the parties do not agree on an address.
        VenueUnavailable: Fewer than t parties hold a wallet.
    """
    from wallets.mpc import MpcSigner, PartyLink, read_coordinator

    committee, tls = read_coordinator(keys.coordinator)
    links = [PartyLink(card, tls, timeout_s=_PARTY_TIMEOUT_S) for card in committee.cards]
    for link in links:
        opened.push_async_callback(link.close)
    signers = [await MpcSigner.connect(links, committee, wallet=wallet) for wallet in keys.wallets]
    if keys.presigned:
        tasks = await opened.enter_async_context(asyncio.TaskGroup())
        for signer, wallet in zip(signers, keys.wallets, strict=True):
            keeper = tasks.create_task(signer.keep_presigned(keys.presigned), name=f"mpc.presign.{wallet}")
            opened.callback(keeper.cancel)
    return signers
