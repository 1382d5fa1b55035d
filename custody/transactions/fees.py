"""What a transaction may pay: its first price, higher ones of its replacements, and the price of a cancellation."""

from __future__ import annotations

from dataclasses import replace

from chain import FeeQuote
from custody.policy import Judge
from custody.transactions.records import Intent
from domain import Address, ChainId, Wei
from wallets import TransactionToSign

CANCEL_GAS = 21_000


def within_cap(fees: FeeQuote, cap_wei: int) -> FeeQuote:
    """Lower the head-room for rising base fees to the cap, while the present base fee and tip still fit under it."""
    if fees.base_fee + fees.priority <= cap_wei < fees.max_fee:
        return replace(fees, max_fee=Wei(cap_wei))
    return fees


def cancellation(chain_id: ChainId, sender: Address, nonce: int, fees: FeeQuote) -> TransactionToSign:
    """Make the transaction that does nothing but use a nonce up: no coins, no data, to ourselves."""
    return TransactionToSign(
        chain_id=chain_id,
        nonce=nonce,
        to=sender,
        value_wei=0,
        data=b"",
        gas_limit=CANCEL_GAS,
        max_fee_per_gas_wei=fees.max_fee,
        max_priority_fee_per_gas_wei=fees.priority,
    )


def outbid(intent: Intent, market: FeeQuote, *, percent: int, cap_wei: int) -> FeeQuote:
    """Price a replacement: both fees `percent` above everything asked for so far, and no less than the market.

    Also what the signer refused or never answered for counts as asked: it may have journalled it. Head-room above the
    cap is left out where the step itself fits under it; where it does not, policy will say so.
    """
    asked = [attempt.unsigned for attempt in intent.attempts]
    least = max(tx.max_fee_per_gas_wei for tx in asked) * (100 + percent) // 100 + 1
    tip = max(tx.max_priority_fee_per_gas_wei for tx in asked) * (100 + percent) // 100 + 1
    fee = max(least, min(market.max_fee, cap_wei))
    return FeeQuote(
        base_fee=market.base_fee, priority=Wei(min(max(tip, min(market.priority, fee)), fee)), max_fee=Wei(fee)
    )


def check_fees(policy: Judge, tx: TransactionToSign) -> None:
    """Hold a transaction against policy's caps.

    Raises:
        Refused: Rule `gas-limit` or `fee-cap`.
    """
    policy.check_fees(tx.chain_id, gas_limit=tx.gas_limit, fee_per_gas_wei=tx.max_fee_per_gas_wei)


def ceiling_wei(tx: TransactionToSign) -> int:
    """The most a transaction may cost for being mined."""
    return tx.gas_limit * tx.fee_ceiling_per_gas_wei
