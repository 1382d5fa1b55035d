"""Acts on stable and weighted pools: Balancer's genuine ones through the Vault, Curve-style ones on our double."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from chain import ChainClient, Receipt
from chain.abi import (
    Dynamic,
    address_array,
    address_at,
    address_word,
    bytes_words,
    compose,
    int_at,
    selector,
    uint_at,
    uint_word,
)
from chain.devnet import DEPLOYER, Devnet
from chain.devnet.artifacts import artifact_code
from chain.devnet.node import node_modules
from dex import PoolSpec, pool_spec
from dex.pools import BALANCER_VAULT

NO_DEADLINE = 2**40
_DOUBLE = Path(__file__).resolve().parents[2] / "contracts/out/StableSwapDouble.sol/StableSwapDouble.json"
_TASKS = "@balancer-labs/v2-deployments/dist/tasks"
_PROVIDER = "20220725-protocol-fee-percentages-provider/artifact/ProtocolFeePercentagesProvider.json"
_FUNDS = address_word(DEPLOYER) + uint_word(0) + address_word(DEPLOYER) + uint_word(0)
_EXIT_EXACT_SHARES, _JOIN_EXACT_TOKENS, _INIT = 1, 1, 0


class BalanceHand:
    """The deployer's hand on pools that hold balances; what it needs approved is."""

    def __init__(self, client: ChainClient) -> None:
        self.client = client

    async def send(self, to: str | None, data: bytes) -> Receipt:
        request = {"from": DEPLOYER, "data": "0x" + data.hex(), "gas": hex(8_000_000)}
        if to:
            request["to"] = to
        receipt = await self.client.wait_receipt(
            await self.client.rpc.request("eth_sendTransaction", request), poll_s=0.002
        )
        assert receipt.succeeded
        return receipt

    async def approve(self, spec: PoolSpec) -> None:
        spender = spec.address if spec.kind == "curve-stable" else BALANCER_VAULT
        for _, token in spec.tokens:
            data = selector("approve(address,uint256)") + address_word(spender) + uint_word(2**256 - 1)
            await self.send(token, data)

    async def quotes(self, spec: PoolSpec, requests: Sequence[tuple[str, str, int]], *, is_exact_in: bool) -> list[int]:
        """What the chain quotes for (token in, token out, amount) each; -1 where it reverts."""
        calls: list[tuple[str, list[Any]]] = []
        for token_in, token_out, amount in requests:
            if spec.kind == "curve-stable":
                assert is_exact_in
                to, data = (
                    spec.address,
                    selector("get_dy(int128,int128,uint256)")
                    + self._places(spec, token_in, token_out)
                    + uint_word(amount),
                )
            else:
                to, data = BALANCER_VAULT, self._query(spec, token_in, token_out, amount, is_exact_in=is_exact_in)
            calls.append(("eth_call", [{"from": DEPLOYER, "to": to, "data": "0x" + data.hex()}, "latest"]))
        answers = []
        for answer in await self.client.batch(calls):
            if isinstance(answer, Exception):
                answers.append(-1)
                continue
            raw = bytes.fromhex(answer[2:])
            # The query gives int256[]: what the Vault takes of the first token (positive) and gives of the second.
            answers.append(uint_at(raw, 0) if len(raw) == 32 else abs(int_at(raw, 3 if is_exact_in else 2)))
        return answers

    async def swap(
        self, spec: PoolSpec, token_in: str, token_out: str, amount: int, *, is_exact_in: bool = True
    ) -> int:
        """Swap exactly this amount; give what came out (of an exact-output swap what it cost)."""
        counted = token_out if is_exact_in else token_in
        before = await self.client.token_balance(counted, DEPLOYER)
        if spec.kind == "curve-stable":
            method = selector("exchange(int128,int128,uint256,uint256)")
            await self.send(
                spec.address, method + self._places(spec, token_in, token_out) + uint_word(amount) + uint_word(0)
            )
        else:
            single = compose(
                bytes.fromhex(spec.pool_id[2:]) + uint_word(0 if is_exact_in else 1),
                address_word(token_in) + address_word(token_out) + uint_word(amount),
                Dynamic(bytes_words(b"")),
            )
            limit = uint_word(0 if is_exact_in else 2**200) + uint_word(NO_DEADLINE)
            kind = "((bytes32,uint8,address,address,uint256,bytes),(address,bool,address,bool),uint256,uint256)"
            await self.send(BALANCER_VAULT, selector("swap" + kind) + compose(Dynamic(single), _FUNDS + limit))
        return abs(await self.client.token_balance(counted, DEPLOYER) - before)

    async def join(self, spec: PoolSpec, amounts: Sequence[int]) -> None:
        """Add liquidity, in any proportion."""
        if spec.kind == "curve-stable":
            method = selector("add_liquidity(uint256[],uint256)")
            await self.send(spec.address, method + compose(_numbers(amounts), uint_word(0)))
            return
        data = compose(uint_word(_JOIN_EXACT_TOKENS), _numbers(amounts), uint_word(0))
        await self._move(spec, "joinPool", amounts, data)

    async def fill(self, spec: PoolSpec, amounts: Sequence[int]) -> None:
        """Give a new pool its first balances."""
        await self._move(spec, "joinPool", amounts, compose(uint_word(_INIT), _numbers(amounts)))

    async def leave(self, spec: PoolSpec, share_percent: int) -> None:
        """Take out part of all shares, in proportion."""
        held = await self.client.token_balance(spec.address, DEPLOYER)
        shares, nothing = held * share_percent // 100, [0] * len(spec.tokens)
        if spec.kind == "curve-stable":
            method = selector("remove_liquidity(uint256,uint256[])")
            await self.send(spec.address, method + compose(uint_word(shares), _numbers(nothing)))
            return
        await self._move(spec, "exitPool", nothing, uint_word(_EXIT_EXACT_SHARES) + uint_word(shares))

    async def _move(self, spec: PoolSpec, name: str, limits: Sequence[int], user_data: bytes) -> None:
        tokens = address_array([address for _, address in spec.tokens])
        request = compose(tokens, _numbers(limits), Dynamic(bytes_words(user_data)), uint_word(0))
        method = selector(name + "(bytes32,address,address,(address[],uint256[],bytes,bool))")
        head = bytes.fromhex(spec.pool_id[2:]) + address_word(DEPLOYER) + address_word(DEPLOYER)
        await self.send(BALANCER_VAULT, method + compose(head, Dynamic(request)))

    @staticmethod
    def _query(spec: PoolSpec, token_in: str, token_out: str, amount: int, *, is_exact_in: bool) -> bytes:
        step = compose(
            bytes.fromhex(spec.pool_id[2:]) + uint_word(0) + uint_word(1) + uint_word(amount), Dynamic(bytes_words(b""))
        )
        steps = Dynamic(uint_word(1) + compose(Dynamic(step)))
        method = selector(
            "queryBatchSwap(uint8,(bytes32,uint256,uint256,uint256,bytes)[],address[],(address,bool,address,bool))"
        )
        kind = uint_word(0 if is_exact_in else 1)
        return method + compose(kind, steps, address_array([token_in, token_out]), _FUNDS)

    @staticmethod
    def _places(spec: PoolSpec, token_in: str, token_out: str) -> bytes:
        tokens = [address for _, address in spec.tokens]
        return uint_word(tokens.index(token_in)) + uint_word(tokens.index(token_out))  # type: ignore[arg-type]


async def deploy_curve(
    devnet: Devnet, client: ChainClient, symbols: Sequence[str], *, amplification: int, fee: int, offpeg: int
) -> PoolSpec:
    """Deploy our Curve double over devnet tokens and fill it with a million of each; fees in 1e-10."""
    if not _DOUBLE.is_file():
        pytest.skip("the contracts are not built: run `make install`")
    code = bytes.fromhex(json.loads(_DOUBLE.read_text())["bytecode"]["object"][2:])
    tokens = [(devnet.world.tokens[symbol].address, symbol, devnet.world.tokens[symbol].decimals) for symbol in symbols]
    hand = BalanceHand(client)
    terms = uint_word(amplification) + uint_word(fee) + uint_word(offpeg)
    built = await hand.send(None, code + compose(address_array([address for address, _, _ in tokens]), terms))
    assert built.created is not None
    spec = pool_spec(
        kind="curve-stable",
        chain_id=devnet.world.chain_id,
        address=built.created,
        token_a=tokens[0],
        token_b=tokens[1],
        more_tokens=tokens[2:],
        fee_pips=fee // 10_000,
    )
    await hand.approve(spec)
    await hand.join(spec, [10**6 * 10**decimals for _, _, decimals in tokens])
    return spec


def _numbers(values: Sequence[int]) -> Dynamic:
    return Dynamic(uint_word(len(values)) + b"".join(uint_word(value) for value in values))


async def create_stable(
    devnet: Devnet, hand: BalanceHand, symbols: Sequence[str], amounts: Sequence[int], *, amplification: int
) -> PoolSpec:
    """Have Balancer's own factory make a stable pool of devnet tokens and fill it; its fee is 0.04 %."""
    by_symbol = dict(zip(symbols, amounts, strict=True))
    tokens = sorted(
        ((devnet.world.tokens[s].address, s, devnet.world.tokens[s].decimals) for s in symbols),
        key=lambda token: int(token[0], 16),
    )
    factory = devnet.world.contracts["BalancerStablePoolFactory"]
    label, addresses = Dynamic(bytes_words(b"pool")), address_array([address for address, _, _ in tokens])
    words = compose(label, label, addresses, uint_word(amplification) + uint_word(4 * 10**14) + address_word(DEPLOYER))
    receipt = await hand.send(factory, selector("create(string,string,address[],uint256,uint256,address)") + words)
    made = next(log for log in receipt.logs if log.address == factory)
    pool = address_at(bytes.fromhex(made.topics[1][2:]), 0)
    spec = pool_spec(
        kind="balancer-stable",
        chain_id=devnet.world.chain_id,
        address=pool,
        token_a=tokens[0],
        token_b=tokens[1],
        more_tokens=tokens[2:],
        fee_pips=400,
        pool_id="0x" + (await hand.client.call(pool, selector("getPoolId()"))).hex(),
    )
    await hand.approve(spec)
    held = [by_symbol[symbol] for _, symbol, _ in tokens]
    await hand.fill(spec, held)
    return spec


async def create_weighted(
    devnet: Devnet, hand: BalanceHand, generation: str, weights_percent: dict[str, int], usd: int
) -> PoolSpec:
    """Deploy a later generation's genuine factory, have it make a weighted pool, and fill that."""
    vault = address_word(BALANCER_VAULT)
    provider = await hand.send(
        None, artifact_code(f"{_TASKS}/{_PROVIDER}", node_modules()) + vault + uint_word(10**18) + uint_word(10**18)
    )
    code = artifact_code(f"{_TASKS}/{generation}/artifact/WeightedPoolFactory.json", node_modules())
    fees = address_word(str(provider.created))
    words = vault + fees
    if generation.endswith("v3"):
        words = compose(vault, fees, Dynamic(bytes_words(b"factory")), Dynamic(bytes_words(b"pool")))
    factory = (await hand.send(None, code + words)).created
    assert factory is not None
    tokens = sorted(
        ((devnet.world.tokens[s].address, s, devnet.world.tokens[s].decimals) for s in weights_percent),
        key=lambda token: int(token[0], 16),
    )
    label = Dynamic(bytes_words(b"pool"))
    none = address_array(["0x" + "00" * 20] * len(tokens))
    weights = _numbers([weights_percent[symbol] * 10**16 for _, symbol, _ in tokens])
    call = compose(
        label,
        label,
        address_array([address for address, _, _ in tokens]),
        weights,
        none,
        uint_word(3 * 10**15) + address_word(DEPLOYER),
    )
    receipt = await hand.send(
        factory, selector("create(string,string,address[],uint256[],address[],uint256,address)") + call
    )
    made = next(log for log in receipt.logs if log.address == factory)
    pool = address_at(bytes.fromhex(made.topics[1][2:]), 0)
    spec = pool_spec(
        kind="balancer-weighted",
        chain_id=devnet.world.chain_id,
        address=pool,
        token_a=tokens[0],
        token_b=tokens[1],
        more_tokens=tokens[2:],
        fee_pips=3000,
        pool_id="0x" + (await hand.client.call(pool, selector("getPoolId()"))).hex(),
    )
    await hand.approve(spec)
    await hand.fill(spec, [usd * weights_percent[symbol] * 10**decimals // 100 for _, symbol, decimals in tokens])
    return spec
