"""Safe accounts: `execTransaction`, and the MultiSend that batches calls.

Bybit lost 1.46 billion dollars to one byte here: `operation` 1 runs the target's code as the Safe itself, so that the
target may do anything. It is refused for every target but Safe's own MultiSendCallOnly, whose inner calls are read one
by one like any other call, with the Safe as their sender.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Final

from chain import checksum, keccak256
from custody.calls.canonical import Method, Place, Values, canonical, unsafe
from custody.calls.model import COIN, NOTHING, DecodedCall, Kind, Shown, joined
from domain import Address, Refused

# safe-global/safe-deployments: MultiSendCallOnly of 1.3.0, 1.4.1 and 1.5.0. The plain MultiSend may delegate in its
# turn and is left out.
MULTI_SENDS: Final = frozenset(
    checksum(address)
    for address in (
        "0x40a2accbd92bca938b02010e17a5b8929b49130d",
        "0x9641d764fc13c8b624c04430c7356c1c7c8102e2",
        "0xa83c336b20401af773b6219ba5027174338d1836",
    )
)
_CALL: Final = 0
_DELEGATE_CALL: Final = 1
_ZERO: Final = "0x0000000000000000000000000000000000000000"
_BATCH_MAX: Final = 32

_DOMAIN_TYPE: Final = keccak256(b"EIP712Domain(uint256 chainId,address verifyingContract)")
_SAFE_TX_TYPE: Final = keccak256(
    b"SafeTx(address to,uint256 value,bytes data,uint8 operation,uint256 safeTxGas,uint256 baseGas,uint256 gasPrice,"
    b"address gasToken,address refundReceiver,uint256 nonce)"
)


def safe_tx_hash(chain_id: int, safe: Address, fields: Mapping[str, Any]) -> bytes:
    """Hash a SafeTx as the Safe contract does (1.3.0 and later), from its fields and nothing else."""
    domain = keccak256(_DOMAIN_TYPE + _word(chain_id) + _address(safe))
    message = keccak256(
        _SAFE_TX_TYPE
        + _address(fields["to"])
        + _word(fields["value"])
        + keccak256(fields["data"])
        + b"".join(_word(fields[name]) for name in ("operation", "safeTxGas", "baseGas", "gasPrice"))
        + _address(fields["gasToken"])
        + _address(fields["refundReceiver"])
        + _word(fields["nonce"])
    )
    return keccak256(b"\x19\x01" + domain + message)


def read_safe_tx(safe: Address, fields: Mapping[str, Any], place: Place) -> DecodedCall:
    """Read what a Safe would do; `place` is where the permission to do it is given.

    Raises:
        Refused: `delegatecall` for operation 1 off the list, `unsafe-call` for refunds, or what the inner call raises.
    """
    to, value, data, operation = checksum(fields["to"]), fields["value"], fields["data"], fields["operation"]
    if fields["gasPrice"] or fields["gasToken"] != _ZERO or fields["refundReceiver"] != _ZERO:
        # A refund pays any token out of the Safe, at a price nobody bounds.
        raise unsafe("a Safe transaction with a gas refund: whoever sends it would be paid from the Safe")
    if operation == _DELEGATE_CALL:
        if to not in MULTI_SENDS or value:
            raise _delegate_call(to)
        steps = _batch(data)
    elif operation == _CALL:
        steps = ((to, value, data),)
    else:
        raise unsafe(f"a Safe knows operations 0 and 1, not {operation}")
    call = acting(safe, steps, place)
    return replace(
        call,
        action="Let a Safe act",
        shown=(
            Shown("Safe", Kind.ADDRESS, safe),
            *((Shown("Safe's nonce", Kind.NUMBER, fields["nonce"]),) if "nonce" in fields else ()),
        ),
    )


def acting(account: Address, steps: Sequence[tuple[Address, int, bytes]], place: Place) -> DecodedCall:
    """Read calls (target, coins, data) that an account which is a contract makes, and join their effects.

    Raises:
        Refused: `unsafe-call` for two recipients or spenders, or what the calls raise.
    """
    from custody.calls.registry import read  # the registry lists this family

    inner = tuple((target, _step(account, target, coins, content, place, read)) for target, coins, content in steps)
    calls = [call for _, call in inner]
    recipients = {call.recipient for call in calls if call.recipient is not None}
    spenders = {call.spender for call in calls if call.spender is not None}
    if len(recipients) > 1 or len(spenders) > 1:
        raise unsafe("a batch pays one recipient and allows one spender: policy judges one of each")
    return DecodedCall(
        "execTransaction",
        spends=joined(*(call.spends for call in calls)),
        receives_min=joined(*(call.receives_min for call in calls)),
        approves=joined(*(call.approves for call in calls)),
        recipient=next(iter(recipients), None),
        spender=next(iter(spenders), None),
        deadline_s=min((call.deadline_s for call in calls if call.deadline_s), default=0),
        inner=inner,
        others=frozenset[Address]({account}).union(*(call.others | {target} for target, call in inner)),
    )


def _step(account: Address, to: Address, coins: int, data: bytes, place: Place, read: Any) -> DecodedCall:
    if not data:
        return DecodedCall(
            "transfer",
            spends=MappingProxyType({COIN: coins}),
            receives_min=NOTHING,
            approves=NOTHING,
            recipient=to,
            action="Send coins",
            shown=(Shown("Amount", Kind.COINS, coins), Shown("Recipient", Kind.ADDRESS, to)),
        )
    call: DecodedCall = read(data, replace(place, sender=account, to=to, value_wei=coins, depth=place.depth + 1))
    if call.coins_wei != coins:
        raise unsafe(f"{call.method} uses {call.coins_wei} wei, {coins} are sent along")
    return call


def _batch(data: bytes) -> tuple[tuple[Address, int, bytes], ...]:
    """Unpack `multiSend(bytes)`: operation, target, value, length, data; one after another, without padding."""
    (packed,) = _MULTI_SEND.arguments(data)
    steps: list[tuple[Address, int, bytes]] = []
    while packed:
        head, packed = packed[:85], packed[85:]
        length = int.from_bytes(head[53:85], "big")
        if len(head) < 85 or length > len(packed) or len(steps) == _BATCH_MAX:
            raise unsafe("a MultiSend batch that is cut off, or too long")
        target, value = checksum("0x" + head[1:21].hex()), int.from_bytes(head[21:53], "big")
        if head[0] != _CALL:
            raise _delegate_call(target)
        steps.append((target, value, packed[:length]))
        packed = packed[length:]
    if not steps:
        raise unsafe("an empty MultiSend batch")
    return tuple(steps)


def _delegate_call(to: Address) -> Refused:
    return Refused(
        f"a Safe would run the code of {to} as itself (operation 1): it could do anything", rule="delegatecall"
    )


def _exec(values: Values, place: Place) -> DecodedCall:
    names = ("to", "value", "data", "operation", "safeTxGas", "baseGas", "gasPrice", "gasToken", "refundReceiver")
    return read_safe_tx(place.to, dict(zip(names, values[:9], strict=True)), place)


def _word(number: int) -> bytes:
    return number.to_bytes(32, "big")


def _address(address: str) -> bytes:
    return bytes.fromhex(address[2:]).rjust(32, b"\0")


class _MultiSend:
    """`multiSend(bytes)` is read inside a delegate call only; as a call of its own it is unknown."""

    selector = keccak256(b"multiSend(bytes)")[:4]

    def arguments(self, data: bytes) -> Values:
        if data[:4] != self.selector:
            raise unsafe("a MultiSend is called by multiSend only")
        return canonical("multiSend", ("bytes",), data[4:])


_MULTI_SEND: Final = _MultiSend()
METHODS: Final = (
    Method(
        "execTransaction",
        ("address", "uint256", "bytes", "uint8", "uint256", "uint256", "uint256", "address", "address", "bytes"),
        _exec,
    ),
)
