"""What happens, as ledger entries: pure builders, one per kind of event. All amounts are in smallest units."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from custody.ledger import Entry, Posting
from domain import Address, Asset, ChainId, Fill, Instrument, IntentId, InvariantError, Side, native_asset

OPENING_ACCOUNT = "equity/opening"


def venue_account(venue: str) -> str:
    """What we hold at an exchange."""
    return f"venue/{venue}"


def vault_account(chain_id: ChainId, address: Address) -> str:
    """What an account of ours holds on a chain."""
    return f"chain/{chain_id}/{address}"


def opening(account: str, asset: str, raw: int) -> Entry:
    """Take over a balance that was there before the books began."""
    return Entry(f"opening/{account}/{asset}", "opening", _move(OPENING_ACCOUNT, account, asset, raw))


def exchange_fill(fill: Fill, instrument: Instrument, strategy: str) -> Entry:
    """Book one trade at an exchange: base, quote and fee, each exact.

    Raises:
        InvariantError: The size is no whole number of the base asset's smallest unit.
    """
    place, trading = venue_account(fill.venue), f"trading/{strategy}"
    size = instrument.qty(fill.qty_lots) * instrument.base.unit
    base_raw = int(size)
    if base_raw != size:
        raise InvariantError(f"fill {fill.trade_id}: {size} {instrument.base.id} is no whole number of units")
    sign = 1 if fill.side is Side.BUY else -1
    fee_asset = f"{fill.venue}/{fill.fee_asset}"
    return Entry(
        f"fill/{fill.venue}/{fill.symbol}/{fill.trade_id}",
        "fill",
        (
            *_move(trading, place, instrument.base.id, sign * base_raw),
            *_move(trading, place, instrument.quote.id, -sign * fill.quote_raw),
            *_move(place, f"fees/{strategy}", fee_asset, fill.fee_raw),
        ),
        strategy,
    )


def swap(
    intent_id: IntentId, strategy: str, vault: str, deltas: Mapping[str, int], *, tx_hash: str = ""
) -> Entry | None:
    """Book what a transaction moved into (positive) and out of the vault, by asset id; None when nothing moved."""
    legs = tuple(
        leg for asset, raw in sorted(deltas.items()) for leg in _move(f"trading/{strategy}", vault, asset, raw)
    )
    if not any(leg.raw for leg in legs):
        return None
    return Entry(f"swap/{intent_id}", "swap", legs, strategy, tx_hash)


def gas(
    intent_id: IntentId, strategy: str, vault: str, chain_id: ChainId, cost_wei: int, *, kind: str, tx_hash: str = ""
) -> Entry | None:
    """Book what a mined transaction paid for gas, reverted or not; `kind` is `gas` or `approval-gas`."""
    if cost_wei == 0:
        return None
    legs = _move(vault, f"gas/{strategy}", native_asset(chain_id).id, cost_wei)
    return Entry(f"gas/{intent_id}", kind, legs, strategy, tx_hash)


def transfer(key: str, source: str, target: str, asset: Asset, raw: int, *, note: str = "") -> Entry:
    """Move value between two accounts of the same asset."""
    return Entry(f"transfer/{key}", "transfer", _move(source, target, asset.id, raw), note=note)


def contra(entry: Entry, reason: str) -> Entry:
    """Undo an entry by booking its opposite: after a reorganisation, or a mistake."""
    legs = tuple(replace(leg, raw=-leg.raw) for leg in entry.postings)
    return Entry(f"contra/{entry.key}", "contra", legs, entry.strategy, reason)


def _move(source: str, target: str, asset: str, raw: int) -> tuple[Posting, Posting]:
    return Posting(source, asset, -raw), Posting(target, asset, raw)
