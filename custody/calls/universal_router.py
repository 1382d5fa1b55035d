"""Uniswap's UniversalRouter: a list of commands. Read are swaps of an exact input paid by the caller, and the permit
to the router itself that may precede them; any other command is refused.

Commands that work on what the router holds (wrap, sweep, pay by the router) are left out on purpose: what they move
depends on the commands before them, and the bytes of one do not say how much.
"""

from __future__ import annotations

from typing import Final

from chain import checksum
from custody.calls.canonical import Method, Place, Values, canonical, unsafe
from custody.calls.model import NOTHING, DecodedCall, Kind, Shown, joined
from custody.calls.permit2 import SINGLE, allowances
from custody.calls.uniswap import pool_fee, swap_shown
from domain import Address

_V3_SWAP_EXACT_IN: Final = 0x00
_V2_SWAP_EXACT_IN: Final = 0x08
_PERMIT2_PERMIT: Final = 0x0A
_ALLOW_REVERT: Final = 0x80
_MSG_SENDER: Final = "0x0000000000000000000000000000000000000001"
_ROUTER_ITSELF: Final = "0x0000000000000000000000000000000000000002"
_CONTRACT_BALANCE: Final = 1 << 255
_ADDRESS_BYTES: Final = 20
_HOP_BYTES: Final = 23
_COMMANDS_MAX: Final = 8


def _execute(values: Values, place: Place) -> DecodedCall:
    commands, inputs, deadline = values
    if len(commands) != len(inputs) or not 0 < len(commands) <= _COMMANDS_MAX:
        raise unsafe(f"1 to {_COMMANDS_MAX} commands with an input each are read")
    parts = [_command(code, content, place) for code, content in zip(commands, inputs, strict=True)]
    swaps = [part for part in parts if part.spends]
    if not swaps:
        raise unsafe("no swap among the commands")
    recipients = {part.recipient for part in swaps}
    spenders = {part.spender for part in parts if part.spender is not None}
    if len(recipients) != 1 or spenders - {place.to}:
        raise unsafe("swaps have one recipient, and a permit goes to the router itself")
    return DecodedCall(
        "execute",
        spends=joined(*(part.spends for part in parts)),
        receives_min=joined(*(part.receives_min for part in parts)),
        approves=joined(*(part.approves for part in parts)),
        recipient=swaps[0].recipient,
        spender=next(iter(spenders), None),
        deadline_s=deadline,
        action="Swap on Uniswap through the UniversalRouter",
        shown=(Shown("Valid until", Kind.DATE, deadline),),
        inner=tuple((place.to, part) for part in parts),
        others=frozenset[Address]().union(*(part.others for part in parts)),
    )


def _command(code: int, content: bytes, place: Place) -> DecodedCall:
    if code & _ALLOW_REVERT:
        raise unsafe("a command that may fail silently")
    if code == _PERMIT2_PERMIT:
        (details, spender, sig_deadline), _signature = canonical("PERMIT2_PERMIT", (SINGLE, "bytes"), content)
        return allowances("permit", [details], spender, sig_deadline=sig_deadline)
    if code == _V2_SWAP_EXACT_IN:
        types = ("address", "uint256", "uint256", "address[]", "bool")
        recipient, amount_in, amount_out_min, path, is_paid_by_caller = canonical("V2_SWAP_EXACT_IN", types, content)
        return _swap("V2", recipient, amount_in, amount_out_min, (tuple(path), ()), is_paid_by_caller, place)
    if code == _V3_SWAP_EXACT_IN:
        types = ("address", "uint256", "uint256", "bytes", "bool")
        recipient, amount_in, amount_out_min, packed, is_paid_by_caller = canonical("V3_SWAP_EXACT_IN", types, content)
        return _swap("V3", recipient, amount_in, amount_out_min, _v3_path(packed), is_paid_by_caller, place)
    raise unsafe(f"router command 0x{code:02x} is not read")


def _swap(
    version: str,
    recipient: str,
    amount_in: int,
    amount_out_min: int,
    way: tuple[tuple[str, ...], tuple[int, ...]],
    is_paid_by_caller: bool,
    place: Place,
) -> DecodedCall:
    path, fees = way
    if not is_paid_by_caller or amount_in in (0, _CONTRACT_BALANCE):
        raise unsafe("a swap of what the router holds: the bytes do not say how much")
    if recipient == _ROUTER_ITSELF or checksum(recipient) == place.to:
        raise unsafe("the proceeds would stay in the router, where anyone takes them")
    if len(path) < 2 or checksum(path[0]) == checksum(path[-1]):
        raise unsafe("a swap's path has two ends that differ")
    owner = place.sender if recipient == _MSG_SENDER else checksum(recipient)
    return DecodedCall(
        "execute",
        spends=joined({checksum(path[0]): amount_in}),
        receives_min=joined({checksum(path[-1]): amount_out_min}),
        approves=NOTHING,
        recipient=owner,
        action=f"Swap on Uniswap {version}",
        shown=(*swap_shown(path, amount_in, amount_out_min, owner, 0), *map(pool_fee, fees)),
        others=frozenset(checksum(token) for token in path[1:-1]),
    )


def _v3_path(packed: bytes) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Unpack token, fee, token, fee, …, token into tokens and fees."""
    if len(packed) % _HOP_BYTES != _ADDRESS_BYTES:
        raise unsafe("a V3 path is addresses with fees between them")
    starts = range(0, len(packed), _HOP_BYTES)
    tokens = tuple("0x" + packed[at : at + _ADDRESS_BYTES].hex() for at in starts)
    fees = tuple(int.from_bytes(packed[at + _ADDRESS_BYTES : at + _HOP_BYTES], "big") for at in starts[:-1])
    return tokens, fees


METHODS: Final = (Method("execute", ("bytes", "bytes[]", "uint256"), _execute),)
