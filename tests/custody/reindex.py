"""The books rebuilt from nothing but the chain: every block, every receipt, every Transfer log, read anew.

An oracle: it shares no code with custody, only the node. Slow on purpose.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import text

from chain import ChainClient
from runtime.database import Database

TRANSFER = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"


@dataclass
class Index:
    """What the chain says of one account, from one block on."""

    moves: dict[str, dict[str, int]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(int)))
    """Transaction hash → asset id → raw units gained (negative: lost), gas included."""
    nonces: dict[int, list[str]] = field(default_factory=lambda: defaultdict(list))
    """Nonce → hashes of the account's own transactions."""

    def of(self, tx_hash: str) -> dict[str, int]:
        return {asset: raw for asset, raw in self.moves.get(tx_hash, {}).items() if raw}


async def reindex(client: ChainClient, account: str, *, after: int = 0) -> Index:
    """Read every block behind `after` up to the head."""
    head = int(await client.rpc.request("eth_blockNumber"), 16)
    index, me = Index(), account.lower()
    coin = f"eip155:{client.chain_id}/slip44:60"
    for first in range(after + 1, head + 1, 50):
        numbers = range(first, min(first + 50, head + 1))
        blocks = await client.batch([("eth_getBlockByNumber", (hex(n), True)) for n in numbers])
        transactions = [tx for block in blocks for tx in block["transactions"]]
        # One by one: anvil gives no block's receipts at once for some blocks after a reorganisation.
        receipts = await client.batch([("eth_getTransactionReceipt", (tx["hash"],)) for tx in transactions])
        for tx, receipt in zip(transactions, receipts, strict=True):
            assert receipt["blockHash"] == tx["blockHash"]
            _read(index, me, coin, client.chain_id, tx, receipt)
    return index


def _read(index: Index, me: str, coin: str, chain_id: int, tx: dict[str, Any], receipt: dict[str, Any]) -> None:
    moved = index.moves[tx["hash"]]
    succeeded = int(receipt["status"], 16) == 1
    if tx["from"].lower() == me:
        index.nonces[int(tx["nonce"], 16)].append(tx["hash"])
        moved[coin] -= int(receipt["gasUsed"], 16) * int(receipt["effectiveGasPrice"], 16)
        if succeeded:
            moved[coin] -= int(tx["value"], 16)
    if succeeded and (tx["to"] or "").lower() == me:
        moved[coin] += int(tx["value"], 16)
    for log in receipt["logs"]:
        if log["topics"][0] != TRANSFER or len(log["topics"]) != 3:
            continue
        asset = f"eip155:{chain_id}/erc20:{log['address'].lower()}"
        source, target = ("0x" + topic[-40:] for topic in log["topics"][1:])
        raw = int(log["data"], 16)
        moved[asset] += (raw if target == me else 0) - (raw if source == me else 0)


def booked(database: Database, account: str) -> dict[str, dict[str, int]]:
    """What the ledger says each transaction moved on an account, contra entries included: hash → asset → raw units."""
    found: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    with database.snapshot() as session:
        rows = session.execute(
            text(
                "SELECT e.tx_hash, p.asset, CAST(p.raw AS TEXT) FROM ledger_postings p"
                " JOIN ledger_entries e ON e.id = p.entry_id WHERE p.account = :account AND e.tx_hash <> ''"
            ),
            {"account": account},
        )
        for tx_hash, asset, raw in rows:
            found[tx_hash][asset.lower()] += int(raw)
    moved = {tx_hash: {asset: raw for asset, raw in legs.items() if raw} for tx_hash, legs in found.items()}
    return {tx_hash: legs for tx_hash, legs in moved.items() if legs}


async def check_against_chain(client: ChainClient, database: Database, account: str, *, after: int = 0) -> Index:
    """Ledger and chain say the same of every transaction, and no nonce is missing or used twice."""
    index = await reindex(client, account, after=after)
    ours = {tx_hash for hashes in index.nonces.values() for tx_hash in hashes}
    chain = {tx_hash: index.of(tx_hash) for tx_hash in ours if index.of(tx_hash)}
    ledger = booked(database, f"chain/{client.chain_id}/{account}")
    assert ledger == chain, differences(ledger, chain)
    assert all(len(hashes) == 1 for hashes in index.nonces.values())
    if index.nonces:
        assert sorted(index.nonces) == list(range(min(index.nonces), await client.nonce(account)))
    return index


def differences(ledger: dict[str, dict[str, int]], chain: dict[str, dict[str, int]]) -> str:
    """The transactions on which they differ, for a failing test's message."""
    lines = [
        f"{tx_hash}: ledger {ledger.get(tx_hash)}, chain {chain.get(tx_hash)}"
        for tx_hash in sorted({*ledger, *chain})
        if ledger.get(tx_hash) != chain.get(tx_hash)
    ]
    return "\n".join(lines)
