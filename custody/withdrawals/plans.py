"""The transaction of a withdrawal: coins sent, or a token's `transfer`.

Tokens that return nothing from `transfer` (USDT) need nothing special: a call of ours does not look at what comes back,
it reverts or it does not, and what left is read from the Transfer log before anything is booked. Tokens that keep a fee
of their own on the way are not for withdrawals: recipients would get less than was asked for.
"""

from __future__ import annotations

from typing import Final

from chain.abi import address_word, selector, uint_word
from domain import Address, Amount, Asset, ChainId, InputError, StrategyId, native_asset
from domain.ids import IntentId
from domain.plans import TransactionPlan

PURPOSE: Final = "withdrawal"
STRATEGY: Final = "withdrawals"
"""Under which the network fee is booked: `gas/withdrawals`. The platform pays it; the user pays the fee agreed."""
_TRANSFER: Final = selector("transfer(address,uint256)")


def plan_withdrawal(
    *, withdrawal_id: str, chain_id: ChainId, sender: Address, recipient: Address, asset: Asset, raw: int
) -> TransactionPlan:
    """Plan the transaction that pays a withdrawal out. Its gas is estimated when it is priced.

    Raises:
        InputError: The asset is no coin and no ERC-20 token of that chain, or the recipient is the sender.
    """
    if recipient == sender:
        raise InputError(f"{withdrawal_id}: the vault does not withdraw to itself")
    is_native = asset.id == native_asset(chain_id).id
    prefix = f"eip155:{chain_id}/erc20:"
    if not is_native and not asset.id.startswith(prefix):
        raise InputError(f"{withdrawal_id}: {asset.id} is neither the coin nor a token of chain {chain_id}")
    return TransactionPlan(
        intent_id=IntentId(withdrawal_id),
        strategy=StrategyId(STRATEGY),
        purpose=PURPOSE,
        chain_id=chain_id,
        sender=sender,
        to=recipient if is_native else Address(asset.id.removeprefix(prefix)),
        value_wei=raw if is_native else 0,
        data=b"" if is_native else _TRANSFER + address_word(recipient) + uint_word(raw),
        gas_limit=0,
        deadline_s=0,
        spends=(Amount(asset, raw),),
        recipient=recipient,
    )
