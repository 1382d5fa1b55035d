"""The stream: one WebSocket for everything that changes. docs/api/streams.md has the protocol."""

from __future__ import annotations

from fastapi import APIRouter, WebSocket

from api.auth.principal import public
from api.services import services_of
from api.streams.endpoint import Connection, Door

router = APIRouter(tags=["stream"])


@router.websocket("/v1/stream", dependencies=[public()])
async def stream(socket: WebSocket) -> None:
    """Opened by a single-use ticket (`POST /v1/stream-tickets`), in the query or as the first message."""
    services = services_of(socket)
    gate = services.auth.gate
    door = Door(
        hub=services.hub,
        directory=services.directory,
        redeem=lambda word: gate.ticket(word, socket),
        still=lambda who: gate.still(who, socket),
        knows_instrument=services.mirror.state("books").__contains__,
        now_ns=services.clock.now_ns,
        address=str(gate.address_of(socket) or ""),
    )
    await Connection(socket, door).run()
