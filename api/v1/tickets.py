"""Tickets of streams."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel

from api.auth.principal import Principal, require
from api.auth.tickets import LIFETIME_S
from api.services import Use

router = APIRouter(tags=["streams"])


class Ticket(BaseModel):
    """Opens one stream."""

    ticket: str
    expires_in: int


@router.post("/v1/stream-tickets", status_code=201)
async def make_ticket(services: Use, who: Annotated[Principal, require()]) -> Ticket:
    """A word that opens one stream as this caller, within half a minute."""
    return Ticket(ticket=await services.auth.tickets.issue(who), expires_in=LIFETIME_S)
