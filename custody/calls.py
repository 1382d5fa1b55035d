"""Reading calldata: what a call would do, from its own bytes. Whatever is not understood completely is refused.

A call is decoded and encoded again; if the bytes differ, it is refused. So nothing hides in trailing bytes, overlapping
tails or dirty padding that another reader would understand in another way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from eth_abi.abi import decode, encode

from chain import checksum, keccak256
from domain import Address, Refused

# The routers' stand-ins for addresses: zero is SwapRouter itself, the others are SwapRouter02's (Constants.sol).
_ZERO: Final = "0x0000000000000000000000000000000000000000"
_MSG_SENDER: Final = "0x0000000000000000000000000000000000000001"
_ROUTER_ITSELF: Final = "0x0000000000000000000000000000000000000002"


@dataclass(frozen=True, slots=True)
class DecodedCall:
    """What a call would do, in raw token units by token address."""

    method: str
    """The outermost method's name; for a batch, the name of what is batched: `exactInputSingle`."""
    spends: Mapping[Address, int]
    receives_min: Mapping[Address, int]
    approves: Mapping[Address, int]
    recipient: Address | None = None
    """Who receives the proceeds, or the transfer."""
    spender: Address | None = None
    deadline_s: int = 0


def decode_call(sender: Address, to: Address, data: bytes) -> DecodedCall:
    """Decode a call to a router or a token.

    Raises:
        Refused: `unknown-method` for a selector that is not known, `malformed-call` for bytes that are not canonical,
            `unsafe-call` for one whose effect the bytes do not fix.
    """
    method = _METHODS.get(data[:4])
    if method is None:
        raise Refused(f"{to}: method 0x{data[:4].hex()} is not known", rule="unknown-method")
    return method.reader(_arguments(method, data), sender, to)


def known_methods() -> frozenset[str]:
    """Names a policy may allow."""
    return frozenset(method.name for method in _METHODS.values())


_Reader = Callable[[tuple[Any, ...], Address, Address], DecodedCall]


@dataclass(frozen=True, slots=True)
class _Method:
    name: str
    types: tuple[str, ...]
    reader: _Reader


def _arguments(method: _Method, data: bytes) -> tuple[Any, ...]:
    try:
        values = decode(method.types, data[4:])
        canonical = encode(method.types, values) == data[4:]
    except Exception as exc:  # eth_abi raises many kinds for crafted bytes
        raise Refused(f"the arguments of {method.name} cannot be read", rule="malformed-call") from exc
    if not canonical:
        raise Refused(f"the arguments of {method.name} are not canonical", rule="malformed-call")
    return values


def _swap_v2(values: tuple[Any, ...], _sender: Address, _to: Address) -> DecodedCall:
    amount_in, amount_out_min, path, recipient, deadline = values
    if len(path) < 2 or path[0] == path[-1]:
        raise Refused("a swap's path has two ends that differ", rule="unsafe-call")
    return DecodedCall(
        "swapExactTokensForTokens",
        spends=_one(path[0], amount_in),
        receives_min=_one(path[-1], amount_out_min),
        approves=_NOTHING,
        recipient=checksum(recipient),
        deadline_s=deadline,
    )


def _swap_v3(values: tuple[Any, ...], _sender: Address, _to: Address) -> DecodedCall:
    token_in, token_out, _fee, recipient, deadline, amount_in, amount_out_min, _price_limit = values[0]
    return _v3(token_in, token_out, recipient, amount_in, amount_out_min, deadline)


def _swap_v3_02(values: tuple[Any, ...], sender: Address, _to: Address) -> DecodedCall:
    token_in, token_out, _fee, recipient, amount_in, amount_out_min, _price_limit = values[0]
    return _v3(token_in, token_out, sender if recipient == _MSG_SENDER else recipient, amount_in, amount_out_min, 0)


def _v3(
    token_in: str, token_out: str, recipient: str, amount_in: int, amount_out_min: int, deadline: int
) -> DecodedCall:
    if recipient in (_ZERO, _ROUTER_ITSELF):
        raise Refused("the proceeds would stay in the router, where anyone takes them", rule="unsafe-call")
    if amount_in == 0:
        # SwapRouter02 reads 0 as "all that the router holds": the bytes do not say how much.
        raise Refused("an amount of 0 means the router's own balance", rule="unsafe-call")
    if token_in == token_out:
        raise Refused("a swap has two tokens that differ", rule="unsafe-call")
    return DecodedCall(
        "exactInputSingle",
        spends=_one(token_in, amount_in),
        receives_min=_one(token_out, amount_out_min),
        approves=_NOTHING,
        recipient=checksum(recipient),
        deadline_s=deadline,
    )


def _multicall(values: tuple[Any, ...], sender: Address, to: Address) -> DecodedCall:
    deadline, calls = values
    # One swap under a deadline is what the platform sends. Several, or a nested batch, would need their effects joined.
    if len(calls) != 1 or calls[0][:4] != _EXACT_INPUT_SINGLE:
        raise Refused("a multicall may hold one exactInputSingle and nothing else", rule="unsafe-call")
    inner = decode_call(sender, to, calls[0])
    return DecodedCall(
        inner.method, inner.spends, inner.receives_min, inner.approves, inner.recipient, deadline_s=deadline
    )


def _approve(values: tuple[Any, ...], _sender: Address, to: Address) -> DecodedCall:
    spender, amount = values
    return DecodedCall("approve", _NOTHING, _NOTHING, approves=_one(to, amount), spender=checksum(spender))


def _transfer(values: tuple[Any, ...], _sender: Address, to: Address) -> DecodedCall:
    recipient, amount = values
    return DecodedCall("transfer", _one(to, amount), _NOTHING, _NOTHING, recipient=checksum(recipient))


def _one(token: str, raw: int) -> Mapping[Address, int]:
    return MappingProxyType({checksum(token): raw})


_NOTHING: Final[Mapping[Address, int]] = MappingProxyType({})


def _method(name: str, types: tuple[str, ...], reader: _Reader) -> tuple[bytes, _Method]:
    return keccak256(f"{name}({','.join(types)})".encode())[:4], _Method(name, types, reader)


_V3_SINGLE: Final = "(address,address,uint24,address,uint256,uint256,uint256,uint160)"
_V3_SINGLE_02: Final = "(address,address,uint24,address,uint256,uint256,uint160)"
_METHODS: Final = MappingProxyType(
    dict(
        (
            # UniswapV2Router02
            _method("swapExactTokensForTokens", ("uint256", "uint256", "address[]", "address", "uint256"), _swap_v2),
            # SwapRouter, then SwapRouter02, whose struct has no deadline: the multicall around it has.
            _method("exactInputSingle", (_V3_SINGLE,), _swap_v3),
            _method("exactInputSingle", (_V3_SINGLE_02,), _swap_v3_02),
            _method("multicall", ("uint256", "bytes[]"), _multicall),
            # ERC-20
            _method("approve", ("address", "uint256"), _approve),
            _method("transfer", ("address", "uint256"), _transfer),
        )
    )
)
_EXACT_INPUT_SINGLE: Final = next(code for code, method in _METHODS.items() if method.types == (_V3_SINGLE_02,))
