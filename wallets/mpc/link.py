"""The coordinator's connection to one party, kept open between requests."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from typing import Any

from domain import InputError, VenueUnavailable
from wallets.mpc.committee import PartyCard
from wallets.mpc.requests import LINE_BYTES_MAX
from wallets.mpc.tls import TlsFiles, pin_of
from wallets.wire import decode_line, encode_line, error_from


class PartyAway(VenueUnavailable):
    """A party was not reached, or its answer was lost."""

    def __init__(self, party: int, what: str) -> None:
        super().__init__(f"party {party} {what}", hint="start it with `capstan cosigner serve`")
        self.party = party


class PartyLink:
    """Asks one party, one request after the other. Trusts the pin on its card and no name.

    Errors:
        VenueUnavailable: It was not reached, its key is another, or the answer was lost. A lost answer is safe to ask
            for again: a party repeats no round and gives no second signature.
        Anything of the tree that the party answered.
    """

    def __init__(self, card: PartyCard, tls: TlsFiles, *, timeout_s: float = 10.0) -> None:
        self._card = card
        self._context = tls.client_context()
        self._timeout_s = timeout_s
        self._turn = asyncio.Lock()
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    @property
    def party(self) -> int:
        return self._card.party

    async def ask(self, method: str, fields: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Send one request and wait for its answer."""
        async with self._turn:
            try:
                async with asyncio.timeout(self._timeout_s):
                    reply = await self._exchange(encode_line({**(fields or {}), "method": method}))
            except (OSError, TimeoutError, ssl.SSLError, InputError, ValueError) as exc:
                self._drop()
                raise PartyAway(self.party, f"did not answer {method}: {type(exc).__name__}") from exc
            except BaseException:
                # Cancelled in between: the next answer on this connection would be this request's.
                self._drop()
                raise
        if isinstance(error := reply.get("error"), dict):
            raise error_from(error)
        result = reply.get("result")
        if not isinstance(result, dict):
            raise VenueUnavailable(f"party {self.party} gave a malformed answer to {method}")
        return result

    async def close(self) -> None:
        self._drop()

    async def _exchange(self, line: bytes) -> dict[str, Any]:
        fresh = self._streams is None
        reader, writer = self._streams or await self._connect()
        writer.write(line)
        await writer.drain()
        answer = await reader.readline()
        if not answer and not fresh:
            # The party was restarted since: its sessions are gone, so nothing can be done twice by asking again.
            self._drop()
            return await self._exchange(line)
        return decode_line(answer)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        streams = await asyncio.open_connection(
            self._card.host, self._card.port, ssl=self._context, limit=LINE_BYTES_MAX
        )
        certificate = streams[1].get_extra_info("ssl_object").getpeercert(binary_form=True)
        if certificate is None or pin_of(certificate) != self._card.tls_pin:
            streams[1].close()
            raise PartyAway(self.party, "has another key than its card names")
        self._streams = streams
        return streams

    def _drop(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None
