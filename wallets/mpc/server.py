"""A party's listener: TLS 1.3, and nobody but the pinned coordinators."""

from __future__ import annotations

import asyncio
from typing import Final

import structlog

from domain import InputError
from wallets.mpc.committee import PartyHome
from wallets.mpc.party import Cosigner
from wallets.mpc.requests import LINE_BYTES_MAX
from wallets.mpc.tls import pin_of
from wallets.wire import decode_line, encode_line, error_message

log = structlog.get_logger(__name__)

_IDLE_S: Final = 300.0
_SEND_S: Final = 30.0
_CONNECTIONS_MAX: Final = 16


async def serve(cosigner: Cosigner, home: PartyHome, stop: asyncio.Event, *, ready: asyncio.Event) -> None:
    """Listen where the party's card says until `stop` is set.

    Raises:
        InputError: The address cannot be listened on, or the TLS files cannot be used.
    """
    listener = _Listener(cosigner, home.committee.coordinator_pins)
    card = home.card
    try:
        server = await asyncio.start_server(
            listener.converse, card.host, card.port, ssl=home.tls.server_context(), limit=LINE_BYTES_MAX
        )
    except OSError as exc:
        raise InputError(f"cannot listen on {card.host}:{card.port}: {exc.strerror}") from exc
    async with server:
        log.info("cosigner.listening", party=home.party, host=card.host, port=card.port)
        ready.set()
        await stop.wait()
        listener.close()


class _Listener:
    def __init__(self, cosigner: Cosigner, pins: frozenset[str]) -> None:
        self._cosigner = cosigner
        self._pins = pins
        self._writers: set[asyncio.StreamWriter] = set()

    def close(self) -> None:
        for writer in self._writers:
            writer.close()

    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        certificate = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        if certificate is None or pin_of(certificate) not in self._pins or len(self._writers) >= _CONNECTIONS_MAX:
            log.warning("cosigner.stranger", peer=str(writer.get_extra_info("peername")))
            writer.close()
            return
        self._writers.add(writer)
        try:
            while True:
                try:
                    async with asyncio.timeout(_IDLE_S):
                        line = await reader.readline()
                    if not line:
                        return
                    reply = await self._cosigner.answer(decode_line(line))
                except ValueError:  # longer than LINE_BYTES_MAX: where the next message begins is unknown
                    return
                except InputError as exc:
                    reply = error_message(exc)
                writer.write(encode_line(reply))
                async with asyncio.timeout(_SEND_S):
                    await writer.drain()
        except (OSError, TimeoutError):
            return
        finally:
            self._writers.discard(writer)
            writer.close()
