"""The chain as the platform asks for it: blocks, balances, fees, calls, broadcasts. Never sees a key."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from chain.abi import address_word, call_data, selector, uint_at
from chain.broadcast import Sent, broadcast
from chain.errors import NodeRefused, revert_reason
from chain.keccak import checksum, keccak256
from chain.records import (
    Block,
    BlockRef,
    Call,
    CallOutcome,
    FeeQuote,
    Log,
    Receipt,
    SeenTransaction,
    block_from,
    log_from,
    receipt_from,
    transaction_from,
)
from chain.rpc import JsonRpc, Request
from chain.survey import BATCH_MAX, Survey, agreed_nonce, survey
from domain.errors import InputError, OutcomeUnknown
from domain.ids import BlockNumber, ChainId, Wei

_BALANCE_OF = selector("balanceOf(address)")
_FEE_BLOCKS = 5
_FEE_PERCENTILE = 50
_PRIORITY_FLOOR_WEI = 1
_PRIORITY_CEILING_WEI = 50 * 10**9
"""A tip above 50 gwei per gas is a mistake of the node's, or a storm we do not want to pay for unasked."""

Overrides = Mapping[str, Mapping[str, Any]]
"""State overrides by address, as `eth_call` takes them: `{address: {"balance": "0x…", "code": "0x…"}}`."""


class ChainClient:
    """One chain through one or more nodes. Open with `connect` or as an async context manager.

    Reads raise `VenueUnavailable` when no node answers within its bound and `NodeRefused` when one answers an error.
    """

    def __init__(
        self, urls: Sequence[str], chain_id: int, *, request_timeout_s: float = 10.0, connect_timeout_s: float = 2.0
    ) -> None:
        self.chain_id = ChainId(chain_id)
        self.rpc = JsonRpc(
            urls, self.chain_id, request_timeout_s=request_timeout_s, connect_timeout_s=connect_timeout_s
        )

    async def connect(self) -> None:
        """Connect and check the chain id at every node that answers.

        Raises:
            InputError: A node serves another chain.
            VenueUnavailable: No node answers.
        """
        await self.rpc.open()

    async def close(self) -> None:
        await self.rpc.close()

    async def __aenter__(self) -> Self:
        await self.connect()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def batch(self, requests: Sequence[Request]) -> list[Any]:
        """Ask many raw JSON-RPC questions in one round trip; a refused one comes back as its `NodeRefused`."""
        return await self.rpc.batch(requests)

    # --- blocks and logs

    async def head(self) -> Block:
        """Give the newest block."""
        return await self.block("latest")

    async def block(self, ref: BlockRef) -> Block:
        """Give a block by number, tag or hash.

        Raises:
            InputError: The node knows no such block.
        """
        found = await self.find_block(ref)
        if found is None:
            raise InputError(f"chain {self.chain_id} has no block {ref}")
        return found

    async def find_block(self, ref: BlockRef) -> Block | None:
        """Give a block, or None when the node does not (or no longer) know it."""
        method = "eth_getBlockByHash" if is_hash(ref) else "eth_getBlockByNumber"
        answer = await self.rpc.request(method, block_param(ref), False)
        return None if answer is None else block_from(answer)

    async def find_blocks(self, numbers: Sequence[int]) -> list[Block | None]:
        """Give many blocks by number in few round trips; None for one the node does not know."""
        questions: list[Request] = [("eth_getBlockByNumber", (hex(number), False)) for number in numbers]
        answers: list[Any] = []
        for start in range(0, len(questions), BATCH_MAX):
            answers += await self.rpc.batch(questions[start : start + BATCH_MAX])
        return [None if answer is None or isinstance(answer, NodeRefused) else block_from(answer) for answer in answers]

    async def logs(
        self,
        *,
        addresses: Sequence[str] = (),
        topics: Sequence[str | Sequence[str] | None] = (),
        from_block: BlockRef | None = None,
        to_block: BlockRef | None = None,
        block_hash: str | None = None,
    ) -> list[Log]:
        """Give the logs of a range of blocks (both ends included) or of one block by hash, in chain order."""
        criteria: dict[str, Any] = {}
        if addresses:
            criteria["address"] = list(addresses)
        if topics:
            criteria["topics"] = list(topics)
        if block_hash is not None:
            criteria["blockHash"] = block_hash
        else:
            criteria["fromBlock"] = block_param("latest" if from_block is None else from_block)
            criteria["toBlock"] = block_param("latest" if to_block is None else to_block)
        return [log_from(entry) for entry in await self.rpc.request("eth_getLogs", criteria)]

    # --- accounts

    async def nonce(self, address: str, tag: BlockRef = "latest") -> int:
        """Count an account's transactions: its next nonce. `pending` also counts what waits in this node's pool."""
        return int(await self.rpc.request("eth_getTransactionCount", address, state_param(tag)), 16)

    async def balance(self, address: str, block: BlockRef = "latest") -> Wei:
        return Wei(int(await self.rpc.request("eth_getBalance", address, state_param(block)), 16))

    async def token_balance(self, token: str, address: str, block: BlockRef = "latest") -> int:
        """Give an ERC-20 balance in the token's smallest unit.

        Raises:
            InputError: There is no such token (no code answers).
        """
        return uint_at(await self.call(token, call_data(_BALANCE_OF, [address_word(address)]), block), 0)

    async def code(self, address: str, block: BlockRef = "latest") -> bytes:
        """Give a contract's code; empty for a plain account."""
        return bytes.fromhex((await self.rpc.request("eth_getCode", address, state_param(block)))[2:])

    # --- calls

    async def call(
        self,
        to: str | None,
        data: bytes,
        block: BlockRef = "latest",
        overrides: Overrides | None = None,
        *,
        sender: str | None = None,
        value_wei: int = 0,
    ) -> bytes:
        """Run a call without a transaction and give what it returns. `to` None runs `data` as a constructor.

        Raises:
            CallReverted: It reverted; the error carries the reason.
        """
        request: dict[str, Any] = {"data": "0x" + data.hex()}
        if to is not None:
            request["to"] = to
        if sender is not None:
            request["from"] = sender
        if value_wei:
            request["value"] = hex(value_wei)
        params: list[Any] = [request, state_param(block)]
        if overrides:
            params.append(overrides)
        return bytes.fromhex((await self.rpc.request("eth_call", *params))[2:])

    async def gas_estimate(
        self, sender: str, to: str | None, data: bytes, value_wei: int = 0, block: BlockRef | None = None
    ) -> int:
        """Estimate the gas a transaction needs now; add a margin before signing.

        With `block` "pending" it is run behind the transactions that wait.

        Raises:
            CallReverted: It would revert.
        """
        request: dict[str, Any] = {"from": sender, "data": "0x" + data.hex(), "value": hex(value_wei)}
        if to is not None:
            request["to"] = to
        at = [] if block is None else [block_param(block)]
        return int(await self.rpc.request("eth_estimateGas", request, *at), 16)

    async def simulate(
        self, calls: Sequence[Call], block: BlockRef = "latest", overrides: Overrides | None = None
    ) -> list[CallOutcome]:
        """Run calls one after another in one imagined block on top of `block`, with the logs they would emit.

        Checks neither nonces nor the sender's fee balance (`eth_simulateV1` without validation).
        """
        entry: dict[str, Any] = {"calls": [call.parameter() for call in calls]}
        if overrides:
            entry["stateOverrides"] = overrides
        payload = {"blockStateCalls": [entry], "validation": False, "traceTransfers": False}
        answer = await self.rpc.request("eth_simulateV1", payload, block_param(block))
        return [_outcome(result) for result in answer[0]["calls"]]

    # --- fees

    async def fees(self) -> FeeQuote:
        """Quote EIP-1559 fees for inclusion in the next blocks.

        The tip is the median of what the middle transaction paid in recent blocks that held any.
        """
        history = await self.rpc.request("eth_feeHistory", hex(_FEE_BLOCKS), "latest", [_FEE_PERCENTILE])
        base = int(history["baseFeePerGas"][-1], 16)
        used = history.get("gasUsedRatio") or []
        rewards = history.get("reward") or []
        tips = sorted(int(row[0], 16) for row, ratio in zip(rewards, used, strict=False) if ratio > 0)
        middle = tips[len(tips) // 2] if tips else _PRIORITY_FLOOR_WEI
        tip = min(max(middle, _PRIORITY_FLOOR_WEI), _PRIORITY_CEILING_WEI)
        return FeeQuote(base_fee=Wei(base), priority=Wei(tip), max_fee=Wei(2 * base + tip))

    # --- transactions

    async def send_raw(self, raw: bytes) -> str:
        """Broadcast a signed transaction to every node and give its hash.

        Raises:
            BroadcastRejected: No node took it (see its subclasses), and none is left in doubt.
            VenueUnavailable: It reached no node.
            OutcomeUnknown: A node may have taken it; ask for `request_id`, the transaction's hash.
        """
        outcome = (await self.broadcast([raw]))[0]
        if outcome is not None:
            raise outcome
        return "0x" + keccak256(raw).hex()

    async def broadcast(self, raws: Sequence[bytes]) -> list[Sent]:
        """Broadcast many signed transactions at once, in order; what `send_raw` would raise comes back for each."""
        return await broadcast(self.rpc, raws)

    async def survey(self, address: str, tx_hashes: Sequence[str] = (), blocks: Collection[int] = ()) -> Survey:
        """Ask every node about an account, transactions and blocks at once; see `chain.survey`.

        Raises:
            VenueUnavailable: Fewer nodes than a quorum answered.
        """
        return await survey(self.rpc, address, tx_hashes, blocks)

    async def agreed_nonce(self, address: str, number: int) -> int:
        """Count an account's transactions up to a block, as a quorum of the nodes does."""
        return await agreed_nonce(self.rpc, address, number)

    async def receipt(self, tx_hash: str) -> Receipt | None:
        """Give a mined transaction's receipt, or None while it waits or is unknown."""
        answer = await self.rpc.request("eth_getTransactionReceipt", tx_hash)
        return None if answer is None else receipt_from(answer)

    async def wait_receipt(self, tx_hash: str, *, timeout_s: float = 30.0, poll_s: float = 0.02) -> Receipt:
        """Wait for a transaction to be mined, asking every `poll_s`.

        Raises:
            OutcomeUnknown: It was not mined in time; it may be later.
        """
        try:
            async with asyncio.timeout(timeout_s):
                while True:
                    found = await self.receipt(tx_hash)
                    if found is not None:
                        return found
                    await asyncio.sleep(poll_s)
        except TimeoutError as exc:
            raise OutcomeUnknown(f"transaction {tx_hash} not mined in {timeout_s} s", request_id=tx_hash) from exc

    async def transaction(self, tx_hash: str) -> SeenTransaction | None:
        """Give a transaction the node knows, mined or waiting; None when it knows none."""
        answer = await self.rpc.request("eth_getTransactionByHash", tx_hash)
        return None if answer is None else transaction_from(answer)


def is_hash(ref: BlockRef) -> bool:
    """Tell a block hash from a tag."""
    return isinstance(ref, str) and len(ref) == 66


def block_param(ref: BlockRef) -> str:
    """Write a block reference as JSON-RPC wants it."""
    return hex(ref) if isinstance(ref, int) else ref


def state_param(ref: BlockRef) -> str | dict[str, str]:
    """Write which block's state is meant. EIP-1898: a hash goes as an object, so that a reorg cannot mislead."""
    return {"blockHash": str(ref)} if is_hash(ref) else block_param(ref)


def _outcome(result: Mapping[str, Any]) -> CallOutcome:
    error = result.get("error") or {}
    succeeded = int(result["status"], 16) == 1
    text = error.get("data") or result.get("returnData") or "0x"
    output = bytes.fromhex(text[2:])
    logs = tuple(_simulated_log(entry) for entry in result.get("logs", ()))
    reason = "" if succeeded else revert_reason(output) or str(error.get("message", "failed"))
    return CallOutcome(succeeded, int(result["gasUsed"], 16), output, reason, logs)


def _simulated_log(entry: Mapping[str, Any]) -> Log:
    """Read a log of an imagined block: its place on the chain has no meaning."""
    return Log(
        address=checksum(entry["address"]),
        topics=tuple(entry["topics"]),
        data=bytes.fromhex(entry["data"][2:]),
        block_number=BlockNumber(int(entry.get("blockNumber") or "0x0", 16)),
        block_hash="",
        tx_hash="",
        index=int(entry.get("logIndex") or "0x0", 16),
    )
