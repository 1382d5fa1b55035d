"""The state that waiting transactions will leave: what to search on in order to follow them within their block.

Nothing of their calldata is interpreted. The node runs them, in the order in which they wait, on the replicas' block
(`eth_simulateV1`); what pools would log is applied to forks of our replicas. So any router is understood, and a swap
that would revert changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from chain import Call, ChainClient, FeeQuote, checksum
from chain.simulation import SimulatedBlock, simulate
from dex.replicas.base import PoolReplica
from dex.replicas.decoding import LogRoutes, decode_log
from domain.errors import InputError, Refused
from domain.ids import Address

_GAS_MAX: Final = 3_000_000
"""What needs more is no swap that we follow; all together must fit into a block."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A transaction that waits to be mined."""

    hash: str
    sender: Address
    priority_wei: int
    """What it pays the block's builder for a unit of gas, at most."""
    fee_max_wei: int
    """What it pays for a unit of gas altogether, at most."""
    call: Call


async def read_waiting(client: ChainClient, hashes: Sequence[str], base_fee_wei: int) -> list[Waiting]:
    """Ask a node for announced transactions, in this order; those that wait no longer, or are no calls, are left out.

    Raises:
        VenueUnavailable: The node does not answer.
    """
    answers = await client.batch([("eth_getTransactionByHash", [tx_hash]) for tx_hash in hashes])
    return [found for answer in answers if (found := _waiting(answer, base_fee_wei)) is not None]


def _waiting(answer: Any, base_fee_wei: int) -> Waiting | None:
    if not isinstance(answer, dict) or answer.get("blockNumber") or not answer.get("to"):
        return None
    gas = int(answer["gas"], 16)
    if gas > _GAS_MAX:
        return None
    fee_max = int(answer.get("maxFeePerGas") or answer["gasPrice"], 16)
    offered = int(answer.get("maxPriorityFeePerGas") or hex(fee_max), 16)
    call = Call(
        sender=checksum(answer["from"]),
        to=checksum(answer["to"]),
        data=bytes.fromhex(answer["input"][2:]),
        value_wei=int(answer["value"], 16),
        gas_limit=gas,
    )
    priority = min(offered, fee_max - base_fee_wei)
    return Waiting(answer["hash"], checksum(answer["from"]), priority, fee_max, call)


def comes_before(one: Waiting, fees: FeeQuote) -> bool:
    """Whether a transaction is taken into a block before one of ours with these fees.

    Builders take who pays them more first, or who came first; anvil goes by the whole fee instead. So both must hold.
    """
    return one.priority_wei >= fees.priority and one.fee_max_wei >= fees.max_fee


async def state_behind(
    client: ChainClient,
    waiting: Sequence[Waiting],
    routes: LogRoutes,
    replicas: Mapping[str, PoolReplica],
    block_number: int,
) -> dict[str, PoolReplica] | None:
    """Give forks of the replicas that waiting transactions would change, as they would be afterwards.

    None when that cannot be told: a pool's change cannot be followed.

    Raises:
        NodeRefused: The node does not simulate, or no longer on this block.
        VenueUnavailable: It does not answer.
    """
    (block,) = await simulate(client, [SimulatedBlock([one.call for one in waiting])], block_number)
    changed: dict[str, PoolReplica] = {}
    for call in block.calls:
        for log in call.logs if call.succeeded else ():
            spec = routes.find(log)
            if spec is None:
                continue
            fork = changed.get(spec.id) or _fork(replicas[spec.id])
            if fork is None:
                return None
            try:
                event = decode_log(spec, log, 0, fork)
            except InputError:
                return None
            if event is not None:
                # Nodes number what they imagine differently; for the replica it comes after its block.
                fork.apply(msgspec.structs.replace(event, block_number=block_number + 1))
                changed[spec.id] = fork
                if not fork.is_valid:
                    return None
    return changed


def _fork(replica: PoolReplica) -> PoolReplica | None:
    """Give a copy that may be changed: the state one unit's swap leaves, which the log then replaces."""
    if not replica.is_valid:
        return None
    try:
        return replica.after_exact_in(replica.tokens[0], 1, replica.tokens[1])
    except (Refused, InputError):
        return None
