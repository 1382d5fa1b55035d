"""What a mined transaction moved, from its receipt: exact, in smallest units."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from chain import Receipt
from chain.abi import topic, uint_at
from custody.calls import decode_call
from custody.calls.wrapped import wrapped_coin
from custody.ledger import Entry, Posting
from custody.ledger.postings import gas, liquidity, swap, vault_account, withdrawal_sent
from domain import Address, ChainId, InvariantError, native_asset
from domain.events import SwapSettled
from domain.plans import TransactionPlan

_TRANSFER: Final = topic("Transfer(address,address,uint256)")
_UNWRAPPED: Final = topic("Withdrawal(address,uint256)")


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


def moved(plan: TransactionPlan, receipt: Receipt, assets: Collection[str]) -> dict[str, int]:
    """What a plan that was mined and succeeded moved into (positive) and out of the vault, by asset id."""
    deltas = token_deltas(receipt, plan.chain_id, plan.sender, assets)
    native = native_asset(plan.chain_id).id
    coins = coins_back(plan, receipt) - plan.value_wei
    if coins:
        deltas[native] = coins
    return deltas


def coins_back(plan: TransactionPlan, receipt: Receipt) -> int:
    """How many coins a swap paid out to the vault: a transfer of coins leaves no log, the unwrapping before it does.

    Raises:
        InvariantError: The plan promises coins, and nothing in the receipt says how many came.
    """
    native = native_asset(plan.chain_id).id
    least = sum(amount.raw for amount in plan.receives_min if amount.asset.id == native)
    if plan.purpose != "swap" or not (plan.value_wei or least):
        return 0
    call = decode_call(plan.sender, plan.to, plan.data, chain_id=plan.chain_id, value_wei=plan.value_wei)
    if call.coins_back is None:
        return 0
    wrapped = wrapped_coin(plan.chain_id)
    router = "0x" + plan.to[2:].lower().rjust(64, "0")
    unwrapped = [
        uint_at(log.data, 0)
        for log in receipt.logs
        if log.address == wrapped and log.topics[:1] == (_UNWRAPPED,) and log.topics[1].lower() == router
    ]
    # Each of those within the call has a log; the one that pays the vault has none when there was nothing to pay.
    paid = unwrapped[call.coins_back] if len(unwrapped) > call.coins_back else 0
    if len(unwrapped) > call.coins_back + 1 or paid < least:
        raise InvariantError(f"{plan.intent_id}: {receipt.tx_hash} does not say how many coins it paid out")
    return paid


def settle(plan: TransactionPlan, receipt: Receipt, assets: Collection[str], now_ns: int) -> SwapSettled:
    """Say what became of a plan, from its receipt."""
    deltas = moved(plan, receipt, assets) if receipt.succeeded else {}
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
        deltas = moved(plan, receipt, assets)
        if plan.purpose == "transfer":
            booked.append(_sent(plan, receipt, vault, deltas))
        elif plan.purpose == "withdrawal":
            asset = plan.spends[0].asset.id
            booked.append(withdrawal_sent(plan.intent_id, vault, asset, -deltas.get(asset, 0), tx_hash=receipt.tx_hash))
        elif plan.purpose == "liquidity":
            booked.append(liquidity(plan.intent_id, plan.strategy, vault, deltas, tx_hash=receipt.tx_hash))
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
