"""What a mined transaction moved, from its receipt: exact, in smallest units."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from chain import Receipt
from chain.abi import topic, uint_at
from custody.ledger import Entry, Posting
from custody.ledger.postings import gas, swap, vault_account, withdrawal_sent
from domain import Address, ChainId, native_asset
from domain.events import SwapSettled
from domain.plans import TransactionPlan

_TRANSFER: Final = topic("Transfer(address,address,uint256)")


def token_deltas(receipt: Receipt, chain_id: ChainId, vault: Address, assets: Collection[str]) -> dict[str, int]:
    """What the vault gained (negative: lost) of each token, by asset id, from the Transfer logs.

    Only tokens in `assets` count: any contract may emit a log that claims a transfer.
    """
    me = "0x" + vault[2:].lower().rjust(64, "0")
    deltas: dict[str, int] = {}
    for log in receipt.logs:
        asset = f"eip155:{chain_id}/erc20:{log.address}"
        # ERC-20: from and to are indexed, the amount is the data. ERC-721 indexes all three and moves no amount.
        if asset not in assets or len(log.topics) != 3 or log.topics[0] != _TRANSFER:
            continue
        amount = uint_at(log.data, 0)
        if log.topics[2].lower() == me:
            deltas[asset] = deltas.get(asset, 0) + amount
        if log.topics[1].lower() == me:
            deltas[asset] = deltas.get(asset, 0) - amount
    return {asset: raw for asset, raw in deltas.items() if raw}


def settle(plan: TransactionPlan, receipt: Receipt, assets: Collection[str], now_ns: int) -> SwapSettled:
    """Say what became of a plan, from its receipt."""
    deltas = token_deltas(receipt, plan.chain_id, plan.sender, assets) if receipt.succeeded else {}
    amount_in = -deltas.get(plan.spends[0].asset.id, 0) if plan.spends else 0
    amount_out = deltas.get(plan.receives_min[0].asset.id, 0) if plan.receives_min else 0
    return SwapSettled(
        time_ns=now_ns,
        intent_id=plan.intent_id,
        status="mined" if receipt.succeeded else "failed",
        amount_in=str(amount_in),
        amount_out=str(amount_out),
        gas_cost_wei=str(receipt.gas_cost_wei),
        tx_hash=receipt.tx_hash,
        block_number=receipt.block_number,
        reason="" if receipt.succeeded else "reverted",
    )


def entries(
    plan: TransactionPlan, receipt: Receipt, assets: Collection[str], *, did_anything: bool = True
) -> list[Entry]:
    """The ledger entries of a mined plan: what it moved, and its gas (paid also when it reverted).

    What a sweep moved is booked by custody.deposits, which knows whose it was. `did_anything` is False when a
    transaction of nothing was mined in its place: it paid its gas, too.
    """
    vault = vault_account(plan.chain_id, plan.sender)
    kind = "approval-gas" if plan.purpose == "approve" else "gas"
    booked = [
        gas(
            plan.intent_id,
            plan.strategy,
            vault,
            plan.chain_id,
            receipt.gas_cost_wei,
            kind=kind,
            tx_hash=receipt.tx_hash,
        )
    ]
    if receipt.succeeded and did_anything and plan.purpose != "sweep":
        deltas = token_deltas(receipt, plan.chain_id, plan.sender, assets)
        if plan.value_wei:
            deltas[native_asset(plan.chain_id).id] = -plan.value_wei
        if plan.purpose == "transfer":
            booked.append(_sent(plan, receipt, vault, deltas))
        elif plan.purpose == "withdrawal":
            asset = plan.spends[0].asset.id
            booked.append(withdrawal_sent(plan.intent_id, vault, asset, -deltas.get(asset, 0), tx_hash=receipt.tx_hash))
        else:
            booked.append(swap(plan.intent_id, plan.strategy, vault, deltas, tx_hash=receipt.tx_hash))
    return [entry for entry in booked if entry is not None]


def _sent(plan: TransactionPlan, receipt: Receipt, vault: str, deltas: dict[str, int]) -> Entry | None:
    if not deltas or plan.recipient is None:
        return None
    target = vault_account(plan.chain_id, plan.recipient)
    legs = tuple(
        posting
        for asset, raw in sorted(deltas.items())
        for posting in (Posting(vault, asset, raw), Posting(target, asset, -raw))
    )
    return Entry(f"transfer/{plan.intent_id}", "transfer", legs, plan.strategy, tx_hash=receipt.tx_hash)
