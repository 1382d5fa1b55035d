"""The end of a run: its figures from the journal, its truth from ledger, venues and chain."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from cli.data_dir import DataDir, read_json
from cli.wiring import differences
from custody import Custody, Entry, Ledger, postings
from custody.ledger import venue_account
from domain import Asset, ChainId, IntentId
from domain import events as e
from domain.amounts import format_units
from engine.journal import read_journal
from engine.ports import ExchangeVenue, SwapDesk
from engine.report_html import write_report
from engine.reporting import RunSummary, summarize, to_json
from engine.runner import LiveRunner
from engine.setup import RunConfig, build_kernel, pool_label


async def final_result(
    data: DataDir,
    config: RunConfig,
    runner: LiveRunner,
    venues: Mapping[str, ExchangeVenue],
    desk: SwapDesk | None,
    custody: Custody | None,
    ledger: Ledger,
    vault: str | None,
) -> tuple[dict[str, Any], RunSummary]:
    """Compare the books with every place that holds value, and count what the run did.

    In paper mode the venues answer with the simulated holdings, so that the same comparison is made.
    """
    found: dict[str, Mapping[str, int]] = {}
    open_orders = 0
    for name, venue in venues.items():
        found[venue_account(name)] = {asset: raw for asset, raw in (await venue.balances()).items() if raw}
        open_orders += len(await venue.open_orders())
    if desk is not None and vault is not None:
        found[vault] = {asset: raw for asset, raw in (await desk.balances()).items() if raw}
    verification = await asyncio.to_thread(ledger.verify)
    mismatches = await asyncio.to_thread(differences, ledger, found)
    outcomes = await custody.settlements() if custody is not None else []
    transactions = sum(outcome.status != "refused" for outcome in outcomes)
    _, events = await asyncio.to_thread(read_journal, data.journal)
    summary = await asyncio.to_thread(summarize, build_kernel(config, data.root), events)
    assets = _assets(config)
    figures = to_json(summary)
    result = {
        "run": config.run,
        "seed": (read_json(data.world) or {}).get("seed"),
        **figures,
        "fees": _named(figures["fees_raw"], assets),
        "gas": format_units(summary.gas_wei, 18).rstrip("0").rstrip(".") or "0",
        "transactions": transactions,
        "ledger": {
            "balanced": verification.is_sound and not any(ledger.trial_balance().values()),
            "matches_venues": not mismatches,
            "entries": verification.entries,
            "problems": list(verification.problems),
            "differences": mismatches,
        },
        "decisions": {"commands": runner.decisions.count, "sha256": runner.decisions.hex},
        "latency_us": {"tick_to_order": {**runner.tick_to_order.percentiles_us(), "count": runner.tick_to_order.count}},
        "open_orders_after_stop": open_orders,
        "report": str(data.report),
    }
    return result, summary


def book_paper_swaps(data: DataDir, config: RunConfig, ledger: Ledger, vault: str, chain_id: ChainId) -> None:
    """Book what simulated swaps moved. Custody does this for real ones; keys make it a no-op the second time."""
    kernel = build_kernel(config, data.root)
    submitted: dict[str, e.SubmitSwap] = {}
    entries: list[Entry] = []
    for event in read_journal(data.journal)[1]:
        if isinstance(event, e.SwapSettled) and (swap := submitted.pop(event.intent_id, None)) is not None:
            moved = {swap.token_in: -int(event.amount_in), swap.token_out: int(event.amount_out)}
            legs = postings.swap(IntentId(swap.intent_id), swap.strategy, vault, moved)
            gas = postings.gas(
                IntentId(swap.intent_id), swap.strategy, vault, chain_id, int(event.gas_cost_wei), kind="gas"
            )
            entries += [entry for entry in (legs, gas) if entry is not None]
        submitted |= {c.intent_id: c for c in kernel.step(event) if isinstance(c, e.SubmitSwap)}
    ledger.post_many(entries)


def write_html(data: DataDir, config: RunConfig, summary: RunSummary, result: dict[str, Any]) -> None:
    """Write `report.html` beside the result."""
    labels = {str(spec.id): pool_label(spec) for spec in config.pools}
    labels |= {asset.id: asset.symbol for asset in _assets(config).values()}
    write_report(data.report, summary, result, labels)


def _assets(config: RunConfig) -> dict[str, Asset]:
    known = [asset for i in config.instruments for asset in (i.base, i.quote)]
    known += [asset for pool in config.pools for asset in (pool.token0, pool.token1)]
    return {asset.id: asset for asset in known}


def _named(raw_by_asset: Mapping[str, str], assets: Mapping[str, Asset]) -> dict[str, str]:
    """Amounts as decimal text by symbol; an asset nobody configured (a third fee coin) keeps its id and raw units."""
    return {
        (assets[key].symbol if key in assets else key): (
            format_units(int(raw), assets[key].decimals) if key in assets else raw
        )
        for key, raw in raw_by_asset.items()
    }
