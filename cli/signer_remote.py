"""A key at a remote signer behind `capstan signer serve`: our policy and journal come before it is asked."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from domain import InputError

if TYPE_CHECKING:
    from wallets.external import ExternalSigner


@dataclass(frozen=True, slots=True)
class RemoteKey:
    """Where a key is, and whose signatures are accepted from there."""

    url: str
    address: str
    dialect: str
    is_test_key: bool
    tls: tuple[Path, Path, Path] | None
    """The server's authority, our certificate, its key."""


def remote_key(
    url: str, address: str, dialect: str, *, is_test_key: bool, tls: tuple[Path | None, Path | None, Path | None]
) -> RemoteKey | None:
    """Read the options.

    Raises:
        InputError: Some of what belongs together is missing.
    """
    given = [path for path in tls if path is not None]
    if not url and not address and not given:
        return None
    if not url or not address:
        raise InputError("--remote and --remote-address belong together")
    if len(given) not in (0, 3):
        raise InputError("--remote-ca, --remote-cert and --remote-key belong together")
    return RemoteKey(url, address, dialect, is_test_key, (given[0], given[1], given[2]) if given else None)


async def open_remote_key(key: RemoteKey, opened: AsyncExitStack) -> ExternalSigner:
    """Reach the remote signer.

    Raises:
        InputError: An option is malformed, or the signer does not list the key.
        VenueUnavailable: It was not reached.
    """
    from wallets.external import Dialect, ExternalSigner, HttpChannel, RemoteTls
    from wallets.rpc.wire import address

    try:
        dialect = Dialect(key.dialect)
    except ValueError as exc:
        raise InputError("--remote-dialect must be node or web3signer") from exc
    expected = address(key.address, "--remote-address")
    channel = HttpChannel(key.url, tls=RemoteTls(*key.tls) if key.tls is not None else None)
    await opened.enter_async_context(channel)
    await channel.check(expected)
    return ExternalSigner(channel, expected, is_test_key=key.is_test_key, dialect=dialect)
