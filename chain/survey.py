"""What several nodes say about one account at one moment, and what of it may be believed.

Money is booked by what a quorum says: two nodes where two or more are configured, the only one where there is one. A
node that lies or lags can delay a survey's yes, never cause one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from chain.endpoints import Endpoint
from chain.errors import NodeRefused
from chain.records import Block, Receipt, block_from, receipt_from
from chain.rpc import JsonRpc, NoAnswer, Request
from domain.errors import VenueUnavailable

QUORUM: Final = 2
BATCH_MAX: Final = 250
"""Questions in one round trip: nodes bound the size of batches."""


@dataclass(frozen=True, slots=True)
class View:
    """One node's answers."""

    head: Block
    finalized: int | None
    """Its finalized block's number; None where the chain has no such tag."""
    nonce: int
    pending: int
    """With what waits in its pool."""
    receipts: Mapping[str, Receipt]
    """Of the transactions asked about, those it has in a block."""
    hashes: Mapping[int, str]
    """Hashes of blocks on its chain by number: of those asked about, and of those that hold a receipt."""


@dataclass(frozen=True, slots=True)
class Survey:
    """The answers of every node that gave some, at least a quorum of them."""

    views: tuple[View, ...]
    quorum: int
    _head: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_head", self._backed(int(view.head.number) for view in self.views))

    @property
    def head(self) -> int:
        """The highest block that a quorum has reached."""
        return self._head

    @property
    def time_s(self) -> int:
        """The chain's time: of the latest head that a quorum has reached."""
        return self._backed(view.head.time_s for view in self.views)

    @property
    def nonce(self) -> int:
        """The account's next nonce: the highest that a quorum has counted to. One node alone cannot push it up."""
        return self._backed(view.nonce for view in self.views)

    @property
    def pending(self) -> int:
        """The next nonce behind what waits in the pools, counted likewise."""
        return max(self.nonce, self._backed(view.pending for view in self.views))

    def finalized(self, depth: int) -> int:
        """The highest final block: by the chain's own tag, or `depth` blocks below the head where it has none."""
        return self._backed(
            view.head.number - depth if view.finalized is None else view.finalized for view in self.views
        )

    def inclusion(self, tx_hash: str) -> Receipt | None:
        """A transaction's receipt, when a quorum gives the same one and has its block on its chain."""
        given: dict[Receipt, int] = {}
        for view in self.views:
            receipt = view.receipts.get(tx_hash)
            if receipt is not None and view.hashes.get(int(receipt.block_number)) == receipt.block_hash:
                given[receipt] = given.get(receipt, 0) + 1
        return next((receipt for receipt, votes in given.items() if votes >= self.quorum), None)

    def is_undone(self, number: int, block_hash: str) -> bool:
        """Whether a block that was asked about has left the chain.

        A quorum must have another block in its place, or nobody have this one any more.
        """
        found = [view.hashes.get(number) for view in self.views]
        others = sum(1 for there in found if there not in (None, block_hash))
        return others >= self.quorum or block_hash not in found

    def _backed(self, values: Iterable[int]) -> int:
        """The highest value that a quorum reaches or exceeds."""
        return sorted(values, reverse=True)[self.quorum - 1]


def quorum_of(rpc: JsonRpc) -> int:
    """How many nodes must agree."""
    return min(QUORUM, len(rpc.endpoints))


async def survey(rpc: JsonRpc, address: str, tx_hashes: Sequence[str], blocks: Collection[int]) -> Survey:
    """Ask every node, in a few round trips however much is asked.

    Raises:
        VenueUnavailable: Fewer nodes than a quorum answered.
    """
    views, failures = await _everywhere(rpc, lambda endpoint: _view(rpc, endpoint, address, tx_hashes, sorted(blocks)))
    needed = quorum_of(rpc)
    if len(views) < needed:
        raise VenueUnavailable(f"{len(views)} of the {needed} nodes needed have answered: " + "; ".join(failures))
    return Survey(tuple(views), needed)


async def agreed_nonce(rpc: JsonRpc, address: str, number: int) -> int:
    """Count an account's transactions up to a block: the highest count that a quorum reaches.

    Raises:
        VenueUnavailable: Fewer nodes than a quorum answered.
    """

    async def ask(endpoint: Endpoint) -> int:
        answer = (await rpc.ask(endpoint, [("eth_getTransactionCount", (address, hex(number)))]))[0]
        if isinstance(answer, NodeRefused):
            raise NoAnswer(str(answer), may_have_arrived=False)
        return int(answer, 16)

    counts, failures = await _everywhere(rpc, ask)
    needed = quorum_of(rpc)
    if len(counts) < needed:
        raise VenueUnavailable(f"{len(counts)} of the {needed} nodes needed have answered: " + "; ".join(failures))
    return int(sorted(counts, reverse=True)[needed - 1])


async def ask_in_parts(rpc: JsonRpc, endpoint: Endpoint, requests: Sequence[Request]) -> list[Any]:
    """Ask one node many questions, in batches it will take.

    Raises:
        NoAnswer: A batch was not answered.
    """
    parts = [requests[start : start + BATCH_MAX] for start in range(0, len(requests), BATCH_MAX)]
    answers = await asyncio.gather(*(rpc.ask(endpoint, part) for part in parts))
    return [answer for part in answers for answer in part]


async def _everywhere(rpc: JsonRpc, ask: Any) -> tuple[list[Any], list[str]]:
    found = await asyncio.gather(*(ask(endpoint) for endpoint in rpc.endpoints), return_exceptions=True)
    answers, failures = [], []
    for outcome in found:
        if isinstance(outcome, NoAnswer):
            failures.append(str(outcome))
        elif isinstance(outcome, BaseException):
            raise outcome
        else:
            answers.append(outcome)
    return answers, failures


async def _view(
    rpc: JsonRpc, endpoint: Endpoint, address: str, tx_hashes: Sequence[str], blocks: Sequence[int]
) -> View:
    questions: list[Request] = [
        ("eth_getBlockByNumber", ("latest", False)),
        ("eth_getBlockByNumber", ("finalized", False)),
        ("eth_getTransactionCount", (address, "latest")),
        ("eth_getTransactionCount", (address, "pending")),
        *(("eth_getTransactionReceipt", (tx_hash,)) for tx_hash in tx_hashes),
        *(("eth_getBlockByNumber", (hex(number), False)) for number in blocks),
    ]
    head, finalized, nonce, pending, *rest = await ask_in_parts(rpc, endpoint, questions)
    if isinstance(pending, NodeRefused):
        pending = nonce  # Some nodes show nobody their pool.
    for answer in (head, nonce, pending):
        if answer is None or isinstance(answer, NodeRefused):
            raise NoAnswer(f"the node does not tell its head: {answer}", may_have_arrived=False)
    receipts = {
        tx_hash: receipt_from(answer)
        for tx_hash, answer in zip(tx_hashes, rest, strict=False)
        if answer is not None and not isinstance(answer, NodeRefused)
    }
    hashes = _hashes(blocks, rest[len(tx_hashes) :])
    missing = sorted({int(receipt.block_number) for receipt in receipts.values()} - set(blocks))
    if missing:
        headers = await ask_in_parts(rpc, endpoint, [("eth_getBlockByNumber", (hex(n), False)) for n in missing])
        hashes |= _hashes(missing, headers)
    return View(
        head=block_from(head),
        finalized=None if finalized is None or isinstance(finalized, NodeRefused) else int(finalized["number"], 16),
        nonce=int(nonce, 16),
        pending=int(pending, 16),
        receipts=receipts,
        hashes=hashes,
    )


def _hashes(numbers: Sequence[int], answers: Sequence[Any]) -> dict[int, str]:
    return {
        number: str(answer["hash"])
        for number, answer in zip(numbers, answers, strict=True)
        if answer is not None and not isinstance(answer, NodeRefused)
    }
