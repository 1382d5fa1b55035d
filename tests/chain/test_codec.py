"""Compiled codecs write and read what eth_abi and web3 do, and refuse what no contract can have written."""

from __future__ import annotations

from typing import Any

import pytest
from eth_abi.abi import decode, encode
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from web3 import Web3
from web3._utils.events import get_event_data

from chain import checksum
from chain.codec import error, event, function, parameters
from domain import InputError

WIDTHS = st.integers(1, 32).map(lambda n: 8 * n)
ADDRESSES = st.binary(min_size=20, max_size=20).map(lambda raw: checksum("0x" + raw.hex()))


@st.composite
def typed_values(draw: st.DrawFn, depth: int = 2) -> tuple[str, SearchStrategy[Any]]:
    """Draw a type and a strategy of its values."""
    kind = draw(st.sampled_from(["uint", "int", "address", "bool", "bytesN", "bytes", "string", "array", "tuple"]))
    if kind in ("array", "tuple") and depth == 0:
        kind = "uint"
    if kind == "uint":
        bits = draw(WIDTHS)
        return f"uint{bits}", st.integers(0, 2**bits - 1)
    if kind == "int":
        bits = draw(WIDTHS)
        return f"int{bits}", st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    if kind == "bytesN":
        size = draw(st.integers(1, 32))
        return f"bytes{size}", st.binary(min_size=size, max_size=size)
    if kind == "array":
        name, values = draw(typed_values(depth - 1))
        length = draw(st.none() | st.integers(1, 3))
        items = st.lists(values, min_size=length or 0, max_size=length or 3).map(tuple)
        return f"{name}[{length or ''}]", items
    if kind == "tuple":
        fields = draw(st.lists(typed_values(depth - 1), min_size=1, max_size=3))
        return f"({','.join(name for name, _ in fields)})", st.tuples(*(values for _, values in fields))
    simple: dict[str, SearchStrategy[Any]] = {
        "address": ADDRESSES,
        "bool": st.booleans(),
        "bytes": st.binary(max_size=70),
        "string": st.text(max_size=40),
    }
    return kind, simple[kind]


def lowered(value: Any) -> Any:
    """Write addresses as eth_abi gives them."""
    if isinstance(value, tuple):
        return tuple(lowered(item) for item in value)
    return value.lower() if isinstance(value, str) and value.startswith("0x") else value


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_values_of_any_types_equal_eth_abi_and_read_back(data: st.DataObject) -> None:
    fields = data.draw(st.lists(typed_values(), max_size=4))
    types = [name for name, _ in fields]
    values = tuple(data.draw(strategy) for _, strategy in fields)
    codec = parameters(",".join(types))
    packed = codec.encode(*values)
    assert packed == encode(types, values)
    assert codec.decode(packed) == values
    assert codec.decode_canonical(packed) == values
    assert lowered(codec.decode(packed + b"\x01")) == lowered(tuple(decode(types, packed + b"\x01")))
    with pytest.raises(InputError, match="canonical"):
        codec.decode_canonical(packed + bytes(32))


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_damaged_data_is_refused_or_read_as_eth_abi_reads_it(data: st.DataObject) -> None:
    fields = data.draw(st.lists(typed_values(), min_size=1, max_size=3))
    types = [name for name, _ in fields]
    packed = bytearray(encode(types, [data.draw(strategy) for _, strategy in fields]))
    for _ in range(data.draw(st.integers(1, 3))):
        packed[data.draw(st.integers(0, len(packed) - 1))] = data.draw(st.integers(0, 255))
    damaged = bytes(packed[: data.draw(st.integers(0, len(packed)))])
    try:
        found = parameters(",".join(types)).decode(damaged)
    except InputError:
        return
    if "string" not in ",".join(types):  # Where text is not UTF-8 eth_abi raises; ours is replaced.
        assert lowered(found) == lowered(tuple(decode(types, damaged)))


ROUTER = [
    "function exactInputSingle((address tokenIn, address tokenOut, uint24 fee, address recipient, uint256 amountIn, "
    "uint256 amountOutMinimum, uint160 sqrtPriceLimitX96) params) external payable returns (uint256 amountOut)",
    "function execute(bytes commands, bytes[] inputs, uint256 deadline)",
    "function swapExactTokensForTokens(uint,uint,address[] calldata path,address,uint) returns (uint256[] amounts)",
]
ROUTER_TYPES = [
    ["(address,address,uint24,address,uint256,uint256,uint160)"],
    ["bytes", "bytes[]", "uint256"],
    ["uint256", "uint256", "address[]", "address", "uint256"],
]
A, B = checksum("0x" + "a1" * 20), checksum("0x" + "b2" * 20)
ROUTER_ARGUMENTS: list[tuple[Any, ...]] = [
    ((A, B, 500, A, 10**18, 3, 0),),
    (b"\x00\x0b", [b"one", b"x" * 64], 99),
    (1, 2, [A, B], A, 7),
]


@pytest.mark.parametrize(("text", "types", "arguments"), list(zip(ROUTER, ROUTER_TYPES, ROUTER_ARGUMENTS, strict=True)))
def test_router_calls_equal_web3(text: str, types: list[str], arguments: tuple[Any, ...]) -> None:
    ours = function(text)

    def abi(name: str) -> dict[str, Any]:
        if name.startswith("("):
            return {"name": "x", "type": "tuple", "components": [abi(part) for part in name[1:-1].split(",")]}
        return {"name": "x", "type": name}

    entry = {"type": "function", "name": ours.name, "inputs": [abi(name) for name in types], "outputs": []}
    inputs: Any = entry["inputs"]
    for number, field in enumerate(inputs[0].get("components", inputs)):
        field["name"] = f"x{number}"
    theirs = Web3().eth.contract(abi=[entry]).encode_abi(ours.name, arguments)  # type: ignore[list-item]
    data = ours.encode(*arguments)
    assert "0x" + data.hex() == theirs
    assert lowered(ours.read_canonical(data)) == lowered(
        tuple(tuple(a) if isinstance(a, list) else a for a in arguments)
    )


def test_events_equal_web3_whatever_order_their_indexed_values_have() -> None:
    ours = event("event Moved(uint24 amount, address indexed from, string note, int24 indexed tick, bytes indexed key)")
    inputs = [
        {"name": "amount", "type": "uint24", "indexed": False},
        {"name": "from", "type": "address", "indexed": True},
        {"name": "note", "type": "string", "indexed": False},
        {"name": "tick", "type": "int24", "indexed": True},
        {"name": "key", "type": "bytes", "indexed": True},
    ]
    abi: Any = {"type": "event", "name": "Moved", "anonymous": False, "inputs": inputs}
    key = bytes(range(32))
    words = [encode(["address"], [A]), encode(["int24"], [-5]), key]
    topics = [ours.topic, *("0x" + word.hex() for word in words)]
    data = encode(["uint24", "string"], [77, "hello"])
    log: Any = {
        "address": A,
        "topics": [bytes.fromhex(t[2:]) for t in topics],
        "data": data,
        "logIndex": 0,
        "transactionIndex": 0,
        "transactionHash": b"",
        "blockHash": b"",
        "blockNumber": 0,
    }
    theirs = get_event_data(Web3().codec, abi, log)["args"]
    assert ours.decode(topics, data) == tuple(theirs[field["name"]] for field in inputs) == (77, A, "hello", -5, key)
    assert ours.matches(topics)
    assert not ours.matches(topics[:-1])
    for broken in (topics[:-1], [topics[0][:-1] + "0", *topics[1:]], [*topics[:-1], "0xzz"], [*topics[:-1], "0x00"]):
        with pytest.raises(InputError):
            ours.decode(broken, data)


@pytest.mark.parametrize(
    ("types", "values"),
    [
        ("uint8", [256]),
        ("uint256", [-1]),
        ("uint256", [1.0]),
        ("int24", [2**23]),
        ("int24", [-(2**23) - 1]),
        ("address", ["0x12"]),
        ("address", [b"\x01" * 20]),
        ("address", [None]),
        ("bool", [2]),
        ("bytes4", [b"abc"]),
        ("bytes4", ["abcd"]),
        ("bytes", ["text"]),
        ("bytes", [[1, 2]]),
        ("string", [b"bytes"]),
        ("uint8[2]", [[1]]),
        ("(uint8,uint8)", [[1]]),
        ("bytes[]", [["text"]]),
        ("bytes[2]", [[b""]]),
    ],
)
def test_a_value_that_does_not_fit_its_type_is_refused(types: str, values: list[Any]) -> None:
    with pytest.raises(InputError, match=r"cannot be packed|not an EVM address"):
        parameters(types).encode(*values)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "transfer",
        "transfer(",
        "transfer(uint256",
        "transfer(uint257)",
        "transfer(uint08)",
        "transfer(bytes33)",
        "transfer(bytes0)",
        "transfer(uint256[0])",
        "transfer(())",
        "transfer(uint256,)",
        "transfer(uint256 a b)",
        "transfer(foo)",
        "transfer(uint256) nonsense",
        "event Transfer(address)",
        "transfer(address'); import os; ('",
    ],
)
def test_text_that_is_no_signature_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        function(text)


def test_an_event_has_three_indexed_values_at_most() -> None:
    with pytest.raises(InputError, match="three"):
        event("E(bool indexed, bool indexed, bool indexed, bool indexed)")


def test_a_small_message_cannot_unfold_into_a_large_one() -> None:
    # 1,000 offsets that all point at one array of 1,000 offsets that all point at the same kilobyte.
    word = (1000).to_bytes(32, "big")
    outer = word + (32 * 1000).to_bytes(32, "big") * 1000
    inner = word + (32 * 1000).to_bytes(32, "big") * 1000
    data = (32).to_bytes(32, "big") + outer + inner + (1024).to_bytes(32, "big") + bytes(1024)
    with pytest.raises(InputError, match="overlapping"):
        parameters("bytes[][]").decode(data)


def test_selectors_are_the_published_ones() -> None:
    assert function("transfer(address to, uint amount) returns (bool)").selector.hex() == "a9059cbb"
    assert function("function transfer(address,uint256)").text == "transfer(address,uint256)"
    assert event("Transfer(address indexed, address indexed, uint256)").topic[:10] == "0xddf252ad"
    assert error("Error(string)").selector.hex() == "08c379a0"


def test_an_error_is_told_with_its_values() -> None:
    short = error("error AllowanceExpired(uint256 deadline, address token, bytes4 id)")
    assert short.in_words(short.selector + short.arguments.encode(5, A, b"\x01\x02\x03\x04")) == (
        f"AllowanceExpired(deadline=5, token={A}, id=0x01020304)"
    )
    assert short.in_words(short.selector) == "AllowanceExpired"


def test_reading_another_function_s_call_says_so() -> None:
    transfer = function("transfer(address,uint256)")
    with pytest.raises(InputError, match="expected a call of transfer"):
        transfer.read(bytes(68))
    with pytest.raises(InputError, match="64 bytes or more"):
        transfer.read(transfer.selector + bytes(63))
