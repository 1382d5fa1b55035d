"""`capstan dex perps`: positions on GMX v2, through custody."""

from __future__ import annotations

import asyncio
import hashlib
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import output
from cli.dex.options import (
    ACCOUNT,
    AccountOption,
    ConfigOption,
    DataOption,
    DeskPlace,
    JsonOption,
    RpcUrlOption,
    YesOption,
)
from domain import InputError

if TYPE_CHECKING:
    from cli.dex.desk import DexDesk
    from dex.perps.gmx import GmxBook, GmxOrder
    from domain.plans import TransactionPlan

app = typer.Typer(no_args_is_help=True, help="Perpetual positions on GMX v2: orders that a keeper carries out.")

BookOption = Annotated[
    Path | None, typer.Option("--book", help="Address book of GMX; the one that ships unless given. See docs/perps.md.")
]
MarketOption = Annotated[str, typer.Option("--market", help="As the book names it.")]
CollateralOption = Annotated[str, typer.Option("--collateral", help="Symbol of the collateral token.")]
DirectionOption = Annotated[bool, typer.Option("--long/--short", help="Which way.")]
SendOption = Annotated[bool, typer.Option("--send", help="Send it. Without, it is planned and shown.")]
SinceOption = Annotated[int, typer.Option("--since-block", min=0, help="Look from this block on.")]
KINDS = (
    "market-increase",
    "limit-increase",
    "stop-increase",
    "market-decrease",
    "limit-decrease",
    "stop-loss-decrease",
)
_STRATEGY = "perps"


@app.command()
def book(rpc_url: RpcUrlOption, book: BookOption = None, as_json: JsonOption = False) -> None:
    """Show the contracts the book names, and whether the chain's router is the one it was written for."""
    output.table(asyncio.run(_look(rpc_url, book)), as_json=as_json)


@app.command()
def order(
    market: MarketOption,
    kind: Annotated[str, typer.Option("--kind", help=f"One of {', '.join(KINDS)}.")],
    size_usd: Annotated[str, typer.Option("--size-usd", help="Dollars by which the position grows or shrinks.")],
    collateral: CollateralOption,
    collateral_raw: Annotated[int, typer.Option("--collateral-raw", min=0, help="To pay in, or take out; raw units.")],
    worst_price: Annotated[str, typer.Option("--worst-price", help="Dollars; no execution beyond it.")],
    trigger_price: Annotated[str, typer.Option("--trigger-price", help="Dollars; of limits and stops.")] = "",
    is_long: DirectionOption = True,
    config: ConfigOption = None,
    rpc_url: RpcUrlOption = "",
    data: DataOption = None,
    account: AccountOption = ACCOUNT,
    book: BookOption = None,
    send: SendOption = False,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Create an order: it pays the keeper's fee and its collateral now, and is carried out in a later transaction."""
    place = DeskPlace(config=config, rpc_url=rpc_url, data=data, account=account)

    def wanted(gmx: GmxBook) -> GmxOrder:
        from dex.perps.gmx import GmxOrder, OrderKind

        found = gmx.market(market)
        return GmxOrder(
            market=found,
            kind=OrderKind[_kind(kind)],
            is_long=is_long,
            size_usd=_decimal("--size-usd", size_usd),
            collateral=_collateral(gmx, market, collateral),
            collateral_raw=collateral_raw,
            acceptable_price=_decimal("--worst-price", worst_price),
            trigger_price=_decimal("--trigger-price", trigger_price) if trigger_price else None,
        )

    asyncio.run(_order(place, book, wanted, send=send, yes=yes, as_json=as_json))


@app.command()
def cancel(
    key: Annotated[str, typer.Argument(help="The order's key, as `orders` shows it.")],
    config: ConfigOption = None,
    rpc_url: RpcUrlOption = "",
    data: DataOption = None,
    account: AccountOption = ACCOUNT,
    book: BookOption = None,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Take an order back. GMX refuses it to market orders for some minutes."""
    place = DeskPlace(config=config, rpc_url=rpc_url, data=data, account=account)
    asyncio.run(_cancel(place, book, key, yes=yes, as_json=as_json))


@app.command()
def orders(
    config: ConfigOption = None,
    rpc_url: RpcUrlOption = "",
    data: DataOption = None,
    account: AccountOption = ACCOUNT,
    book: BookOption = None,
    since_block: SinceOption = 0,
    as_json: JsonOption = False,
) -> None:
    """List the account's orders and where they stand, and book what ended ones gave back."""
    place = DeskPlace(config=config, rpc_url=rpc_url, data=data, account=account)
    asyncio.run(_orders(place, book, since_block, as_json=as_json))


@app.command()
def position(
    market: MarketOption,
    collateral: CollateralOption,
    is_long: DirectionOption = True,
    config: ConfigOption = None,
    rpc_url: RpcUrlOption = "",
    data: DataOption = None,
    account: AccountOption = ACCOUNT,
    book: BookOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show a position: its size at the prices it was entered at, and its collateral."""
    place = DeskPlace(config=config, rpc_url=rpc_url, data=data, account=account)
    output.table(asyncio.run(_position(place, book, market, collateral, is_long=is_long)), as_json=as_json)


async def _look(rpc_url: str, path: Path | None) -> dict[str, object]:
    from chain import ChainClient
    from chain.keccak import keccak256
    from chain.network import chain_id_at

    chain_id = await chain_id_at(rpc_url)
    gmx = _load(chain_id, path)
    async with ChainClient([rpc_url], chain_id) as client:
        code = await client.code(gmx.exchange_router)
    found = "0x" + keccak256(code).hex() if code else ""
    return {
        "chain_id": chain_id,
        "version": gmx.version,
        "exchange_router": gmx.exchange_router,
        "router_code_hash": gmx.router_code_hash or "not in the book",
        "code_hash_on_chain": found or "no contract there",
        "usable": bool(found) and found == gmx.router_code_hash,
        "markets": ", ".join(market.name for market in gmx.markets),
    }


async def _order(place: DeskPlace, path: Path | None, wanted: Any, *, send: bool, yes: bool, as_json: bool) -> None:
    from dex.perps.gmx import ExecutionGas, plan_order

    async with _open(place, path) as (desk, gmx):
        order = wanted(gmx)
        gas = await ExecutionGas.read(desk.client, gmx)
        fees = await desk.client.fees()
        fee = gas.fee_up(int(fees.max_fee), is_increase=order.kind.is_increase)
        name = await _name(desk, order)
        plan = plan_order(
            intent_id=f"gmx-{name}",
            strategy=_STRATEGY,
            book=gmx,
            order=order,
            sender=desk.account,
            execution_fee_wei=int(fee),
        )
        plans = [*(await _allowance(desk, gmx, order, name)), plan]
        shown: dict[str, object] = {
            "order": f"{order.kind.name.lower().replace('_', '-')} {order.market.name}",
            "direction": "long" if order.is_long else "short",
            "size_usd": str(order.size_usd),
            "collateral_raw": str(order.collateral_raw),
            "worst_price": str(order.acceptable_price),
            "keeper_fee_wei": str(int(fee)),
            "transactions": len(plans),
            "sent": send,
        }
        if not send:
            output.table(shown, as_json=as_json)
            return
        if not as_json:
            output.table(shown, as_json=False)
        _ask(yes)
        settled = (await desk.execute_all(plans))[-1]
        output.table({**shown, **await _created(desk, gmx, settled)}, as_json=as_json)


async def _created(desk: DexDesk, gmx: GmxBook, settled: Any) -> dict[str, object]:
    from dex.perps.gmx import created_order

    if settled.status != "mined":
        return {"status": settled.status, "tx_hash": settled.tx_hash, "reason": settled.reason}
    receipt = await desk.client.receipt(settled.tx_hash)
    logs = () if receipt is None else receipt.logs
    return {
        "status": "created",
        "key": "0x" + created_order(logs, gmx, desk.account).hex(),
        "tx_hash": settled.tx_hash,
        "block": settled.block_number,
    }


async def _cancel(place: DeskPlace, path: Path | None, key: str, *, yes: bool, as_json: bool) -> None:
    from dex.perps.gmx import plan_cancel

    try:
        raw = bytes.fromhex(key.removeprefix("0x"))
    except ValueError as exc:
        raise InputError(f"not a key: {key!r}", hint="capstan dex perps orders shows them") from exc
    async with _open(place, path) as (desk, gmx):
        name = await _name(desk, key)
        plan = plan_cancel(intent_id=f"gmx-cancel-{name}", strategy=_STRATEGY, book=gmx, key=raw, sender=desk.account)
        _ask(yes)
        settled = await desk.execute(plan)
        # Its own transaction ends it: what comes back is booked with it, but the coins, which have no log of a token.
        booked = await _book(desk, gmx, since_block=max(0, settled.block_number))
        output.table(
            {"status": settled.status, "tx_hash": settled.tx_hash, "reason": settled.reason, "booked": len(booked)},
            as_json=as_json,
        )


async def _orders(place: DeskPlace, path: Path | None, since_block: int, *, as_json: bool) -> None:
    from dex.perps.gmx import GmxReader

    async with _open(place, path) as (desk, gmx):
        reader = GmxReader(desk.client, gmx)
        seen = dict.fromkeys(event.key for event in await reader.events(desk.account, since_block=since_block))
        found = [await reader.order(key, desk.account, since_block=since_block) for key in seen]
        booked = await _book(desk, gmx, since_block=since_block)
        differences = await desk.differences()
    rows = [
        {
            "key": "0x" + status.key.hex(),
            "state": status.state.value,
            "reason": status.reason,
            "tx_hash": status.tx_hash,
        }
        for status in found
    ]
    if as_json:
        output.emit({"orders": rows, "booked": booked, "books_equal_chain": not differences})
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("order", "state", "reason", box=None, pad_edge=False)
    for row in rows:
        table.add_row(row["key"][:18] + "…", row["state"], row["reason"])
    Console().print(table)
    output.say(f"{len(rows)} orders, {len(booked)} booked now, books equal to the chain: {not differences}")


async def _position(
    place: DeskPlace, path: Path | None, market: str, collateral: str, *, is_long: bool
) -> dict[str, object]:
    from dex.perps.gmx import GmxReader
    from dex.perps.gmx.orders import USD_DECIMALS, unscaled

    async with _open(place, path) as (desk, gmx):
        found = gmx.market(market)
        token = _collateral(gmx, market, collateral)
        held = await GmxReader(desk.client, gmx).position(desk.account, found, token, is_long=is_long)
    return {
        "market": market,
        "direction": "long" if is_long else "short",
        "size_usd": f"{unscaled(held.size_usd_raw, USD_DECIMALS):f}",
        "size_tokens": f"{unscaled(held.size_tokens, found.index_decimals):f}",
        "collateral_raw": str(held.collateral_raw),
    }


async def _book(desk: DexDesk, gmx: GmxBook, *, since_block: int) -> list[str]:
    """Book what keepers' transactions gave back, once an order."""
    from custody.perpetuals import EndedOrder, book_ended
    from dex.perps.gmx import GmxReader, refunded_wei
    from dex.perps.gmx.reader import ENDS

    ended = []
    for event in await GmxReader(desk.client, gmx).events(desk.account, since_block=since_block):
        receipt = await desk.client.receipt(event.log.tx_hash) if event.name in ENDS else None
        if receipt is None:
            continue
        is_ours = receipt.sender == desk.account
        ended.append(
            EndedOrder(
                key=f"gmx/{gmx.chain_id}/0x{event.key.hex()}",
                tx_hash=event.log.tx_hash,
                coins_back_wei=refunded_wei(receipt.logs, gmx, desk.account),
                is_ours=is_ours,
            )
        )
    assets = {token.asset.id for m in gmx.markets for token in (m.long_token, m.short_token)}
    return await book_ended(
        desk.client,
        desk.ledger,
        desk.account,
        ended,
        strategy=_STRATEGY,
        assets=assets,
        confirmations=desk.confirmations,
    )


async def _allowance(desk: DexDesk, gmx: GmxBook, order: GmxOrder, name: str) -> list[TransactionPlan]:
    """Approve what the order pays in, exactly, where GMX's router may not take it yet."""
    from chain.abi import address_word, selector
    from dex import plan_approval

    if not order.kind.is_increase:
        return []
    data = selector("allowance(address,address)") + address_word(desk.account) + address_word(gmx.router)
    allowed = int.from_bytes(await desk.client.call(order.collateral, data), "big")
    if allowed >= order.collateral_raw:
        return []
    return [
        plan_approval(
            intent_id=f"gmx-approve-{name}",
            strategy=_STRATEGY,
            chain_id=gmx.chain_id,
            token=order.market.collateral(order.collateral).asset,
            token_address=order.collateral,
            sender=desk.account,
            spender=gmx.router,
            amount=order.collateral_raw,
        )
    ]


def _open(place: DeskPlace, path: Path | None) -> Any:
    from contextlib import asynccontextmanager

    from chain.network import chain_id_at
    from cli.dex.desk import open_desk
    from cli.dex.devnet_policy import Allowances

    @asynccontextmanager
    async def opened() -> Any:
        more = Allowances()
        if place.rpc_url:
            gmx = _load(await chain_id_at(place.rpc_url), path)
            more = Allowances({gmx.exchange_router: ("createOrder", "cancelOrder")}, spenders=(gmx.router,))
        async with open_desk(place, more) as desk:
            gmx = _load(desk.chain_id, path)
            await gmx.ensure_current(desk.client)
            yield desk, gmx

    return opened()


async def _name(desk: DexDesk, content: object) -> str:
    """A name for what is wanted now: until a transaction is mined, the same command is the same intent."""
    digest = hashlib.sha256(repr(content).encode()).hexdigest()[:12]
    return f"{await desk.client.nonce(desk.account, 'latest')}-{digest}"


def _load(chain_id: int, path: Path | None) -> GmxBook:
    from dex.perps.gmx import load_book

    return load_book(chain_id, path) if path is not None else load_book(chain_id)


def _collateral(gmx: GmxBook, market: str, symbol: str) -> Any:
    found = gmx.market(market)
    for token in (found.long_token, found.short_token):
        if token.asset.symbol == symbol:
            return token.address
    raise InputError(
        f"{market} takes {found.long_token.asset.symbol} and {found.short_token.asset.symbol}, not {symbol}"
    )


def _kind(text: str) -> str:
    if text not in KINDS:
        raise InputError(f"--kind is one of {', '.join(KINDS)}, found {text!r}")
    return text.upper().replace("-", "_")


def _decimal(option: str, text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation as exc:
        raise InputError(f"{option} takes a number, found {text!r}") from exc


def _ask(yes: bool) -> None:
    if not yes:
        typer.confirm("Send it?", abort=True, err=True)
