"""Encoding a swap: a quote to calldata here, against web3's `encode_abi` with eth_abi for what lies within.

The calls: one V3 pool through the UniversalRouter; a split over V2, V3 and V4 with coins; a split multicall of
SwapRouter02. Bytes are compared each time: a fast wrong call is no call.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

from bench.rows import Row, figure_row, interleaved, ratio_row

TARGET_RATIO = 100
_CALLS, _PEER_CALLS = 2_000, 40
_OWNER = "0x9965507D1a55bcC2695C58ba16FB37d819B0A4dc"
_ME, _ROUTER = "0x0000000000000000000000000000000000000001", "0x0000000000000000000000000000000000000002"
_COIN = "0x0000000000000000000000000000000000000000"


def run() -> list[Row]:
    """Measure; takes about five seconds."""
    rows = []
    for name, ours, peer in (*_universal(), _swap_router()):
        if ours() != peer():
            raise AssertionError(f"{name}: the two encodings differ")
        mine, theirs = interleaved(_times(ours, _CALLS), _times(peer, _PEER_CALLS))
        value, other = mine / _CALLS * 1e6, theirs / _PEER_CALLS * 1e6
        rows.append(
            ratio_row(
                topic="dex",
                name=name,
                ours=value,
                unit="us",
                peer_name=f"web3 encode_abi, {other:.0f} us",
                ratio=other / value,
                target=TARGET_RATIO,
            )
        )
    rows.append(_permit_row())
    return rows


def _times(work: Callable[[], object], count: int) -> Callable[[], None]:
    def repeat() -> None:
        for _ in range(count):
            work()

    return repeat


def _universal() -> list[tuple[str, Callable[[], bytes], Callable[[], bytes]]]:
    from eth_abi.abi import encode
    from web3 import Web3

    from dex.execution.universal_plan import encode_universal

    contracts, quotes = _contracts(), _quotes()
    abi = _abi("execute", ["bytes", "bytes[]", "uint256"])
    contract: Any = Web3().eth.contract(address=contracts.universal_router, abi=abi)
    swap = ["address", "uint256", "uint256", "bytes", "bool"]
    v2 = ["address", "uint256", "uint256", "address[]", "bool"]
    v4 = ["(address,(address,uint24,int24,address,bytes)[],uint256[],uint128,uint128)"]
    cases = []
    for name, quote in quotes.items():
        bounds = _bounds(quote)
        usdc, weth = _tokens()
        packed = bytes.fromhex(weth[2:]) + (500).to_bytes(3, "big") + bytes.fromhex(usdc[2:])

        def one(bounds: Any = bounds, packed: bytes = packed) -> bytes:
            content = encode(swap, [_ME, 10**18, bounds.paths[0], packed, True])
            return bytes.fromhex(contract.encode_abi("execute", [b"\x00", [content], bounds.deadline_s])[2:])

        def split(bounds: Any = bounds, packed: bytes = packed, usdc: str = usdc, weth: str = weth) -> bytes:
            key = (usdc, 500, 10, _COIN, b"")
            actions = [
                encode(["address", "uint256", "bool"], [_COIN, 10**18, False]),
                encode(v4, [(_COIN, [key], [], 10**18, bounds.paths[0])]),
                encode(["address", "address", "uint256"], [usdc, _ME, 0]),
            ]
            inputs = [
                encode(["bytes", "bytes[]"], [bytes((0x0B, 0x07, 0x0E)), actions]),
                encode(["address", "uint256"], [_ROUTER, 10**18]),
                encode(swap, [_ME, 10**18, bounds.paths[1], packed, False]),
                encode(["address", "uint256"], [_ROUTER, 10**18]),
                encode(v2, [_ME, 10**18, bounds.paths[2], [weth, usdc], False]),
            ]
            commands = bytes((0x10, 0x0B, 0x00, 0x0B, 0x08))
            return bytes.fromhex(contract.encode_abi("execute", [commands, inputs, bounds.deadline_s])[2:])

        def ours(quote: Any = quote, bounds: Any = bounds) -> bytes:
            return encode_universal(quote, bounds, contracts)

        cases.append((f"encode a swap, {name}", ours, one if len(quote.paths) == 1 else split))
    return cases


def _swap_router() -> tuple[str, Callable[[], bytes], Callable[[], bytes]]:
    from web3 import Web3

    from dex.execution.swap_router import encode_swap_router
    from domain.ids import Address

    usdc, weth = _tokens()
    quote = _quote(("WETH", "USDC"), [("v3", "WETH"), ("v2", "WETH")])
    bounds = _bounds(quote)
    single = "(address,address,uint24,address,uint256,uint256,uint160)"
    abi = [
        *_abi("multicall", ["uint256", "bytes[]"]),
        *_abi("exactInputSingle", [single]),
        *_abi("swapExactTokensForTokens", ["uint256", "uint256", "address[]", "address"]),
    ]
    contract: Any = Web3().eth.contract(address=_contracts().swap_router, abi=abi)

    def peer() -> bytes:
        calls = [
            contract.encode_abi("exactInputSingle", [(weth, usdc, 500, _OWNER, 10**18, bounds.paths[0], 0)]),
            contract.encode_abi("swapExactTokensForTokens", [10**18, bounds.paths[1], [weth, usdc], _OWNER]),
        ]
        return bytes.fromhex(contract.encode_abi("multicall", [bounds.deadline_s, calls])[2:])

    return "encode a split over SwapRouter02", lambda: encode_swap_router(quote, bounds, Address(_OWNER)), peer


def _permit_row() -> Row:
    """What the whole plan costs, promises and all; told, not judged."""
    from dex.execution.swaps import choose_way, plan_quote

    contracts, quote = _contracts(), _quote(("ETH", "USDC"), [("v4", "ETH"), ("v3", "WETH"), ("v2", "WETH")])
    bounds, way = _bounds(quote), choose_way(quote, contracts)

    def plan() -> None:
        plan_quote(quote, bounds, way, contracts, intent_id="i", strategy="s", sender=_OWNER)

    taken, _ = interleaved(_times(plan, _CALLS), _times(plan, 1))
    name = "plan a swap over V2, V3 and V4, promises and all"
    return figure_row(topic="dex", name=name, ours=taken / _CALLS * 1e6, unit="us", peer_name="told")


def _abi(name: str, types: list[str]) -> list[dict[str, Any]]:
    """Write a function's ABI as JSON, tuples with components."""

    def entry(number: int, text: str) -> dict[str, Any]:
        if not text.startswith("("):
            return {"name": f"a{number}", "type": text}
        parts = [entry(index, part) for index, part in enumerate(text[1:-1].split(","))]
        return {"name": f"a{number}", "type": "tuple", "components": parts}

    inputs = [entry(number, text) for number, text in enumerate(types)]
    return [{"type": "function", "name": name, "inputs": inputs, "outputs": [], "stateMutability": "payable"}]


def _tokens() -> tuple[str, str]:
    from chain.devnet import CANONICAL

    return CANONICAL["USDC"], CANONICAL["WETH9"]


def _contracts() -> Any:
    from chain.devnet import CANONICAL
    from dex.execution.contracts import RouterVersion, swap_contracts

    return swap_contracts(CANONICAL, RouterVersion.V2_1)


def _bounds(quote: Any) -> Any:
    from dex.execution.slippage import SlippagePolicy

    return SlippagePolicy().bounds(quote, head_number=1, time_s=1_800_000_000)


def _quotes() -> dict[str, Any]:
    return {
        "one V3 pool through the UniversalRouter": _quote(("WETH", "USDC"), [("v3", "WETH")]),
        "coins over V4, V3 and V2": _quote(("ETH", "USDC"), [("v4", "ETH"), ("v3", "WETH"), ("v2", "WETH")]),
    }


def _quote(ends: tuple[str, str], hops: list[tuple[str, str]]) -> Any:
    from dex.pools import ZERO_ADDRESS, PoolSpec
    from dex.routing.quote import Hop, Path, Quote
    from domain import ChainId, native_asset, token_asset
    from domain.ids import Address, PoolId

    chain, (usdc, weth) = ChainId(1337), _tokens()
    assets = {
        "ETH": native_asset(chain),
        "WETH": token_asset(chain, Address(weth), "WETH", 18),
        "USDC": token_asset(chain, Address(usdc), "USDC", 6),
    }
    addresses = {"ETH": ZERO_ADDRESS, "WETH": Address(weth)}
    paths = []
    for kind, token in hops:
        pool = PoolSpec(
            id=PoolId(kind),
            kind=kind,
            address=Address(_OWNER),
            chain_id=chain,
            token0=assets[token],
            token1=assets["USDC"],
            token0_address=addresses[token],
            token1_address=Address(usdc),
            fee_pips=500,
            tick_spacing=10,
        )
        paths.append(Path((Hop(pool, assets[token], assets["USDC"], 10**18, 3_000_000_000),)))
    return Quote(
        id="bench",
        chain_id=chain,
        block_number=1,
        block_hash="0x01",
        token_in=assets[ends[0]],
        token_out=assets[ends[1]],
        amount_in=len(paths) * 10**18,
        amount_out=len(paths) * 3_000_000_000,
        is_exact_out=False,
        paths=tuple(paths),
        mid_price=Fraction(3_000_000_000, 10**18),
        gas_units=0,
        gas_cost=0,
    )
