"""What happens, as ledger entries: pure builders, one per kind of event. All amounts are in smallest units."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from custody.ledger.accounts import (
    OPENING_ACCOUNT,
    inflight_account,
    suspense_account,
    user_account,
    vault_account,
    venue_account,
)
from custody.ledger.entries import Entry, Posting
from domain import Address, Asset, ChainId, Fill, Instrument, IntentId, InvariantError, Side, native_asset

__all__ = [
    "OPENING_ACCOUNT",
    "DepositLeg",
    "contra",
    "deposit_available",
    "deposit_reorged",
    "deposit_seen",
    "exchange_fill",
    "gas",
    "liquidity",
    "opening",
    "perpetual_ended",
    "swap",
    "sweep_done",
    "sweep_returned",
    "sweep_sent",
    "transfer",
    "vault_account",
    "venue_account",
    "withdrawal_done",
    "withdrawal_held",
    "withdrawal_released",
    "withdrawal_returned",
    "withdrawal_sent",
]


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
    return Entry(f"swap/{intent_id}", "swap", legs, strategy, tx_hash=tx_hash)


def liquidity(
    intent_id: IntentId, strategy: str, vault: str, deltas: Mapping[str, int], *, tx_hash: str = ""
) -> Entry | None:
    """Book what went from the vault into a pool's position (negative), or came out of it, by asset id.

    What is out stands in `liquidity/<strategy>`; what is left there when nothing is out any more, is what it earned
    (below zero) or lost.
    """
    legs = tuple(
        leg for asset, raw in sorted(deltas.items()) for leg in _move(f"liquidity/{strategy}", vault, asset, raw)
    )
    if not any(leg.raw for leg in legs):
        return None
    return Entry(f"liquidity/{intent_id}", "liquidity", legs, strategy, tx_hash=tx_hash)


def perpetual_ended(
    order: str, strategy: str, vault: str, deltas: Mapping[str, int], *, tx_hash: str = ""
) -> Entry | None:
    """Book what a keeper's transaction moved into the vault when it ended an order; None when nothing moved.

    What the order had taken out of the vault stands with the strategy, and comes back there: what stays is the result.
    """
    legs = tuple(
        leg for asset, raw in sorted(deltas.items()) for leg in _move(f"trading/{strategy}", vault, asset, raw)
    )
    if not any(leg.raw for leg in legs):
        return None
    return Entry(f"perpetual/{order}", "perpetual", legs, strategy, tx_hash=tx_hash)


def gas(
    intent_id: IntentId, strategy: str, vault: str, chain_id: ChainId, cost_wei: int, *, kind: str, tx_hash: str = ""
) -> Entry | None:
    """Book what a mined transaction paid for gas, reverted or not; `kind` is `gas` or `approval-gas`."""
    if cost_wei == 0:
        return None
    legs = _move(vault, f"gas/{strategy}", native_asset(chain_id).id, cost_wei)
    return Entry(f"gas/{intent_id}", kind, legs, strategy, tx_hash=tx_hash)


def transfer(key: str, source: str, target: str, asset: Asset, raw: int, *, note: str = "") -> Entry:
    """Move value between two accounts of the same asset."""
    return Entry(f"transfer/{key}", "transfer", _move(source, target, asset.id, raw), note=note)


def contra(entry: Entry, reason: str) -> Entry:
    """Undo an entry by booking its opposite: after a reorganisation, or a mistake."""
    legs = tuple(replace(leg, raw=-leg.raw) for leg in entry.postings)
    return Entry(f"contra/{entry.key}", "contra", legs, entry.strategy, reason, entry.tx_hash)


@dataclass(frozen=True, slots=True, kw_only=True)
class DepositLeg:
    """One amount that arrived at an address of ours for a user.

    A transaction may be mined, reorganised away and mined again: `occurrence` counts how often it came back (after
    `deposit_reorged` it is one more), so that each time is booked once and no time twice.
    """

    chain_id: ChainId
    tx_hash: str
    log_index: int
    """-1 for the native coin a transaction sends itself."""
    leg: int = 0
    occurrence: int = 0
    user: str
    address: Address
    asset: str
    raw: int

    @property
    def key(self) -> str:
        """Names it in the ledger, uniquely and for ever."""
        return f"deposit/{self.chain_id}/{self.tx_hash}/{self.log_index}/{self.leg}/{self.occurrence}"


def deposit_seen(deposit: DepositLeg) -> Entry:
    """Value arrived: we hold it, and owe it to the user once it is final."""
    legs = _move(
        user_account(deposit.user, "pending"),
        vault_account(deposit.chain_id, deposit.address),
        deposit.asset,
        deposit.raw,
    )
    return Entry(f"{deposit.key}/seen", "deposit-seen", legs, tx_hash=deposit.tx_hash)


def deposit_available(deposit: DepositLeg) -> Entry:
    """A deposit is deep enough and screened: the user may dispose of it."""
    legs = _move(
        user_account(deposit.user, "available"), user_account(deposit.user, "pending"), deposit.asset, deposit.raw
    )
    return Entry(f"{deposit.key}/available", "deposit-available", legs, tx_hash=deposit.tx_hash)


def deposit_reorged(deposit: DepositLeg, reason: str, *, was_available: bool, short_raw: int = 0) -> Entry:
    """Undo a deposit whose block is no longer the chain's.

    Args:
        deposit: As it was booked.
        reason: Which block went away.
        was_available: Whether `deposit_available` was booked for it.
        short_raw: What the user has already disposed of and no longer has available: it is taken from
            `suspense/reorged` until somebody makes it good. Read `Ledger.available_in` in the same transaction.
    """
    owed = user_account(deposit.user, "available" if was_available else "pending")
    place = vault_account(deposit.chain_id, deposit.address)
    legs = (
        *_move(place, owed, deposit.asset, deposit.raw - short_raw),
        *_move(place, suspense_account("reorged"), deposit.asset, short_raw),
    )
    return Entry(f"{deposit.key}/reorged", "deposit-reorged", legs, note=reason, tx_hash=deposit.tx_hash)


def sweep_sent(sweep: str, source: str, asset: str, raw: int, *, tx_hash: str = "") -> Entry:
    """A sweep's transaction was broadcast: value left a deposit address. Once a sweep, source and asset."""
    legs = _move(source, inflight_account(sweep), asset, raw)
    return Entry(f"sweep/{sweep}/sent/{source}/{_short(asset)}", "sweep-sent", legs, tx_hash=tx_hash)


def sweep_done(
    sweep: str, source: str, target: str, asset: str, *, sent_raw: int, arrived_raw: int, tx_hash: str = ""
) -> Entry:
    """A sweep is final. It takes what lay there when it was mined: more may arrive than was seen when it was sent."""
    legs = (
        *_move(inflight_account(sweep), target, asset, sent_raw),
        *_move(source, target, asset, arrived_raw - sent_raw),
    )
    return Entry(f"sweep/{sweep}/done/{source}/{_short(asset)}", "sweep-done", legs, tx_hash=tx_hash)


def sweep_returned(sweep: str, source: str, asset: str, raw: int, *, reason: str, tx_hash: str = "") -> Entry:
    """A sweep failed or was cancelled: its value is where it was."""
    legs = _move(inflight_account(sweep), source, asset, raw)
    return Entry(
        f"sweep/{sweep}/returned/{source}/{_short(asset)}", "sweep-returned", legs, note=reason, tx_hash=tx_hash
    )


def withdrawal_held(withdrawal: str, user: str, asset: str, raw: int, *, fee_raw: int = 0) -> Entry:
    """Set a withdrawal's amount and fee aside. Booking it raises `Refused` (rule `funds`) when the user has less."""
    legs = _move(user_account(user, "held"), user_account(user), asset, raw + fee_raw)
    return Entry(f"withdrawal/{withdrawal}/held", "withdrawal-held", legs)


def withdrawal_released(
    withdrawal: str, user: str, asset: str, raw: int, *, fee_raw: int = 0, reason: str = ""
) -> Entry:
    """A withdrawal was refused, cancelled or failed: the user may dispose of the amount again."""
    legs = _move(user_account(user), user_account(user, "held"), asset, raw + fee_raw)
    return Entry(f"withdrawal/{withdrawal}/released", "withdrawal-released", legs, note=reason)


def withdrawal_sent(withdrawal: str, place: str, asset: str, raw: int, *, tx_hash: str = "") -> Entry:
    """A withdrawal was broadcast (or taken by an exchange): value left a place of ours."""
    legs = _move(place, inflight_account(withdrawal), asset, raw)
    return Entry(f"withdrawal/{withdrawal}/sent", "withdrawal-sent", legs, tx_hash=tx_hash)


def withdrawal_returned(withdrawal: str, place: str, asset: str, raw: int, *, reason: str, tx_hash: str = "") -> Entry:
    """A sent withdrawal failed: its value is where it was. The amount stays held until it is released."""
    legs = _move(inflight_account(withdrawal), place, asset, raw)
    return Entry(f"withdrawal/{withdrawal}/returned", "withdrawal-returned", legs, note=reason, tx_hash=tx_hash)


def withdrawal_done(withdrawal: str, user: str, asset: str, raw: int, *, fee_raw: int = 0, tx_hash: str = "") -> Entry:
    """A withdrawal is final: the debt is paid, and its fee earned."""
    legs = (
        *_move(inflight_account(withdrawal), user_account(user, "held"), asset, raw),
        *_move("fees/withdrawals", user_account(user, "held"), asset, fee_raw),
    )
    return Entry(f"withdrawal/{withdrawal}/done", "withdrawal-done", legs, tx_hash=tx_hash)


def _short(asset: str) -> str:
    return asset.rpartition("/")[2]


def _move(source: str, target: str, asset: str, raw: int) -> tuple[Posting, Posting]:
    return Posting(source, asset, -raw), Posting(target, asset, raw)
