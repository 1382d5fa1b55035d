"""Commands of Uniswap's UniversalRouter, packed by codecs compiled from their signatures.

The router runs a row of one-byte commands, each with its own input. What a command leaves with the router the next ones
may use: `ALL` means all that it holds. V4 swaps are rows of actions of their own within one command.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from chain.codec import function, parameters
from dex.execution.contracts import RouterVersion
from dex.execution.permits import SignedPermit

ALL: Final = 1 << 255
TO_SENDER: Final = "0x0000000000000000000000000000000000000001"
TO_ROUTER: Final = "0x0000000000000000000000000000000000000002"
COIN: Final = "0x0000000000000000000000000000000000000000"

_EXECUTE: Final = function("execute(bytes commands, bytes[] inputs, uint256 deadline)")
_V3: Final = parameters("address recipient, uint256 first, uint256 second, bytes path, bool payerIsUser")
_V3_HOPS: Final = parameters("address to, uint256 first, uint256 second, bytes path, bool payer, uint256[] hops")
_V2: Final = parameters("address recipient, uint256 first, uint256 second, address[] path, bool payerIsUser")
_V2_HOPS: Final = parameters("address to, uint256 first, uint256 second, address[] path, bool payer, uint256[] hops")
_PERMIT: Final = parameters(
    "((address token, uint160 amount, uint48 expiration, uint48 nonce) details, address spender, uint256 sigDeadline)"
    " permit, bytes signature"
)
_MOVE: Final = parameters("address token, address recipient, uint256 amount")
_TO: Final = parameters("address recipient, uint256 amount")
_V4: Final = parameters("bytes actions, bytes[] inputs")
_HOP: Final = "(address currency, uint24 fee, int24 tickSpacing, address hooks, bytes hookData)[] path"
_V4_SWAP: Final = parameters(f"(address currency, {_HOP}, uint128 first, uint128 second) swap")
_V4_SWAP_HOPS: Final = parameters(f"(address currency, {_HOP}, uint256[] hops, uint128 first, uint128 second) swap")
_SETTLE: Final = parameters("address currency, uint256 amount, bool payerIsUser")
_SETTLE_ALL: Final = parameters("address currency, uint256 maximum")

_EXACT_IN, _EXACT_OUT, _PAY, _PAY_ALL, _TAKE = 0x07, 0x09, 0x0B, 0x0C, 0x0E


@dataclass(frozen=True, slots=True)
class V4Pool:
    """A hop's pool, as a V4 path names it."""

    token_in: str
    token_out: str
    fee_pips: int
    tick_spacing: int
    hooks: str


@dataclass(slots=True)
class Commands:
    """A row of commands in the making. Recipients: `TO_SENDER`, `TO_ROUTER` or an address."""

    version: RouterVersion
    codes: bytearray = field(default_factory=bytearray)
    inputs: list[bytes] = field(default_factory=list)

    def encode(self, deadline_s: int) -> bytes:
        """Give the call's data."""
        return _EXECUTE.encode(bytes(self.codes), self.inputs, deadline_s)

    def permit(self, signed: SignedPermit) -> None:
        """Give the router an allowance through Permit2."""
        permit = signed.permit
        details = (permit.token, permit.amount, permit.expires_s, permit.nonce)
        self._add(0x0A, _PERMIT.encode((details, permit.spender, permit.expires_s), signed.signature))

    def draw(self, token: str, amount: int) -> None:
        """Take tokens from the sender through Permit2 into the router."""
        self._add(0x02, _MOVE.encode(token, TO_ROUTER, amount))

    def wrap(self, recipient: str, amount: int) -> None:
        """Wrap coins that the router holds."""
        self._add(0x0B, _TO.encode(recipient, amount))

    def unwrap(self, recipient: str, least: int) -> None:
        """Unwrap all wrapped coins that the router holds."""
        self._add(0x0C, _TO.encode(recipient, least))

    def v2(self, path: Sequence[str], amounts: tuple[int, int], *, to: str, from_sender: bool, exact_out: bool) -> None:
        """Swap along V2 pairs: (exact input, least output), or (exact output, greatest input)."""
        code = 0x09 if exact_out else 0x08
        if self.version is RouterVersion.V2_1_1:
            self._add(code, _V2_HOPS.encode(to, *amounts, list(path), from_sender, []))
        else:
            self._add(code, _V2.encode(to, *amounts, list(path), from_sender))

    def v3(
        self,
        path: Sequence[str],
        fees: Sequence[int],
        amounts: tuple[int, int],
        *,
        to: str,
        from_sender: bool,
        exact_out: bool,
    ) -> None:
        """Swap along V3 pools; amounts as for `v2`."""
        packed = v3_path(path[::-1], fees[::-1]) if exact_out else v3_path(path, fees)
        code = 0x01 if exact_out else 0x00
        if self.version is RouterVersion.V2_1_1:
            self._add(code, _V3_HOPS.encode(to, *amounts, packed, from_sender, []))
        else:
            self._add(code, _V3.encode(to, *amounts, packed, from_sender))

    def v4(
        self, hops: Sequence[V4Pool], amounts: tuple[int, int], *, to: str, from_sender: bool, exact_out: bool
    ) -> None:
        """Swap along V4 pools; amounts as for `v2`. An input of `ALL` is what the router holds.

        The input is paid first where the router has it, and after the swap where the sender pays, who then pays what
        the swap needed and no more than its bound.
        """
        source, target = hops[0].token_in, hops[-1].token_out
        take = _MOVE.encode(target, to, 0)
        if exact_out:
            most = amounts[1]
            swap = self._v4_swap(target, [(hop.token_in, hop) for hop in hops], amounts)
            if from_sender:
                actions, inputs = bytes((_EXACT_OUT, _PAY_ALL, _TAKE)), [swap, _SETTLE_ALL.encode(source, most), take]
            else:
                actions, inputs = bytes((_EXACT_OUT, _PAY, _TAKE)), [swap, _SETTLE.encode(source, 0, False), take]
        else:
            amount, least = amounts
            given = 0 if amount == ALL else amount  # In a V4 swap 0 means all that was paid in.
            swap = self._v4_swap(source, [(hop.token_out, hop) for hop in hops], (given, least))
            if from_sender:
                actions, inputs = bytes((_EXACT_IN, _PAY_ALL, _TAKE)), [swap, _SETTLE_ALL.encode(source, amount), take]
            else:
                actions, inputs = bytes((_PAY, _EXACT_IN, _TAKE)), [_SETTLE.encode(source, amount, False), swap, take]
        self._add(0x10, _V4.encode(actions, inputs))

    def _v4_swap(self, currency: str, path: Sequence[tuple[str, V4Pool]], amounts: tuple[int, int]) -> bytes:
        keys = [(named, hop.fee_pips, hop.tick_spacing, hop.hooks, b"") for named, hop in path]
        if self.version is RouterVersion.V2_0:
            return _V4_SWAP.encode((currency, keys, *amounts))
        return _V4_SWAP_HOPS.encode((currency, keys, [], *amounts))

    def _add(self, code: int, content: bytes) -> None:
        self.codes.append(code)
        self.inputs.append(content)


def v3_path(tokens: Sequence[str], fees: Sequence[int]) -> bytes:
    """Pack token, fee, token, …, token."""
    packed = bytes.fromhex(tokens[0][2:])
    for fee, token in zip(fees, tokens[1:], strict=True):
        packed += fee.to_bytes(3, "big") + bytes.fromhex(token[2:])
    return packed
