"""What happened to a position, from the chain's logs: its owner's transactions, and the prices its pool has had."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Final

from chain import ChainClient, Log, Receipt
from chain.abi import address_word, int_at, selector, topic, uint_at, uint_word
from dex.liquidity.accounting import Flow, Move
from dex.liquidity.contracts import PositionContracts
from dex.liquidity.maths import amounts_down, amounts_up
from dex.liquidity.positions import Position
from domain.ids import Address

_INCREASE: Final = topic("IncreaseLiquidity(uint256,uint128,uint256,uint256)")
_DECREASE: Final = topic("DecreaseLiquidity(uint256,uint128,uint256,uint256)")
_COLLECT: Final = topic("Collect(uint256,address,uint256,uint256)")
_MODIFY: Final = topic("ModifyLiquidity(bytes32,address,int24,int24,int256,bytes32)")
_SWAP_V3: Final = topic("Swap(address,address,int256,int256,uint160,uint128,int24)")
_SWAP_V4: Final = topic("Swap(bytes32,address,int128,int128,uint160,uint128,int24,uint24)")
_TRANSFER: Final = topic("Transfer(address,address,uint256)")
_V4_SLOT0: Final = selector("getSlot0(bytes32)")
_SLOT0: Final = selector("slot0()")


async def read_flows(
    client: ChainClient, contracts: PositionContracts, position: Position, *, from_block: int = 0
) -> list[Flow]:
    """Read every transaction of a position, in order.

    V3 tells principal and fees apart. V4 does not: what its owner got or paid is exact, and the principal is reckoned
    at the price at the end of the block, so where others traded in the same block after it, a little of one may be
    counted as the other.
    """
    if position.id.kind == "v3":
        return await _v3_flows(client, contracts, position, from_block)
    return await _v4_flows(client, contracts, position, from_block)


async def read_path(
    client: ChainClient, contracts: PositionContracts, position: Position, *, first: Flow
) -> list[Move]:
    """Read every price the position's pool had since a flow, and the one it had before."""
    spec, block = position.pool.spec, position.pool.block_number
    if spec.kind == "v3":
        where, topics = spec.address, [_SWAP_V3]
        slot0 = await client.call(spec.address, _SLOT0, first.block_number)
    else:
        where, topics = contracts.need("v4_pools"), [_SWAP_V4, spec.pool_id]
        data = _V4_SLOT0 + bytes.fromhex(spec.pool_id[2:])
        slot0 = await client.call(contracts.need("v4_state"), data, first.block_number)
    logs = await client.logs(addresses=[where], topics=topics, from_block=first.block_number, to_block=block)
    # Liquidity that comes and goes does not move a price: that of the first block's end is the one it began with.
    began = Move((first.block_number, -1), uint_at(slot0, 0))
    later = [log for log in logs if log.block_number > first.block_number]
    return [began, *(Move((log.block_number, log.index), uint_at(log.data, 2)) for log in later)]


async def _v3_flows(
    client: ChainClient, contracts: PositionContracts, position: Position, from_block: int
) -> list[Flow]:
    number = "0x" + uint_word(position.id.number).hex()
    logs = await client.logs(
        addresses=[contracts.need("v3")],
        topics=[[_INCREASE, _DECREASE, _COLLECT], number],
        from_block=from_block,
        to_block=position.pool.block_number,
    )
    flows = []
    for tx_hash, group in _by_transaction(logs):
        liquidity, principal, fees = 0, [0, 0], [0, 0]
        for log in group:
            raw = uint_at(log.data, 1), uint_at(log.data, 2)
            if log.topics[0] == _COLLECT:
                # Collected is what was taken out before and the fees; the principal is counted where it is taken out.
                fees = [fee + part for fee, part in zip(fees, raw, strict=True)]
                continue
            sign = -1 if log.topics[0] == _INCREASE else 1
            liquidity -= sign * uint_at(log.data, 0)
            principal = [total + sign * part for total, part in zip(principal, raw, strict=True)]
            if sign > 0:
                fees = [fee - part for fee, part in zip(fees, raw, strict=True)]
        first = group[0]
        flows.append(
            Flow(
                first.block_number,
                tx_hash,
                (first.block_number, first.index),
                liquidity,
                (principal[0], principal[1]),
                (fees[0], fees[1]),
            )
        )
    return flows


async def _v4_flows(
    client: ChainClient, contracts: PositionContracts, position: Position, from_block: int
) -> list[Flow]:
    spec, manager = position.pool.spec, contracts.need("v4")
    logs = await client.logs(
        addresses=[contracts.need("v4_pools")],
        topics=[_MODIFY, spec.pool_id, "0x" + address_word(manager).hex()],
        from_block=from_block,
        to_block=position.pool.block_number,
    )
    own = [log for log in logs if uint_at(log.data, 3) == position.id.number]
    flows = []
    for tx_hash, group in _by_transaction(own):
        first, liquidity = group[0], sum(int_at(log.data, 2) for log in group)
        data = _V4_SLOT0 + bytes.fromhex(spec.pool_id[2:])
        slot0 = await client.call(contracts.need("v4_state"), data, first.block_hash)
        price, tick = uint_at(slot0, 0), int_at(slot0, 1)
        if liquidity > 0:
            taken = amounts_up(price, tick, position.span, liquidity)
            principal = -taken[0], -taken[1]
        else:
            principal = amounts_down(price, tick, position.span, -liquidity)
        receipt = await client.wait_receipt(tx_hash)
        amounts = [gained(receipt, contracts.paid_as(spec, k), position.owner) for k in (0, 1)]
        fees = amounts[0] - principal[0], amounts[1] - principal[1]
        order = (first.block_number, first.index)
        flows.append(Flow(first.block_number, tx_hash, order, liquidity, principal, fees))
    return flows


def _by_transaction(logs: Sequence[Log]) -> list[tuple[str, list[Log]]]:
    groups: dict[str, list[Log]] = defaultdict(list)
    for log in logs:
        groups[log.tx_hash].append(log)
    return list(groups.items())


def gained(receipt: Receipt, token: Address, account: Address) -> int:
    """Raw units of a token that a transaction brought an account (negative: took from it), by its Transfer logs."""
    me, total = account[2:].lower(), 0
    for log in receipt.logs:
        if log.address == token and len(log.topics) == 3 and log.topics[0] == _TRANSFER:
            raw = uint_at(log.data, 0)
            total += raw * (log.topics[2].lower().endswith(me)) - raw * (log.topics[1].lower().endswith(me))
    return total
