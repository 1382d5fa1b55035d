"""Swaps on the installation's chain: shown first, then carried out once, through custody and under its policy."""

from __future__ import annotations

import contextlib
from datetime import datetime
from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

from api.auth.principal import Principal, confirm_step_up, require
from api.auth.scopes import Scope
from api.core.effects import IdempotencyKeyText
from api.core.pages import CursorText, Limit, Page
from api.core.times import instant
from api.services import Services, Use
from api.swaps.desk import Swap, SwapState, Tolerated
from api.swaps.quotes import ID_MAX, Quoted
from api.v1.quotes import QuoteFacts
from domain import PlatformError

router = APIRouter(prefix="/v1", tags=["swaps"])

Reader = Annotated[Principal, require(Scope.TRANSACTIONS_READ)]
Writer = Annotated[Principal, require(Scope.SWAPS_WRITE, weight=10)]
SwapId = Annotated[str, Path(pattern=r"^sw_[0-9a-f]{24}$")]
_EXAMPLE: Final[JsonDict] = {"quote": "qt_AAAA", "slippage_bps": 30}


class SwapRequest(BaseModel):
    """A quote, and how far from it the swap may end. Unless `dry_run` is false it is shown and nothing happens."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [_EXAMPLE]})

    quote: str = Field(min_length=8, max_length=ID_MAX, pattern=r"^qt_[A-Za-z0-9_-]+$")
    slippage_bps: int = Field(default=50, ge=0, le=9_999, description="How much worse than the quote it may end.")
    max_impact_bps: int = Field(
        default=1_000, ge=1, le=10_000, description="Refused when the quote is further from the mid price."
    )
    deadline_s: int = Field(default=120, ge=10, le=1_800, description="Not sent, and not executed, later than this.")
    dry_run: bool = True


class ProblemFound(BaseModel):
    """Something that would keep it from happening, or would be mended by a step."""

    cause: str = Field(examples=["insufficient-balance"])
    text: str
    hint: str
    is_mended_by_a_step: bool


class SwapPlan(BaseModel):
    """A swap as it would be sent now. Nothing was."""

    quote: QuoteFacts
    account: str
    amount_in_max: str
    amount_out_min: str
    valid_until: datetime = Field(description="By the chain's clock.")
    through: str
    contract: str
    steps: list[str]
    gas_limit: int
    gas_cost_wei_max: str
    problems: list[ProblemFound]
    is_ready: bool = Field(description="Nothing is in the way that a step does not mend.")
    needs_step_up: bool = Field(description="To be sent, a person has to confirm it.")


@router.post("/swaps", status_code=201, response_model=Swap, responses={200: {"model": SwapPlan}})
async def create_swap(
    request: Request, services: Use, who: Writer, body: SwapRequest, key: IdempotencyKeyText
) -> Response:
    """Show a swap as it would be sent now (200); with `dry_run: false` have it carried out, once for each key (201).

    It is quoted again when it is its turn, and never gives less than the quote it names less `slippage_bps`. Custody's
    policy, screening and approvals decide over it as over everything that is signed; a person confirms it (step-up)
    unless `[swaps]` lets so much of the token go without. For the house.
    """
    await services.directory.check_house(who)
    quoted = services.quotes.open(who.organisation, body.quote)
    tolerated = Tolerated(body.slippage_bps, body.max_impact_bps, body.deadline_s)
    services.swaps.check(tolerated)
    worst = services.swaps.worst(quoted, tolerated)
    needs_step_up = services.swaps.needs_step_up(quoted, worst)
    if body.dry_run:
        services.quotes.check(quoted)
        return Response(
            (await _shown(services, quoted, tolerated, needs_step_up=needs_step_up)).model_dump_json(),
            200,
            media_type="application/json",
        )
    if needs_step_up:
        who = await confirm_step_up(request, who)
    once = await services.swaps.ask(request, who, key, quoted, tolerated, worst)
    with contextlib.suppress(PlatformError):
        await services.dex.ask("wake", timeout_s=2.0)  # It looks by itself too.
    return once.response()


@router.get("/swaps")
async def list_swaps(
    services: Use, who: Reader, state: SwapState | None = None, limit: Limit = 100, cursor: CursorText = None
) -> Page[Swap]:
    """Your organisation's swaps, the newest first."""
    scope = f"swaps/{who.organisation}/{state}"
    before = services.cursors.open(scope, cursor, int)
    rows = await services.swaps.page(who, state, before, limit + 1)
    return services.cursors.numbered(scope, rows, limit)


@router.get("/swaps/{swap}")
async def get_swap(services: Use, who: Reader, swap: SwapId) -> Swap:
    """One swap: how far it is, or what it gave against what was quoted."""
    return await services.swaps.find(who, swap)


async def _shown(services: Services, quoted: Quoted, tolerated: Tolerated, *, needs_step_up: bool) -> SwapPlan:
    answer: dict[str, Any] = await services.dex.ask(
        "prepare",
        token_in=quoted.token_in,
        token_out=quoted.token_out,
        amount=quoted.amount_out if quoted.is_exact_out else quoted.amount_in,
        is_exact_out=quoted.is_exact_out,
        max_hops=quoted.max_hops,
        through=quoted.through,
        slippage_bps=tolerated.slippage_bps,
        impact_bps_max=tolerated.impact_bps_max,
        lifetime_s=tolerated.lifetime_s,
    )
    in_the_way = [problem for problem in answer["problems"] if not problem["is_mended_by_a_step"]]
    return SwapPlan.model_validate(
        answer
        | {
            "valid_until": instant(int(answer["valid_until_s"]) * 10**9),
            "is_ready": not in_the_way,
            "needs_step_up": needs_step_up,
        }
    )
