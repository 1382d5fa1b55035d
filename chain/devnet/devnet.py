"""A whole local chain with a DeFi world on it, as one object."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import msgspec
import structlog

from chain.abi import address_word, selector, uint_word
from chain.client import ChainClient
from chain.devnet.accounts import TEST_ADDRESSES
from chain.devnet.build import build
from chain.devnet.deployer import DEPLOYER
from chain.devnet.market import Market
from chain.devnet.node import AnvilNode, node_modules
from chain.devnet.saved import SavedDevnet
from chain.devnet.world import DevnetWorld
from domain.errors import InputError, InvariantError
from runtime.processes import free_port

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class DevnetConfig:
    """How to start a devnet. Port 0 picks a free one; `block_time_s` 0 mines every transaction at once."""

    port: int = 0
    host: str = "127.0.0.1"
    chain_id: int = 1337
    block_time_s: int = 0
    market: Market = field(default_factory=Market)
    follow_wall_clock: bool = True
    """After the world is built, block times continue from the machine's clock instead of 2025."""

    order: Literal["fees", "fifo"] = "fees"
    """Which waiting transaction a block takes first. A relay needs `fifo`: first come, first served."""

    epoch_blocks: int = 32
    """A block is `safe` after so many others, and `finalized` after twice as many."""

    def __post_init__(self) -> None:
        if not 0 <= self.port < 2**16:
            raise InputError(f"not a port: {self.port}")
        if self.chain_id <= 0:
            raise InputError(f"not a chain id: {self.chain_id}")
        if self.chain_id == 31337:
            raise InputError(
                "chain id 31337 breaks Permit2, whose published code caches it for another address",
                hint="Use 1337, or 1 for tools that hard-code mainnet.",
            )
        if self.epoch_blocks < 1:
            raise InputError(f"an epoch has blocks, found {self.epoch_blocks}")
        if self.block_time_s < 0:
            raise InputError(f"the block time must not be negative, found {self.block_time_s}")


class Devnet:
    """A running devnet. It dies with the process that started it.

    Holds no connection between calls, so it may be used from several event loops in turn.
    """

    def __init__(self, node: AnvilNode, world: DevnetWorld, config: DevnetConfig, ready_s: float) -> None:
        self._node = node
        self.world = world
        self.config = config
        self.ready_s = ready_s
        """How long it took to be ready."""

    @classmethod
    async def start(cls, config: DevnetConfig | None = None, saved: SavedDevnet | None = None) -> Self:
        """Start anvil, deploy the world or load a saved one, and return when it is ready (about 1 s).

        Call it on the main thread.

        Raises:
            InputError: The port is in use, the npm packages are not installed, or the saved chain is another one.
            VenueUnavailable: anvil did not start.
        """
        config = config or DevnetConfig()
        if saved is not None and saved.world.chain_id != config.chain_id:
            raise InputError(f"the dump is of chain {saved.world.chain_id}, asked for is chain {config.chain_id}")
        artifacts = node_modules()
        began = time.monotonic()
        node = AnvilNode(
            config.host,
            config.port or free_port(config.host),
            config.chain_id,
            order=config.order,
            epoch_blocks=config.epoch_blocks,
        )
        node.launch()
        try:
            await node.wait_until_listening()
            async with ChainClient([node.url], config.chain_id) as client:
                world = await (_load(client, saved) if saved else _build(client, artifacts, config))
                if config.follow_wall_clock:
                    await client.rpc.request("evm_setTime", max(int(time.time()), (await client.head()).time_s + 1))
                if config.block_time_s:
                    await client.rpc.request("evm_setIntervalMining", config.block_time_s)
        except BaseException:
            node.stop()
            raise
        world = msgspec.structs.replace(world, rpc_url=node.url)
        ready_s = time.monotonic() - began
        log.info("devnet.ready", url=node.url, chain_id=config.chain_id, seconds=round(ready_s, 2))
        return cls(node, world, config, ready_s)

    async def stop(self) -> None:
        """End the node; safe to repeat."""
        await asyncio.to_thread(self._node.stop)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    @property
    def process_id(self) -> int:
        """The node's process, for whoever wants to measure or to kill it."""
        return self._node.process_id

    def client(self) -> ChainClient:
        """Give a new, not yet connected client of this node."""
        return ChainClient([self.world.rpc_url], self.world.chain_id)

    async def dump(self) -> SavedDevnet:
        """Save the chain as it is now."""
        async with self.client() as client:
            return SavedDevnet(self.world, str(await client.rpc.request("anvil_dumpState")))

    async def wait(self) -> int:
        """Wait until the node ends by itself; give its exit status."""
        return await self._node.wait_until_ended()

    async def fund(self, address: str, eth_wei: int = 0, tokens: Mapping[str, int] | None = None) -> None:
        """Add coins and tokens (raw units by symbol) to an account. The deployer pays; the new blocks are mined.

        Raises:
            InputError: An unknown token symbol.
        """
        unknown = set(tokens or {}) - set(self.world.tokens)
        if unknown:
            raise InputError(f"the devnet has no token {', '.join(sorted(unknown))}")
        async with self.client() as client:
            if eth_wei:
                balance = await client.balance(address)
                await client.rpc.request("anvil_setBalance", address, hex(balance + eth_wei))
            hashes = []
            for symbol, raw in (tokens or {}).items():
                token = self.world.tokens[symbol].address
                given = address_word(address) + uint_word(raw)
                if symbol == "WETH":
                    hashes.append(await _send(client, token, selector("deposit()"), raw))
                    hashes.append(await _send(client, token, selector("transfer(address,uint256)") + given))
                else:
                    hashes.append(await _send(client, token, selector("mint(address,uint256)") + given))
            await _mine(client, hashes, at_once=self.config.block_time_s == 0)


async def _build(client: ChainClient, artifacts: Path, config: DevnetConfig) -> DevnetWorld:
    genesis = await client.block(0)
    built = await build(client, artifacts, config.market)
    return DevnetWorld(
        rpc_url="",
        chain_id=config.chain_id,
        genesis_hash=genesis.hash,
        contracts=built.contracts,
        tokens=built.tokens,
        pools=built.pools,
        test_accounts=TEST_ADDRESSES,
    )


async def _load(client: ChainClient, saved: SavedDevnet) -> DevnetWorld:
    await client.rpc.request("anvil_loadState", saved.state)
    # Not part of a dump: whom the node speaks for.
    await client.rpc.request("anvil_impersonateAccount", DEPLOYER)
    return saved.world


async def _send(client: ChainClient, to: str, data: bytes, value_wei: int = 0) -> str:
    request: dict[str, Any] = {"from": DEPLOYER, "to": to, "data": "0x" + data.hex(), "value": hex(value_wei)}
    return str(await client.rpc.request("eth_sendTransaction", request | {"gas": hex(500_000)}))


async def _mine(client: ChainClient, hashes: list[str], *, at_once: bool) -> None:
    """See transactions into blocks, also where blocks come by interval only."""
    if hashes and not at_once:
        await client.rpc.request("evm_mine")
    for tx_hash in hashes:
        receipt = await client.wait_receipt(tx_hash, timeout_s=10, poll_s=0.002)
        if not receipt.succeeded:
            raise InvariantError(f"devnet: funding transaction {tx_hash} reverted")
