"""Quotes of pools that only the chain can price: V4 pools with swap hooks or a dynamic fee, asked of `V4Quoter`.

A hook is code of anybody's: what it answers now it need not answer in the swap. Such quotes are labelled (`by_call`),
and only the minimum in the swap itself protects whoever relies on one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from chain import ChainClient, NodeRefused
from chain.abi import Dynamic, bytes_words, compose, selector, uint_at, uint_word
from chain.client import state_param
from dex.pools import PoolSpec, v4_key
from domain.errors import InputError, Refused
from domain.ids import Address

_SINGLE: Final = "(((address,address,uint24,int24,address),bool,uint128,bytes))"
_EXACT_IN: Final = selector("quoteExactInputSingle" + _SINGLE)
_EXACT_OUT: Final = selector("quoteExactOutputSingle" + _SINGLE)
_MAX_AMOUNT: Final = (1 << 128) - 1


@dataclass(frozen=True, slots=True)
class CallQuote:
    """A question to the chain: what does `amount` of `token` (an asset id) give, or with `is_exact_out` cost?"""

    pool: PoolSpec
    token: str
    """What comes in; of an exact-output question what goes out."""
    amount: int
    is_exact_out: bool = False


async def quotes_by_call(
    client: ChainClient, quoter: Address, questions: Sequence[CallQuote], block: str = "latest"
) -> list[int | Refused]:
    """Ask `V4Quoter` many questions at one block, a block's hash or a tag, in one batch.

    A swap that the pool or its hook would revert comes back as `Refused` (`by_call`).

    Raises:
        InputError: A pool that is not of V4, or an amount that no swap can have.
        VenueUnavailable: No node answers.
    """
    requests: list[tuple[str, list[Any]]] = [
        ("eth_call", [{"to": quoter, "data": "0x" + _call(question).hex()}, state_param(block)])
        for question in questions
    ]
    if not requests:
        return []
    answers: list[int | Refused] = []
    for question, answer in zip(questions, await client.batch(requests), strict=True):
        if isinstance(answer, NodeRefused):
            reason = f"pool {question.pool.id} gives no quote for {question.amount} of {question.token}: {answer}"
            answers.append(Refused(reason, rule="by_call"))
        else:
            answers.append(uint_at(bytes.fromhex(answer[2:]), 0))
    return answers


def _call(question: CallQuote) -> bytes:
    if not 0 < question.amount <= _MAX_AMOUNT:
        raise InputError(f"pool {question.pool.id}: {question.amount} is no amount of a swap")
    is_zero = question.pool.address_of(question.token) == question.pool.token0_address
    zero_for_one = is_zero != question.is_exact_out
    body = compose(
        v4_key(question.pool), uint_word(int(zero_for_one)), uint_word(question.amount), Dynamic(bytes_words(b""))
    )
    return (_EXACT_OUT if question.is_exact_out else _EXACT_IN) + compose(Dynamic(body))
