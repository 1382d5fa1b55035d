"""What blocks brought to our addresses: token transfers from logs, coins from traces or transactions.

Blocks that may still be reorganised are asked about by hash, so that an answer cannot belong to another; final ones by
ranges, many at once. Whatever does not fit the headers it was asked for is thrown away and asked again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final, Protocol

from chain import Block, Log, NodeRefused, Receipt, checksum
from chain.abi import topic, uint_at
from chain.records import block_from, log_from, receipt_from
from custody.deposits.addresses import AddressBook
from custody.deposits.contracts import RECEIVED, SWEPT
from custody.deposits.settings import DepositSettings
from custody.deposits.sweep_plans import Moved, moved_by_log
from custody.deposits.traces import coin_movements
from domain import Address, ChainId, InputError, VenueUnavailable, Wei, native_asset

_TRANSFER: Final = topic("Transfer(address,address,uint256)")
_TOPICS_MAX: Final = 500
"""Up to so many addresses are named to the node; beyond, it gives all transfers and we pick ours."""
_METHOD_NOT_FOUND: Final = -32601


class ScannedChain(Protocol):
    """What the scanner needs of a node; `chain.ChainClient` satisfies it."""

    @property
    def chain_id(self) -> ChainId: ...

    async def head(self) -> Block: ...

    async def find_block(self, ref: int | str) -> Block | None: ...

    async def balance(self, address: str, block: int | str = "latest") -> Wei: ...

    async def token_balance(self, token: str, address: str, block: int | str = "latest") -> int: ...

    async def batch(self, requests: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]: ...


class ChainMoved(VenueUnavailable):
    """The node changed its mind while it was asked: nothing was read, ask again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """One amount that came to one of our addresses."""

    block_number: int
    block_hash: str
    tx_hash: str
    log_index: int
    leg: int
    address: Address
    asset: str
    raw: int
    sender: Address
    origin: Address


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenSweep:
    """One of our forwarders was swept; by whom is not said here."""

    block_number: int
    tx_hash: str
    log_index: int
    part: Moved


class DepositReader:
    """Reads blocks for arrivals. Holds nothing between calls."""

    def __init__(self, chain: ScannedChain, settings: DepositSettings, book: AddressBook) -> None:
        self._chain = chain
        self._settings = settings
        self._book = book
        self._coin = native_asset(chain.chain_id).id
        self._tokens = {checksum(asset.rpartition(":")[2]): asset for asset in settings.assets if asset != self._coin}
        self._ignored = settings.gas_tank

    async def headers(self, first: int, last: int) -> list[Block]:
        """Give the blocks of a range, each the child of the one before.

        Raises:
            ChainMoved: The node lost some, or they are not of one branch.
        """
        answers = await self._chain.batch([("eth_getBlockByNumber", (hex(n), False)) for n in range(first, last + 1)])
        if any(isinstance(answer, NodeRefused) or answer is None for answer in answers):
            raise ChainMoved(f"blocks {first} to {last} are not all there (any more)")
        blocks = [block_from(answer) for answer in answers]
        for parent, block in pairwise(blocks):
            if block.parent_hash != parent.hash:
                raise ChainMoved(f"block {block.number} is no child of {parent.hash}")
        return blocks

    async def arrivals(self, blocks: Sequence[Block], *, final: int) -> list[Arrival]:
        """Give what the blocks brought, in a fixed order.

        Args:
            blocks: Consecutive, as `headers` gives them.
            final: The newest final block's number; up to there ranges are asked for.

        Raises:
            ChainMoved: An answer does not fit the blocks; nothing was read.
            VenueUnavailable: No node answers.
            InputError: The node has no call traces.
        """
        if not self._book.users:
            return []
        busy = [block for block in blocks if block.transactions]
        found: list[Arrival] = []
        if self._tokens:
            logs = await self._logs(busy, final, list(self._tokens), [_TRANSFER, None, self._words(self._book.users)])
            found += await self._from_logs(logs)
        if self._coin in self._settings.assets:
            traced = self._settings.native == "trace"
            found += await (self._from_traces(busy) if traced else self._from_transactions(busy, final))
        return sorted(found, key=lambda a: (a.block_number, a.tx_hash, a.log_index, a.leg))

    async def sweeps(self, blocks: Sequence[Block], *, final: int) -> list[SeenSweep]:
        """Give the sweeps of our forwarders, in a fixed order. Arguments and errors as `arrivals`."""
        factory = self._settings.factory
        busy = [block for block in blocks if block.transactions]
        if factory is None or not busy or not self._book.forwarders:
            return []
        logs = [log for log in await self._logs(busy, final, [factory], [SWEPT]) if log.topics[0] == SWEPT]
        parts = [(log, moved_by_log(log, self._chain.chain_id)) for log in logs]
        mine = [(log, part) for log, part in parts if part.address in self._book.forwarders]
        mine = [(log, part) for log, part in mine if part.asset in self._settings.assets and part.sent_raw]
        receipts = await self._receipts([log for log, _ in mine])
        return [
            SeenSweep(
                block_number=log.block_number,
                tx_hash=log.tx_hash,
                log_index=log.index - receipts[log.tx_hash].logs[0].index,
                part=part,
            )
            for log, part in mine
        ]

    # --- tokens

    async def _from_logs(self, logs: Sequence[Log]) -> list[Arrival]:
        mine = []
        for log in logs:
            # ERC-20: from and to are indexed, the amount is the data. ERC-721 indexes all three and moves no amount.
            if len(log.topics) == 3 and log.topics[0] == _TRANSFER and len(log.data) == 32 and uint_at(log.data, 0):
                mine.append((log, _address(log.topics[1]), _address(log.topics[2]), self._tokens[log.address]))
        mine = [row for row in mine if row[2] in self._book.users and row[1] != row[2]]
        receipts = await self._receipts([log for log, *_ in mine])
        return [self._arrival(log, receipts[log.tx_hash], sender, target, asset) for log, sender, target, asset in mine]

    @staticmethod
    def _arrival(log: Log, receipt: Receipt, sender: Address, target: Address, asset: str) -> Arrival:
        return Arrival(
            block_number=log.block_number,
            block_hash=log.block_hash,
            tx_hash=log.tx_hash,
            log_index=log.index - receipt.logs[0].index,
            leg=0,
            address=target,
            asset=asset,
            raw=uint_at(log.data, 0),
            sender=sender,
            origin=receipt.sender,
        )

    async def _logs(
        self, blocks: Sequence[Block], final: int, contracts: Sequence[str], topics: Sequence[Any]
    ) -> list[Log]:
        requests: list[tuple[str, Sequence[Any]]] = []
        wanted: dict[str, Any] = {"topics": list(topics)}
        while wanted["topics"] and wanted["topics"][-1] is None:
            wanted["topics"].pop()
        if contracts:
            wanted["address"] = list(contracts)
        settled = [block for block in blocks if block.number <= final]
        if settled:
            ends = {"fromBlock": hex(settled[0].number), "toBlock": hex(settled[-1].number)}
            requests.append(("eth_getLogs", (wanted | ends,)))
        requests += [("eth_getLogs", (wanted | {"blockHash": block.hash},)) for block in blocks[len(settled) :]]
        answers = await self._chain.batch(requests)
        if settled and isinstance(answers[0], NodeRefused):
            # Too many logs, or too wide a range, for this node: block by block then.
            one_by_one = [("eth_getLogs", (wanted | {"blockHash": block.hash},)) for block in settled]
            answers = [*await self._chain.batch(one_by_one), *answers[1:]]
        hashes = {block.number: block.hash for block in blocks}
        found = []
        for answer in answers:
            for log in map(log_from, self._whole(answer)):
                # A block of the range that had no transactions for us has no header here, and no logs there.
                if hashes.get(log.block_number) != log.block_hash:
                    raise ChainMoved(f"a log is of block {log.block_hash}, which was not asked about")
                found.append(log)
        return found

    async def _receipts(self, logs: Sequence[Log]) -> dict[str, Receipt]:
        hashes = {log.tx_hash: log.block_hash for log in logs}
        answers = await self._chain.batch([("eth_getTransactionReceipt", (tx_hash,)) for tx_hash in hashes])
        found = {tx_hash: receipt_from(self._whole(answer)) for tx_hash, answer in zip(hashes, answers, strict=True)}
        for tx_hash, receipt in found.items():
            if receipt.block_hash != hashes[tx_hash] or not receipt.succeeded:
                raise ChainMoved(f"{tx_hash} is no longer in block {hashes[tx_hash]}")
        return found

    # --- coins

    async def _from_traces(self, blocks: Sequence[Block]) -> list[Arrival]:
        options = {"tracer": "callTracer"}
        answers = await self._chain.batch([("debug_traceBlockByHash", (block.hash, options)) for block in blocks])
        found = []
        for block, answer in zip(blocks, answers, strict=True):
            if isinstance(answer, NodeRefused) and answer.code == _METHOD_NOT_FOUND:
                raise InputError(
                    "the node gives no call traces (debug_traceBlockByHash)",
                    hint='enable its debug API, or set deposits.native = "transactions" and read docs/deposits.md',
                )
            traces = self._whole(answer)
            if len(traces) != len(block.transactions):
                raise ChainMoved(f"block {block.hash} has {len(block.transactions)} transactions, {len(traces)} traces")
            for tx_hash, entry in zip(block.transactions, traces, strict=True):
                if entry.get("txHash", tx_hash) != tx_hash:
                    raise ChainMoved(f"the traces of block {block.hash} are not in its order")
                found += self._moved(block, tx_hash, entry["result"])
        return found

    def _moved(self, block: Block, tx_hash: str, trace: Mapping[str, Any]) -> list[Arrival]:
        return [
            Arrival(
                block_number=block.number,
                block_hash=block.hash,
                tx_hash=tx_hash,
                log_index=-1,
                leg=moved.leg,
                address=moved.target,
                asset=self._coin,
                raw=moved.raw,
                sender=moved.sender,
                origin=checksum(trace["from"]),
            )
            for moved in coin_movements(trace)
            if moved.target in self._book.users and moved.sender not in (moved.target, self._ignored)
        ]

    async def _from_transactions(self, blocks: Sequence[Block], final: int) -> list[Arrival]:
        """Transfers by transactions, and what forwarders that stand report of contracts."""
        events = await self._logs(blocks, final, (), [RECEIVED])
        events = [log for log in events if log.address in self._book.forwarders and uint_at(log.data, 0)]
        told = {(log.tx_hash, log.address) for log in events}
        receipts = await self._receipts(events)
        found = [
            self._arrival(log, receipts[log.tx_hash], _address(log.topics[1]), log.address, self._coin)
            for log in events
            if _address(log.topics[1]) != self._ignored
        ]
        bodies = await self._chain.batch([("eth_getBlockByHash", (block.hash, True)) for block in blocks])
        sent = [
            (block, tx)
            for block, body in zip(blocks, bodies, strict=True)
            for tx in self._whole(body)["transactions"]
            if self._pays_us(tx) and (tx["hash"], checksum(tx["to"])) not in told
        ]
        answers = await self._chain.batch([("eth_getTransactionReceipt", (tx["hash"],)) for _, tx in sent])
        for (block, tx), answer in zip(sent, answers, strict=True):
            receipt = receipt_from(self._whole(answer))
            if receipt.block_hash != block.hash:
                raise ChainMoved(f"{tx['hash']} is no longer in block {block.hash}")
            if receipt.succeeded:
                trace = {key: tx[key] for key in ("from", "to", "value")} | {"type": "CALL"}
                found += self._moved(block, tx["hash"], trace)
        return found

    def _pays_us(self, tx: Mapping[str, Any]) -> bool:
        return bool(tx.get("to")) and int(tx["value"], 16) > 0 and checksum(tx["to"]) in self._book.users

    # --- answers

    def _words(self, addresses: Mapping[Address, str]) -> list[str] | None:
        """Addresses as topics; None, which is any, when they are too many for a question."""
        return ["0x" + a[2:].lower().rjust(64, "0") for a in addresses] if len(addresses) <= _TOPICS_MAX else None

    @staticmethod
    def _whole(answer: Any) -> Any:
        if answer is None or isinstance(answer, NodeRefused):
            raise ChainMoved(f"the node does not know what it was asked about (any more): {answer}")
        return answer


def _address(word: str) -> Address:
    return checksum("0x" + word[-40:])
