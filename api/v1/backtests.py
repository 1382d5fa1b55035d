"""Backtests as jobs: a configuration in, progress while it runs, figures, curve and report when it is done."""

from __future__ import annotations

import asyncio
import contextlib
import stat
from datetime import datetime
from pathlib import Path as FilePath
from typing import Annotated, Any, Final, Literal

import msgspec
from fastapi import APIRouter, Path, Request, Response
from fastapi.responses import HTMLResponse
from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

from api.auth.principal import Principal, require
from api.auth.scopes import Scope
from api.backtests.desk import NAME_MAX
from api.backtests.shown import Backtest, State, as_text
from api.core.effects import IdempotencyKeyText
from api.core.pages import CursorText, Limit, Page
from api.core.times import instant
from api.services import Use

router = APIRouter(prefix="/v1", tags=["backtests"])

Reader = Annotated[Principal, require(Scope.BACKTESTS_READ)]
Looker = Annotated[Principal, require(Scope.BACKTESTS_READ, weight=10)]
Writer = Annotated[Principal, require(Scope.BACKTESTS_WRITE, weight=10)]
BacktestId = Annotated[str, Path(pattern=r"^bt_[0-9a-f]{24}$")]
CONFIG_MAX: Final = 48_000
_RECORDINGS_MAX: Final = 10_000
_PAGE_POLICY: Final = (
    "sandbox allow-scripts; default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:"
)
"""The report draws its charts itself: as a page of no origin, which reaches nothing."""

_EXAMPLE: Final[JsonDict] = {
    "format": "toml",
    "config": 'account = "USDT"\n[[data]]\nkind = "synthetic"\ninstrument = "sim:BTCUSDT"\nseconds = 60\n'
    '[instruments."sim:BTCUSDT"]\nbase = "BTC"\nquote = "USDT"\ncontract = "linear"\ntick_size = "0.1"\n'
    'lot_size = "0.001"\n[[strategies]]\nkind = "quoting"\ninstrument = "sim:BTCUSDT"\nqty = "0.01"\n'
    'position_max = "0.1"\n[capital]\n"sim/USDT" = "100000"\n',
}


class BacktestRequest(BaseModel):
    """A configuration, as `capstan backtest run` takes it."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [_EXAMPLE]})

    config: str = Field(min_length=1, max_length=CONFIG_MAX)
    format: Literal["toml", "yaml", "json"] = "toml"
    name: str = Field(
        default="",
        max_length=NAME_MAX,
        pattern=r"^[^\x00-\x1f\x7f]*$",
        description="The configuration's own if not given.",
    )


class BacktestDetail(Backtest):
    """With what was asked, and what came of it."""

    config: str
    format: Literal["toml", "yaml", "json"]
    result: dict[str, Any] | None = Field(
        description="Of one that is done: fills, result, costs, ratios, orders by fate. Fractions are decimal text."
    )


class Point(BaseModel):
    """The net result at an instant."""

    at: datetime = Field(description="Market time.")
    net: str = Field(description="In the account's asset.")


class Recording(BaseModel):
    """What a backtest may read."""

    path: str = Field(description="As a configuration names it.")
    bytes: int


@router.post("/backtests", status_code=201, response_model=Backtest)
async def create_backtest(
    request: Request, services: Use, who: Writer, body: BacktestRequest, key: IdempotencyKeyText
) -> Response:
    """Have a backtest run, once for each Idempotency-Key. It is checked whole first; what cannot be is refused now.

    The catalog's strategies over made-up markets and the installation's recordings: no code, and no other file.
    """
    once = await services.backtests.ask(request, who, key, name=body.name, form=body.format, config=body.config)
    return once.response()


@router.get("/backtests")
async def list_backtests(
    services: Use, who: Reader, state: State | None = None, limit: Limit = 100, cursor: CursorText = None
) -> Page[Backtest]:
    """Your organisation's backtests, the newest first."""
    scope = f"backtests/{who.organisation}/{state}"
    before = services.cursors.open(scope, cursor, int)
    rows = await services.backtests.page(who, state, before, limit + 1)
    return services.cursors.numbered(scope, rows, limit)


@router.get("/backtests/{backtest}")
async def get_backtest(services: Use, who: Reader, backtest: BacktestId) -> BacktestDetail:
    """One backtest: how far it is, or what came of it."""
    found = await services.backtests.found(who, backtest)
    return BacktestDetail(
        **found.about.model_dump(),
        config=found.config,
        format=found.form,
        result=None if found.result is None else as_text(msgspec.json.decode(found.result)),
    )


@router.post("/backtests/{backtest}/cancel")
async def cancel_backtest(services: Use, who: Writer, backtest: BacktestId) -> Backtest:
    """Have a backtest stop. One that has ended stays as it is; safe to send again."""
    return await services.backtests.cancel(who, backtest)


@router.delete("/backtests/{backtest}", status_code=204)
async def delete_backtest(services: Use, who: Writer, backtest: BacktestId) -> None:
    """Forget a backtest that has ended, and what came of it."""
    await services.backtests.delete(who, backtest)


@router.get("/backtests/{backtest}/curve")
async def get_backtest_curve(
    services: Use, who: Reader, backtest: BacktestId, limit: Limit = 500, cursor: CursorText = None
) -> Page[Point]:
    """The net result over the run, at some 2,000 instants, the oldest first."""
    scope = f"backtests/{who.organisation}/{backtest}/curve"
    first = services.cursors.open(scope, cursor, int) or 0
    points = msgspec.json.decode(await services.backtests.curve(who, backtest), type=list[tuple[str, str]])
    part = [Point(at=instant(int(at)), net=net) for at, net in points[first : first + limit]]
    following = services.cursors.seal(scope, first + limit) if first + limit < len(points) else None
    return Page(data=part, next=following)


@router.get(
    "/backtests/{backtest}/report",
    response_class=HTMLResponse,
    responses={200: {"description": "The tear sheet.", "content": {"text/html": {"schema": {"type": "string"}}}}},
)
async def get_backtest_report(services: Use, who: Reader, backtest: BacktestId) -> Response:
    """The tear sheet: one page that needs nothing else, to keep or to look at."""
    page = await asyncio.to_thread(_page, await services.backtests.report(who, backtest))
    return HTMLResponse(page, headers={"content-security-policy": _PAGE_POLICY})


@router.get("/backtest-data")
async def list_backtest_data(
    services: Use, who: Looker, limit: Limit = 100, cursor: CursorText = None
) -> Page[Recording]:
    """The recordings that a configuration may name, by path."""
    scope = f"backtest-data/{who.organisation}"
    after = services.cursors.open(scope, cursor, str) or ""
    found = await asyncio.to_thread(_recordings, services.backtests.recordings)
    rows = [one for one in found if one.path > after][: limit + 1]
    rows, following = services.cursors.page(scope, rows, limit, lambda one: one.path)
    return Page(data=rows, next=following)


def _page(packed: bytes) -> str:
    from engine.backtest.packing import unpack

    return unpack(packed)


def _recordings(folder: FilePath) -> list[Recording]:
    root, found = folder.resolve(), list[Recording]()
    for path in root.rglob("*"):
        with contextlib.suppress(OSError):  # It was moved or deleted meanwhile.
            about = path.stat()
            if stat.S_ISREG(about.st_mode) and path.resolve().is_relative_to(root):
                found.append(Recording(path=str(path.relative_to(root)), bytes=about.st_size))
        if len(found) == _RECORDINGS_MAX:
            break
    return sorted(found, key=lambda one: one.path)
