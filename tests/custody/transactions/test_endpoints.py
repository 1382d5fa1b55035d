"""Several nodes of one chain: sent to all, booked by two, and nothing by one that lies, lags or is down."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, web

from chain import ChainClient
from chain.devnet import Devnet
from custody import DeskOptions, State
from runtime.processes import free_port
from tests.custody.desk import VAULT, TestDesk, build_desk, swap
from tests.custody.reindex import check_against_chain
from tests.custody.test_desk import running_desk
from tests.custody.test_faults import until

pytestmark = pytest.mark.anvil

Twist = Callable[[str, Any], Any]
"""(method, true result) → what is answered."""


class Node:
    """A node of its own mind in front of anvil: it passes questions on and twists answers."""

    def __init__(self, target: str) -> None:
        self.target = target
        self.port = free_port()
        self.twist: Twist = lambda _method, result: result
        self.swallows = False
        """Takes raw transactions, says their hash, and does nothing with them."""
        self.sent = 0
        self.is_down = False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[Node]:
        application = web.Application(client_max_size=2**24)
        application.router.add_post("/", self._answer)
        runner = web.AppRunner(application, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", self.port).start()
        async with ClientSession() as self._session:
            try:
                yield self
            finally:
                await runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        if self.is_down:
            assert request.transport is not None
            request.transport.close()
            return web.Response()
        asked = json.loads(await request.read())
        many = asked if isinstance(asked, list) else [asked]
        answers = [await self._one(question) for question in many]
        return web.json_response(answers if isinstance(asked, list) else answers[0])

    async def _one(self, question: dict[str, Any]) -> dict[str, Any]:
        if question["method"] == "eth_sendRawTransaction":
            self.sent += 1
            if self.swallows:
                return {"jsonrpc": "2.0", "id": question["id"], "result": "0x" + "00" * 32}
        async with self._session.post(self.target, json=question) as answer:
            found = json.loads(await answer.read())
        if "result" in found:
            found["result"] = self.twist(question["method"], found["result"])
        return found  # type: ignore[no-any-return]


def claims_success(method: str, result: Any) -> Any:
    """Every receipt is of a success, with logs left out."""
    return result | {"status": "0x1", "logs": []} if method == "eth_getTransactionReceipt" and result else result


def invents_receipts(block: dict[str, Any]) -> Twist:
    """Everything asked about is mined, in a block that really is on the chain."""

    def twist(method: str, result: Any) -> Any:
        if method != "eth_getTransactionReceipt" or result is not None:
            return result
        return {
            "transactionHash": "0x" + "12" * 32,
            "blockNumber": block["number"],
            "blockHash": block["hash"],
            "status": "0x1",
            "gasUsed": "0x5208",
            "effectiveGasPrice": "0x1",
            "from": VAULT,
            "to": VAULT,
            "logs": [],
        }

    return twist


def counts_too_high(method: str, result: Any) -> Any:
    return "0x384" if method == "eth_getTransactionCount" else result


def counts_too_low(method: str, result: Any) -> Any:
    return "0x4" if method == "eth_getTransactionCount" else result


def knows_nothing(method: str, result: Any) -> Any:
    return None if method == "eth_getTransactionReceipt" else result


@asynccontextmanager
async def served(
    devnet: Devnet, folder: Path, count: int, **options: Any
) -> AsyncIterator[tuple[TestDesk, list[Node], ChainClient]]:
    """A desk whose approvals are mined, behind several nodes of one anvil."""
    async with devnet.client() as client:
        await devnet.fund(VAULT, tokens={"WETH": 100 * 10**18, "USDC": 10**12})
        first = await running_desk(devnet, client, folder)
        await first.custody.stop()
        nodes = [Node(devnet.world.rpc_url) for _ in range(count)]
        stack = [node.serving() for node in nodes]
        for each in stack:
            await each.__aenter__()
        try:
            async with ChainClient([node.url for node in nodes], devnet.world.chain_id) as several:
                desk = build_desk(
                    devnet.world, several, folder, options=DeskOptions(poll_s=0.005, rebroadcast_s=0.05, **options)
                )
                await desk.start()
                yield desk, nodes, client
                await desk.custody.stop()
        finally:
            for each in stack:
                await each.__aexit__(None, None, None)


async def test_signed_bytes_go_to_every_node(devnet: Devnet, tmp_path: Path) -> None:
    async with served(devnet, tmp_path, 3) as (desk, nodes, client):
        nodes[0].swallows = True  # says yes and forgets it
        nodes[1].is_down = True
        await desk.custody.submit(swap(devnet.world, "all"))
        # Two of three agree that it is mined: one swallowed it, and tells the truth all the same.
        assert await desk.custody.drain(60)
        assert desk.outcome("all").status == "mined"
        assert nodes[0].sent >= 1
        assert nodes[2].sent >= 1
        await check_against_chain(client, desk.database, VAULT)


async def test_a_node_that_invents_receipts_books_nothing(devnet: Devnet, tmp_path: Path) -> None:
    async with served(devnet, tmp_path, 2) as (desk, nodes, client):
        await client.rpc.request("evm_setAutomine", False)
        try:
            block = await client.rpc.request("eth_getBlockByNumber", "latest", False)
            nodes[0].twist = invents_receipts(block)
            await desk.custody.submit(swap(devnet.world, "lied-about"))
            await until(lambda: desk.custody.state("lied-about") is State.BROADCAST)
            await asyncio.sleep(0.2)
            assert desk.custody.state("lied-about") is State.BROADCAST
            assert not [s for s in desk.settled if s.intent_id == "lied-about"]
            nodes[0].twist = lambda _method, result: result
            await client.rpc.request("evm_mine")
            assert await desk.custody.drain(60)
        finally:
            await client.rpc.request("evm_setAutomine", True)
        assert desk.outcome("lied-about").status == "mined"
        await check_against_chain(client, desk.database, VAULT)


async def test_a_node_that_lies_about_the_outcome_is_outvoted_by_two(devnet: Devnet, tmp_path: Path) -> None:
    async with served(devnet, tmp_path, 3) as (desk, nodes, client):
        nodes[0].twist = claims_success
        await desk.custody.submit(swap(devnet.world, "true"))
        assert await desk.custody.drain(60)
        assert int(desk.outcome("true").amount_out) > 0, "the liar's receipt has no logs"
        await check_against_chain(client, desk.database, VAULT)
        assert await desk.differences() == {}


async def test_a_node_that_counts_too_high_opens_no_gap(devnet: Devnet, tmp_path: Path) -> None:
    async with served(devnet, tmp_path, 3) as (desk, nodes, client):
        nodes[0].twist = counts_too_high
        for name in ("a", "b"):
            await desk.custody.submit(swap(devnet.world, name))
        assert await desk.custody.drain(60)
        assert await client.nonce(VAULT) == 4 + 2
        await check_against_chain(client, desk.database, VAULT)


async def test_nothing_is_final_for_a_node_that_counts_its_nonce_as_unused(devnet: Devnet, tmp_path: Path) -> None:
    async with served(devnet, tmp_path, 1) as (desk, nodes, client):
        await desk.custody.submit(swap(devnet.world, "both"))
        assert await desk.custody.drain(60)
        # Head and blocks of one chain, nonces of another: so it looks while anvil mines and reorganises at once.
        nodes[0].twist = counts_too_low
        await client.rpc.request("anvil_mine", hex(70))
        assert await desk.custody.wait_steady(20)
        assert desk.custody.state("both") is State.SAFE
        nodes[0].twist = lambda _method, result: result
        await until(lambda: desk.custody.state("both") is State.FINAL)


async def test_a_laggard_delays_and_loses_nothing(devnet: Devnet, tmp_path: Path) -> None:
    async with served(devnet, tmp_path, 2) as (desk, nodes, client):
        nodes[1].twist = knows_nothing
        await desk.custody.submit(swap(devnet.world, "slow"))
        await until(lambda: desk.custody.state("slow") is State.BROADCAST)
        assert not await desk.custody.drain(0.3)
        assert desk.custody.state("slow") is State.BROADCAST
        nodes[1].twist = lambda _method, result: result
        assert await desk.custody.drain(60)
        assert desk.outcome("slow").status == "mined"
        await check_against_chain(client, desk.database, VAULT)


async def test_with_one_of_two_nodes_down_nothing_is_booked_until_it_is_back(devnet: Devnet, tmp_path: Path) -> None:
    async with served(devnet, tmp_path, 2) as (desk, nodes, _client):
        await desk.custody.submit(swap(devnet.world, "before"))
        assert await desk.custody.drain(60)
        nodes[1].is_down = True
        await desk.custody.submit(swap(devnet.world, "meanwhile"))
        assert not await desk.custody.drain(0.3)
        assert not [s for s in desk.settled if s.intent_id == "meanwhile"]
        nodes[1].is_down = False
        assert await desk.custody.drain(60)
        assert desk.outcome("meanwhile").status == "mined"
