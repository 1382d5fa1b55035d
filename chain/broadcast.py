"""Sending signed bytes to every node. The bytes are the same wherever they go: one that knows them has taken them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final, TypeAlias

from chain.endpoints import Endpoint
from chain.errors import BroadcastRejected, NodeRefused, NonceTooLow, broadcast_rejection
from chain.keccak import keccak256
from chain.rpc import JsonRpc, NoAnswer
from chain.survey import ask_in_parts
from domain.errors import OutcomeUnknown, PlatformError, VenueUnavailable

_LAGGARDS_S: Final = 1.0
"""How long the slower nodes are waited for once one has answered."""

Sent: TypeAlias = PlatformError | None
"""None: a node has taken it. Otherwise `BroadcastRejected`, `OutcomeUnknown` or `VenueUnavailable`, as raised alone."""


async def broadcast(rpc: JsonRpc, raws: Sequence[bytes]) -> list[Sent]:
    """Give every node all of these transactions, in order; tell for each how it went."""
    if not raws:
        return []
    questions = [("eth_sendRawTransaction", ("0x" + raw.hex(),)) for raw in raws]

    async def ask(endpoint: Endpoint) -> list[object]:
        try:
            return await ask_in_parts(rpc, endpoint, questions)
        except NoAnswer as exc:
            return [exc] * len(raws)

    tasks = [asyncio.create_task(ask(endpoint), name="chain.broadcast") for endpoint in rpc.in_order()]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        done, late = await asyncio.wait(tasks, timeout=_LAGGARDS_S)
    finally:
        for task in tasks:
            task.cancel()
    answers = [task.result() for task in tasks if task in done]
    unsure = NoAnswer("a node has not answered yet", may_have_arrived=True)
    answers += [[unsure] * len(raws) for _ in late]
    return [await _judge(rpc, raw, [given[number] for given in answers]) for number, raw in enumerate(raws)]


async def _judge(rpc: JsonRpc, raw: bytes, answers: Sequence[object]) -> Sent:
    tx_hash = "0x" + keccak256(raw).hex()
    refusals = [answer for answer in answers if isinstance(answer, NodeRefused)]
    silent = [answer for answer in answers if isinstance(answer, NoAnswer)]
    if len(refusals) + len(silent) < len(answers) or any(_is_known(refusal) for refusal in refusals):
        return None
    rejections = [broadcast_rejection(refusal.code, _bare_message(refusal)) for refusal in refusals]
    if any(isinstance(rejection, NonceTooLow) for rejection in rejections):
        # Its nonce is used, perhaps by itself: sent again after it was mined.
        try:
            known = await rpc.request("eth_getTransactionByHash", tx_hash)
        except (VenueUnavailable, NodeRefused):
            return OutcomeUnknown(
                f"transaction {tx_hash}: its nonce is used, and the node would not say by which", request_id=tx_hash
            )
        if known is not None:
            return None
    if any(answer.may_have_arrived for answer in silent):
        return OutcomeUnknown(f"transaction {tx_hash} may have been broadcast", request_id=tx_hash)
    if not rejections:
        return VenueUnavailable(f"transaction {tx_hash} reached no node: " + "; ".join(map(str, silent)))
    return _gravest(rejections)


def _gravest(rejections: Sequence[BroadcastRejected]) -> BroadcastRejected:
    """Of several nodes' reasons the one that says most: a used nonce, then any that has a name, then the rest."""

    def weight(rejection: BroadcastRejected) -> int:
        return 0 if isinstance(rejection, NonceTooLow) else 1 if type(rejection) is not BroadcastRejected else 2

    return min(rejections, key=weight)


def _is_known(refusal: NodeRefused) -> bool:
    text = str(refusal).lower()
    return "already known" in text or "already imported" in text or "known transaction" in text


def _bare_message(refusal: NodeRefused) -> str:
    return str(refusal).removeprefix("the node refused: ")
