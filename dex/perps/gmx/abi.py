"""GMX v2's public ABI, the version whose `createOrder` is 0xf59c48eb, and its way of naming what it stores."""

from __future__ import annotations

from typing import Final

from chain.abi import Dynamic, address_word, bytes_words, compose, uint_word
from chain.codec import event, function
from chain.keccak import keccak256

_ADDRESSES: Final = (
    "(address receiver, address cancellationReceiver, address callbackContract, address uiFeeReceiver, address market, "
    "address initialCollateralToken, address[] swapPath) addresses"
)
_NUMBERS: Final = (
    "(uint256 sizeDeltaUsd, uint256 initialCollateralDeltaAmount, uint256 triggerPrice, uint256 acceptablePrice, "
    "uint256 executionFee, uint256 callbackGasLimit, uint256 minOutputAmount, uint256 validFromTime) numbers"
)
CREATE_ORDER: Final = function(
    f"createOrder(({_ADDRESSES}, {_NUMBERS}, uint8 orderType, uint8 decreasePositionSwapType, bool isLong, "
    "bool shouldUnwrapNativeToken, bool autoCancel, bytes32 referralCode, bytes32[] dataList) params) returns (bytes32)"
)
CANCEL_ORDER: Final = function("cancelOrder(bytes32 key)")
SEND_WNT: Final = function("sendWnt(address receiver, uint256 amount)")
SEND_TOKENS: Final = function("sendTokens(address token, address receiver, uint256 amount)")
MULTICALL: Final = function("multicall(bytes[] data) returns (bytes[])")

GET_UINT: Final = function("getUint(bytes32 key) returns (uint256)")
GET_ADDRESS: Final = function("getAddress(bytes32 key) returns (address)")
GET_BOOL: Final = function("getBool(bytes32 key) returns (bool)")


def _items(kind: str, name: str) -> str:
    return f"((string key, {kind} value)[] items, (string key, {kind}[] value)[] arrayItems) {name}"


_DATA: Final = ", ".join(
    _items(kind, name)
    for kind, name in (
        ("address", "addressItems"),
        ("uint256", "uintItems"),
        ("int256", "intItems"),
        ("bool", "boolItems"),
        ("bytes32", "bytes32Items"),
        ("bytes", "bytesItems"),
        ("string", "stringItems"),
    )
)
EVENT_LOG_1: Final = event(
    "EventLog1(address msgSender, string eventName, string indexed eventNameHash, bytes32 indexed topic1, "
    f"({_DATA}) eventData)"
)
EVENT_LOG_2: Final = event(
    "EventLog2(address msgSender, string eventName, string indexed eventNameHash, bytes32 indexed topic1, "
    f"bytes32 indexed topic2, ({_DATA}) eventData)"
)


def name_key(name: str) -> bytes:
    """The DataStore's key of a setting: the hash of its encoded name."""
    return keccak256(compose(Dynamic(bytes_words(name.encode()))))


def field_key(owner: bytes, name: str) -> bytes:
    """The DataStore's key of a field of an order or a position."""
    return keccak256(owner + name_key(name))


def position_key(account: str, market: str, collateral: str, *, is_long: bool) -> bytes:
    """The key of an account's position; there is one a market, collateral and direction."""
    return keccak256(address_word(account) + address_word(market) + address_word(collateral) + uint_word(int(is_long)))
