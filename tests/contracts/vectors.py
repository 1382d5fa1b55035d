"""What Python expects of the executor, as vectors that forge checks: pools derived, calls packed, profits to the unit.

`python -m tests.contracts.vectors` writes contracts/test/vectors/arb_executor.json; `test_vectors` says when to.
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any, Final

from chain import parse_address
from dex import V2Pool, V3Pool
from dex.arbitrage.executor import EXECUTE
from dex.contracts import V2_INIT_CODE_HASH, V3_INIT_CODE_HASH, pair_address_v2, pool_address_v3
from dex.replicas.tick_math import sqrt_price_at
from domain import Refused
from domain.events import PoolSnapshotted
from domain.ids import Address

FILE: Final = Path(__file__).resolve().parents[2] / "contracts/test/vectors/arb_executor.json"
_SPACING: Final = {500: 10, 3000: 60, 10_000: 200}
_TICK_MAX: Final = 887_272


def vectors() -> dict[str, Any]:
    """Make all of them, always the same."""
    chance = random.Random(20_261_126)
    return {
        "pools": [_pool(chance) for _ in range(12)],
        "calls": [_call(chance, steps) for steps in range(5)],
        "cycles": [_cycle(chance) for _ in range(60)],
    }


def _pool(chance: random.Random) -> dict[str, Any]:
    factory, a, b = (_address(chance) for _ in range(3))
    fee = chance.choice(list(_SPACING))
    return {
        "factory": factory,
        "a": a,
        "b": b,
        "fee": fee,
        "pair": pair_address_v2(factory, a, b, init_code_hash=V2_INIT_CODE_HASH),
        "pool": pool_address_v3(factory, a, b, fee, init_code_hash=V3_INIT_CODE_HASH),
    }


def _call(chance: random.Random, count: int) -> dict[str, Any]:
    token, amount, deadline = _address(chance), chance.getrandbits(200), chance.getrandbits(40)
    head = (
        chance.randrange(6),
        token,
        amount,
        chance.getrandbits(90),
        deadline,
        chance.getrandbits(30),
        chance.randrange(10_001),
        _address(chance),
        chance.getrandbits(24),
    )
    steps = [
        (
            chance.randrange(6),
            *(_address(chance) for _ in range(3)),
            chance.getrandbits(24),
            chance.randint(-(2**23), 2**23 - 1),
            chance.randbytes(32),
        )
        for _ in range(count)
    ]
    packed = EXECUTE.encode(head, steps)
    return {
        "token": token,
        "amount": str(amount),
        "deadline": str(deadline),
        "steps": count,
        "data": "0x" + packed.hex(),
    }


def _cycle(chance: random.Random) -> dict[str, Any]:
    """A V2 pair and a V3 pool of one position over all prices, a few percent apart, and a cycle over both."""
    fee, tick = chance.choice(list(_SPACING)), chance.randint(-60_000, 60_000)
    edge = _TICK_MAX // _SPACING[fee] * _SPACING[fee]
    liquidity = int(10 ** chance.uniform(15, 24))
    price = sqrt_price_at(tick)
    reserve0 = max(10_000, liquidity * 2**96 // price)
    reserve1 = max(10_000, liquidity * price // 2**96 * chance.randint(9000, 11_000) // 10_000)
    pair, pool = V2Pool("v2", "t0", "t1"), V3Pool("v3", "t0", "t1", fee)
    pair.apply(_snapshot("v2", "v2", 3000, reserve0=str(reserve0), reserve1=str(reserve1)))
    pool.apply(
        _snapshot(
            "v3",
            "v3",
            fee,
            sqrt_price_x96=str(price),
            tick=tick,
            liquidity=str(liquidity),
            tick_spacing=_SPACING[fee],
            ticks=((-edge, str(liquidity)), (edge, str(-liquidity))),
            ticks_gross=(str(liquidity), str(liquidity)),
        )
    )
    is_v3_first, is_from0 = chance.random() < 0.5, chance.random() < 0.5
    amount = max(1, (reserve0 if is_from0 else reserve1) * chance.randint(1, 300) // 10_000)
    first, second = (pool, pair) if is_v3_first else (pair, pool)
    token, other = ("t0", "t1") if is_from0 else ("t1", "t0")
    try:
        profit = second.quote_exact_in_down(other, first.quote_exact_in_down(token, amount)) - amount
    except Refused:
        profit = -amount
    return {
        "fee": fee,
        "edge": edge,
        "price": str(price),
        "liquidity": str(liquidity),
        "reserve0": str(reserve0),
        "reserve1": str(reserve1),
        "isV3First": is_v3_first,
        "isFrom0": is_from0,
        "amount": str(amount),
        "profit": str(profit),
    }


def _snapshot(pool: str, kind: str, fee: int, **state: Any) -> PoolSnapshotted:
    return PoolSnapshotted(
        time_ns=0, pool=pool, block_number=1, kind=kind, token0="t0", token1="t1", fee_pips=fee, **state
    )


def _address(chance: random.Random) -> Address:
    return parse_address("0x" + chance.randbytes(20).hex())


if __name__ == "__main__":
    FILE.write_text(json.dumps(vectors(), indent=1) + "\n")
    print(f"{FILE.name} is written")
