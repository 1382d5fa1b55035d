"""What does not fit 64 bytes: pool states, swap requests and settlements, as little-endian bytes.

The other side is native/engine/src/payload.rs.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

from domain import InputError, InvariantError
from domain import events as e

_I128_MAX: Final = 1 << 127
_TICK: Final = 4 + 16 + 16
_SWAP: Final = struct.Struct("<IB32s32sq")
STATUSES: Final = {"mined": 1, "failed": 2, "refused": 3}


def pool_payload(event: e.PoolEvent) -> bytes:
    """A pool's state, or a change of it.

    Raises:
        InputError: A number that no pool can hold, or a pool of a kind that the kernel does not know.
    """
    match event:
        case e.PoolSnapshotted(kind="v2"):
            return b"\x01" + _u256(event.reserve0) + _u256(event.reserve1)
        case e.PoolSnapshotted(kind="v3"):
            if len(event.ticks) != len(event.ticks_gross):
                raise InputError(f"{event.pool}: {len(event.ticks)} ticks, but gross of {len(event.ticks_gross)}")
            ticks = b"".join(
                tick.to_bytes(4, "little", signed=True) + _i128(net) + _u128(gross)
                for (tick, net), gross in zip(event.ticks, event.ticks_gross, strict=True)
            )
            head = _slot(event.sqrt_price_x96, event.tick, event.liquidity)
            return b"\x03" + head + struct.pack("<iI", event.tick_spacing, len(event.ticks)) + ticks
        case e.PoolSynced():
            return b"\x02" + _u256(event.reserve0) + _u256(event.reserve1)
        case e.PoolSwapped():
            return b"\x04" + _slot(event.sqrt_price_x96, event.tick, event.liquidity)
        case e.PoolLiquidityChanged():
            return b"\x05" + struct.pack("<ii", event.tick_lower, event.tick_upper) + _i128(event.liquidity_delta)
        case e.PoolInvalidated():
            return b"\x06" + event.reason.encode()
    kind = event.kind if isinstance(event, e.PoolSnapshotted) else "stable or weighted"
    raise InputError(f"{event.pool}: the engine's kernel knows no {kind} pools")


def settlement_payload(event: e.SwapSettled) -> bytes:
    """What became of a swap.

    Raises:
        InvariantError: A status that is none.
    """
    status = STATUSES.get(event.status)
    if status is None:
        raise InvariantError(f"swap {event.intent_id}: {event.status!r} is no end of a swap")
    tx_hash = bytes.fromhex(event.tx_hash.removeprefix("0x")).rjust(32, b"\0")
    amounts = b"".join(_u256(raw) for raw in (event.amount_in, event.amount_out, event.gas_cost_wei))
    return bytes([status]) + amounts + event.block_number.to_bytes(8, "little") + tx_hash + event.reason.encode()


@dataclass(frozen=True, slots=True)
class SwapRequest:
    """What custody is asked for: exact input, bounded output. `pool` is the pool's place."""

    pool: int
    is_zero_for_one: bool
    amount_in: int
    amount_out_min: int
    deadline_s: int

    def to_bytes(self) -> bytes:
        amounts = (_u256(self.amount_in), _u256(self.amount_out_min))
        return _SWAP.pack(self.pool, int(self.is_zero_for_one), *amounts, self.deadline_s)

    @classmethod
    def from_bytes(cls, payload: bytes) -> SwapRequest:
        """Read a request.

        Raises:
            InvariantError: It is not one.
        """
        if len(payload) != _SWAP.size:
            raise InvariantError(f"a swap request has {_SWAP.size} bytes, found {len(payload)}")
        pool, direction, amount_in, minimum, deadline_s = _SWAP.unpack(payload)
        if direction > 1:
            raise InvariantError(f"a swap's direction is 0 or 1, found {direction}")
        return cls(
            pool, bool(direction), int.from_bytes(amount_in, "little"), int.from_bytes(minimum, "little"), deadline_s
        )


def _slot(sqrt_price: str, tick: int, liquidity: str) -> bytes:
    return _u256(sqrt_price) + tick.to_bytes(4, "little", signed=True) + _u128(liquidity)


def _u256(value: str | int) -> bytes:
    return _unsigned(int(value), 32)


def _u128(value: str | int) -> bytes:
    return _unsigned(int(value), 16)


def _unsigned(value: int, size: int) -> bytes:
    if not 0 <= value < 1 << 8 * size:
        raise InputError(f"{value} does not fit {8 * size} bits")
    return value.to_bytes(size, "little")


def _i128(value: str | int) -> bytes:
    return i128(int(value))


def i128(value: int) -> bytes:
    """Sixteen bytes of a signed amount.

    Raises:
        InputError: It is larger.
    """
    if not -_I128_MAX <= value < _I128_MAX:
        raise InputError(f"{value} does not fit 128 bits")
    return value.to_bytes(16, "little", signed=True)
