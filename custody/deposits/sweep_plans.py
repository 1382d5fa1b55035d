"""The transactions of sweeps, and what became of them by their receipts."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Final

from chain import Log, Receipt, checksum
from chain.abi import address_at, address_word, selector, topic, uint_at, uint_word
from custody.deposits.contracts import COIN, SWEPT, SweepItem, sweep_call
from custody.deposits.settings import DepositSettings
from custody.ledger import Entry, Posting
from custody.ledger.accounts import inflight_account, vault_account
from custody.ledger.postings import gas, sweep_done, sweep_sent
from domain import Address, Amount, Asset, ChainId, InputError, StrategyId, native_asset
from domain.ids import IntentId
from domain.plans import TransactionPlan

PURPOSE: Final = "sweep"
STRATEGY: Final = StrategyId("sweeps")
"""Under which gas is booked: `gas/sweeps`."""
FEES: Final = "fees/sweeps"
_TRANSFER_EVENT: Final = topic("Transfer(address,address,uint256)")
_TRANSFER: Final = selector("transfer(address,uint256)")


@dataclass(frozen=True, slots=True)
class Holding:
    """What one sweep may take of one asset at one deposit address."""

    address: Address
    kind: str
    account: bytes
    asset: str
    raw: int
    deposits: tuple[int, ...]
    """The final deposits it is made of, by number."""
    oldest_ns: int


@dataclass(frozen=True, slots=True)
class Moved:
    """What a mined sweep took from an address, and what the vault got."""

    address: Address
    asset: str
    sent_raw: int
    arrived_raw: int


def plan_batch(
    sweep: str, *, chain_id: ChainId, sender: Address, sweeper: Address, holdings: Sequence[Holding]
) -> TransactionPlan:
    """Plan one call that empties many forwarders."""
    items = [SweepItem(holding.account, token_of(holding.asset), holding.raw) for holding in holdings]
    return _plan(sweep, chain_id=chain_id, sender=sender, to=sweeper, data=sweep_call(items), recipient=sweeper)


def plan_transfer(sweep: str, *, chain_id: ChainId, holding: Holding, vault: Address, raw: int) -> TransactionPlan:
    """Plan the transfer by which a key address empties itself."""
    token = token_of(holding.asset)
    is_coin = token == COIN
    return _plan(
        sweep,
        chain_id=chain_id,
        sender=holding.address,
        to=vault if is_coin else token,
        data=b"" if is_coin else _TRANSFER + address_word(vault) + uint_word(raw),
        value_wei=raw if is_coin else 0,
        # Whoever reads the plan goes by the asset's id; what its people call it is not known here.
        spends=(Amount(Asset(holding.asset, "raw", 0), raw),),
        recipient=vault,
    )


def plan_grant(grant: str, *, chain_id: ChainId, tank: Address, target: Address, raw: int) -> TransactionPlan:
    """Plan the gas tank's gift to a key address."""
    return TransactionPlan(
        intent_id=IntentId(grant),
        strategy=STRATEGY,
        purpose="transfer",
        chain_id=chain_id,
        sender=tank,
        to=target,
        value_wei=raw,
        data=b"",
        gas_limit=0,
        deadline_s=0,
        spends=(Amount(native_asset(chain_id), raw),),
        recipient=target,
    )


def _plan(
    sweep: str,
    *,
    chain_id: ChainId,
    sender: Address,
    to: Address,
    data: bytes,
    value_wei: int = 0,
    spends: tuple[Amount, ...] = (),
    recipient: Address | None = None,
) -> TransactionPlan:
    return TransactionPlan(
        intent_id=IntentId(sweep),
        strategy=STRATEGY,
        purpose=PURPOSE,
        chain_id=chain_id,
        sender=sender,
        to=to,
        value_wei=value_wei,
        data=data,
        gas_limit=0,
        deadline_s=0,
        spends=spends,
        recipient=recipient,
    )


def token_of(asset: str) -> Address:
    """An asset's token contract; `COIN` for the chain's coin.

    Raises:
        InputError: It is neither.
    """
    namespace, _, reference = asset.rpartition("/")[2].partition(":")
    if namespace == "slip44":
        return COIN
    if namespace != "erc20":
        raise InputError(f"{asset} is no asset of an EVM chain")
    return checksum(reference)


def asset_of(chain_id: ChainId, token: Address) -> str:
    """The asset of a token contract, or of `COIN`."""
    return native_asset(chain_id).id if token == COIN else f"eip155:{chain_id}/erc20:{token}"


def moved_by_log(log: Log, chain_id: ChainId) -> Moved:
    """Read one `Swept` event of the factory's."""
    return Moved(
        address=address_at(bytes.fromhex(log.topics[2][2:]), 0),
        asset=asset_of(chain_id, address_at(bytes.fromhex(log.topics[3][2:]), 0)),
        sent_raw=uint_at(log.data, 0),
        arrived_raw=uint_at(log.data, 1),
    )


def moved(plan: TransactionPlan, receipt: Receipt, settings: DepositSettings) -> list[Moved]:
    """What a mined sweep moved, from the events of contracts we trust."""
    if not receipt.succeeded or settings.vault is None:
        return []
    if plan.to == settings.sweeper:
        logs = [log for log in receipt.logs if log.address == settings.factory and log.topics[0] == SWEPT]
        return [moved_by_log(log, plan.chain_id) for log in logs]
    if not plan.data:
        return [Moved(plan.sender, native_asset(plan.chain_id).id, plan.value_wei, plan.value_wei)]
    found = [log for log in receipt.logs if log.address == plan.to and len(log.topics) == 3]
    found = [log for log in found if log.topics[0] == _TRANSFER_EVENT and _party(log, 1) == plan.sender]
    arrived = sum(uint_at(log.data, 0) for log in found if _party(log, 2) == settings.vault)
    sent = sum(uint_at(log.data, 0) for log in found)
    return [Moved(plan.sender, asset_of(plan.chain_id, plan.to), sent, arrived)] if sent else []


def _party(log: Log, index: int) -> Address:
    return checksum("0x" + log.topics[index][-40:])


def moving_entries(movement: str, chain_id: ChainId, vault: Address, part: Moved, tx_hash: str) -> list[Entry]:
    """Book one part of a sweep: from the deposit address, through what is in flight, to the vault.

    What a token keeps on the way is a cost.
    """
    source, target = vault_account(chain_id, part.address), vault_account(chain_id, vault)
    # More than was sent: the token's balances grow by themselves, and what grew is not the sweep's.
    arrived = min(part.arrived_raw, part.sent_raw)
    entries = [sweep_sent(movement, source, part.asset, part.sent_raw, tx_hash=tx_hash)] if part.sent_raw else []
    if arrived:
        entries.append(
            sweep_done(
                movement,
                source,
                target,
                part.asset,
                sent_raw=arrived,
                arrived_raw=arrived,
                tx_hash=tx_hash,
            )
        )
    if lost := part.sent_raw - arrived:
        legs = (Posting(inflight_account(movement), part.asset, -lost), Posting(FEES, part.asset, lost))
        key = f"sweep/{movement}/fee/{source}/{part.asset.rpartition('/')[2]}"
        entries.append(Entry(key, "sweep-fee", legs, tx_hash=tx_hash))
    return entries


def sweep_booker(
    settings: DepositSettings,
) -> Callable[[TransactionPlan, Receipt, Collection[str]], list[Entry] | None]:
    """Make the booker that a desk which sweeps is given: it books what moved in the transaction that settles it."""

    def book(plan: TransactionPlan, receipt: Receipt, _assets: Collection[str]) -> list[Entry] | None:
        if plan.purpose != PURPOSE or settings.vault is None:
            return None
        account = vault_account(plan.chain_id, plan.sender)
        paid = gas(
            plan.intent_id,
            plan.strategy,
            account,
            plan.chain_id,
            receipt.gas_cost_wei,
            kind="gas",
            tx_hash=receipt.tx_hash,
        )
        entries = [] if paid is None else [paid]
        for part in moved(plan, receipt, settings):
            entries += moving_entries(plan.intent_id, plan.chain_id, settings.vault, part, receipt.tx_hash)
        return entries

    return book
