"""What a swap on the installation's chain would give now, to the unit, and the way it takes."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

from api.auth.principal import Principal, require
from api.auth.scopes import Scope
from api.core.times import instant
from api.services import Services, Use
from api.swaps.quotes import LIFETIME_S, Quoted
from domain import InputError

router = APIRouter(prefix="/v1", tags=["swaps"])

Asker = Annotated[Principal, require(Scope.MARKET_READ, weight=10)]
TokenName = Annotated[
    str,
    Field(
        pattern=r"^[A-Za-z0-9.$_+-]{1,42}$",
        examples=["WETH", "0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48"],
        description="A symbol the chain is known for, or a token's address; the zero address is the chain's own coin.",
    ),
]
RawPositive = Annotated[
    str,
    Field(
        pattern=r"^[1-9][0-9]{0,77}$",
        examples=["1500000000000000000"],
        description="An integer of the token's smallest unit, as text.",
    ),
]
Through = Literal["auto", "swap-router-02", "universal-router", "balancer-vault"]


class TokenShown(BaseModel):
    """A token as pools know it."""

    symbol: str
    address: str = Field(description="Of the chain's own coin the zero address.")
    decimals: int


class HopShown(BaseModel):
    """What flows through one pool."""

    pool: str
    kind: str = Field(examples=["v3"])
    address: str
    fee_pips: int
    token_in: TokenShown
    token_out: TokenShown
    amount_in: str
    amount_out: str


class PathShown(BaseModel):
    """Pools one after another."""

    share: str = Field(description="Of what is fixed: of the input, or of an exact output.", examples=["0.750000"])
    amount_in: str
    amount_out: str
    hops: list[HopShown]


class QuoteFacts(BaseModel):
    """A swap's exact outcome at one block, its paths carried out one after another. Amounts are raw."""

    chain_id: int
    block: int
    block_hash: str
    token_in: TokenShown
    token_out: TokenShown
    amount_in: str
    amount_out: str
    is_exact_out: bool
    mid_price: str = Field(description="Whole tokens out per whole token in, at the margin and before fees.")
    impact_bps: str = Field(description="How much worse than the mid price the whole is, fees included.")
    gas_units: int = Field(description="About what the swap itself costs.")
    gas_cost: str = Field(description="In the output token (of an exact output in the input token); not taken off.")
    by_call: list[str] = Field(description="Pools with hooks or dynamic fees, which were asked instead of computed.")
    route: list[PathShown]


class Quote(QuoteFacts):
    """A quote that a swap may refer to until it expires."""

    id: str = Field(description="For `POST /v1/swaps`; it means something to your organisation alone.")
    expires_at: datetime


_EXAMPLE: Final[JsonDict] = {"token_in": "WETH", "token_out": "USDC", "amount_in": "1500000000000000000"}


class QuoteRequest(BaseModel):
    """What is to be swapped: one of `amount_in` and `amount_out` is fixed, the other is what is asked for."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [_EXAMPLE]})

    token_in: TokenName
    token_out: TokenName
    amount_in: RawPositive | None = None
    amount_out: RawPositive | None = None
    max_hops: int = Field(default=3, ge=1, le=3, description="Pools one after another, at most.")
    through: Through = "auto"


@router.post("/quotes")
async def create_quote(services: Use, who: Asker, body: QuoteRequest) -> Quote:
    """Quote a swap on the newest block, over the pools that can carry it out. Nothing is sent and nothing is kept.

    Refused with rule `no_route` or `pool_depth` where the pools have no way, or not enough of it. The quote is exact
    for its block; the next one may have another.
    """
    if (body.amount_in is None) == (body.amount_out is None):
        raise InputError("give either amount_in or amount_out", hint="the other one is what is asked for")
    answer = await services.dex.ask(
        "quote",
        token_in=body.token_in,
        token_out=body.token_out,
        amount=body.amount_in or body.amount_out,
        is_exact_out=body.amount_out is not None,
        max_hops=body.max_hops,
        through=body.through,
    )
    return _quote(services, who, body, answer)


def _quote(services: Services, who: Principal, body: QuoteRequest, answer: dict[str, Any]) -> Quote:
    facts = QuoteFacts.model_validate(answer)
    expires_s = services.clock.now_ns() // 10**9 + LIFETIME_S
    quoted = Quoted(
        chain_id=facts.chain_id,
        token_in=facts.token_in.address,
        token_out=facts.token_out.address,
        amount_in=facts.amount_in,
        amount_out=facts.amount_out,
        is_exact_out=facts.is_exact_out,
        max_hops=body.max_hops,
        through=body.through,
        block=facts.block,
        expires_s=expires_s,
    )
    sealed = services.quotes.seal(who.organisation, quoted)
    return Quote(**facts.model_dump(), id=sealed, expires_at=instant(expires_s * 10**9))
