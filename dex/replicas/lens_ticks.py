"""Snapshots of V3 and V4 pools, which may need several pages: every initialised tick is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from chain import ChainClient, NodeRefused
from chain.abi import address_at, address_word, int_at, int_word, uint_at, uint_word
from chain.client import state_param
from dex.pools import PoolSpec
from dex.replicas.lens_code import lens_code
from domain.errors import InputError, InvariantError
from domain.events import PoolSnapshotted

_TICKS_PER_CALL: Final = 600
_TICK_BYTES: Final = 35
_BEGINNING: Final = -(2**23)
_PAGES_MAX: Final = 200
"""A spacing of 1 has 6,932 words; even word by word of gas, a pool never needs so many pages."""


@dataclass(slots=True)
class _Read:
    """One pool's pages so far."""

    spec: PoolSpec
    next_word: int = _BEGINNING
    head: bytes = b""
    ticks: bytes = b""
    is_done: bool = False

    @property
    def request(self) -> bytes:
        """The lens with its arguments, for the page after those read."""
        address, rest = address_word(self.spec.address), int_word(self.next_word) + uint_word(_TICKS_PER_CALL)
        if self.spec.kind == "v3":
            return lens_code("V3PoolLens") + address + rest
        key = bytes.fromhex(self.spec.pool_id[2:]) + int_word(self.spec.tick_spacing)
        return lens_code("V4PoolLens") + address + key + rest

    def take(self, page: bytes) -> None:
        """Add a page.

        Raises:
            InvariantError: The lens made no progress.
        """
        # The struct's members in order; the walk's end stands before the ticks, which come last.
        word = 8 if self.spec.kind == "v3" else 6
        next_word, last_word = int_at(page, word), int_at(page, word + 1)
        if next_word <= self.next_word:
            raise InvariantError(f"pool {self.spec.id}: the lens made no progress at word {next_word}")
        at = uint_at(page, word + 2)
        length = uint_at(page[at:], 0)
        self.head = page
        self.ticks += page[at + 32 : at + 32 + length]
        self.next_word = next_word
        self.is_done = next_word > last_word


async def read_tick_pools(
    client: ChainClient, specs: Sequence[PoolSpec], block_hash: str, block_number: int, time_ns: int
) -> list[PoolSnapshotted]:
    """Read page after page, the same page of all pools in one batch.

    Raises:
        NodeRefused: The node does not know the block, or an address is no such pool.
        InputError: A pool is not what its configuration says.
    """
    reads = [_Read(spec) for spec in specs]
    for _ in range(_PAGES_MAX):
        open_reads = [read for read in reads if not read.is_done]
        if not open_reads:
            return [_snapshot(read, block_number, time_ns) for read in reads]
        requests: list[tuple[str, list[Any]]] = [
            ("eth_call", [{"data": "0x" + read.request.hex()}, state_param(block_hash)]) for read in open_reads
        ]
        for read, answer in zip(open_reads, await client.batch(requests), strict=True):
            if isinstance(answer, NodeRefused):
                raise answer
            read.take(bytes.fromhex(answer[2:])[32:])
    raise InvariantError(f"a pool's bitmap did not end in {_PAGES_MAX} pages")


def _snapshot(read: _Read, block_number: int, time_ns: int) -> PoolSnapshotted:
    spec, head = read.spec, read.head
    if spec.kind == "v3":
        ensure_tokens(spec, (address_at(head, 1), address_at(head, 2)))
        fee, protocol_fee, spacing = uint_at(head, 3), 0, int_at(head, 4)
        price, tick, liquidity = 5, 6, 7
    else:
        fee, protocol_fee, spacing = uint_at(head, 4), uint_at(head, 3), spec.tick_spacing
        price, tick, liquidity = 1, 2, 5
    if fee != spec.fee_pips:
        raise InputError(f"pool {spec.id} charges {fee} pips, configured are {spec.fee_pips}")
    ticks, gross = [], []
    for offset in range(0, len(read.ticks), _TICK_BYTES):
        entry = read.ticks[offset : offset + _TICK_BYTES]
        ticks.append(
            (int.from_bytes(entry[:3], "big", signed=True), str(int.from_bytes(entry[3:19], "big", signed=True)))
        )
        gross.append(str(int.from_bytes(entry[19:], "big")))
    return PoolSnapshotted(
        time_ns=time_ns,
        pool=spec.id,
        block_number=block_number,
        kind=spec.kind,
        token0=spec.token0.id,
        token1=spec.token1.id,
        fee_pips=spec.fee_pips,
        tick_spacing=spacing,
        sqrt_price_x96=str(uint_at(head, price)),
        tick=int_at(head, tick),
        liquidity=str(uint_at(head, liquidity)),
        ticks=tuple(ticks),
        ticks_gross=tuple(gross),
        protocol_fees_pips=(protocol_fee & 0xFFF, protocol_fee >> 12),
    )


def ensure_tokens(spec: PoolSpec, found: tuple[str, ...]) -> None:
    """Check that a pool trades what its configuration says.

    Raises:
        InputError: It does not.
    """
    expected = tuple(address for _, address in spec.tokens)
    if found != expected:
        raise InputError(f"pool {spec.id} trades {'/'.join(found)}, configured are {'/'.join(expected)}")
