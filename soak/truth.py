"""What must hold after a run, asked of the exchange, the chain and the files directly.

On purpose without the product's own code: SQL, HTTP and a signature of a dozen lines. The one exception is the replay
of the journal, which is the product's claim about itself.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import sqlite3
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import closing, contextmanager
from decimal import Decimal
from typing import Any

from cli.demo.installation import EXCHANGE_KEY, EXCHANGE_SECRET, VAULT
from soak.demo import ROOT, Demo
from soak.strikes import rpc

SYMBOLS = ("ETHUSDC", "BTCUSDC")
EXCHANGE_UNIT = 10**8
SETTLED = ("safe", "final", "failed", "cancelled", "refused")
"""States of an intent whose outcome was told: a demo ends long before a block is final for ever."""
_PAGE = 1000


def problems_of(demo: Demo, result: dict[str, Any]) -> list[str]:
    """Everything that is not as it must be; empty when all is well. The world must still be there, at rest."""
    found = [*_told(result)]
    with _database(demo, "capstan.db") as books:
        found += _balanced(books)
        found += _equal_to_exchange(demo, books)
        found += _equal_to_chain(demo, books)
        found += _each_trade_once(demo, books)
        found += _nonces(demo, books)
    found += _replay(demo, result)
    return found


def _told(result: dict[str, Any]) -> Iterator[str]:
    ledger = result["ledger"]
    if not ledger["balanced"]:
        yield f"the result says the ledger is not balanced: {ledger['problems']}"
    if not ledger["matches_venues"]:
        yield f"the result says the ledger differs: {ledger['differences']}"
    if result["open_orders_after_stop"]:
        yield f"the result says {result['open_orders_after_stop']} orders are open"


def _balanced(books: sqlite3.Connection) -> Iterator[str]:
    sums: dict[tuple[int, str], int] = defaultdict(int)
    for entry, asset, raw in books.execute("SELECT entry_id, asset, raw FROM ledger_postings"):
        sums[entry, asset] += int(raw)
    for (entry, asset), total in sums.items():
        if total:
            yield f"ledger entry {entry} leaves {total} of {asset}"


def _equal_to_exchange(demo: Demo, books: sqlite3.Connection) -> Iterator[str]:
    if orders := _ask_exchange(demo, "openOrders"):
        yield f"{len(orders)} orders rest at the exchange: {[order['clientOrderId'] for order in orders]}"
    booked = _booked(books, "venue/sandbox")
    for row in _ask_exchange(demo, "account")["balances"]:
        held = int((Decimal(row["free"]) + Decimal(row["locked"])) * EXCHANGE_UNIT)
        if held != booked.get(f"sandbox/{row['asset']}", 0):
            yield f"exchange holds {held} {row['asset']}, booked {booked.get('sandbox/' + row['asset'], 0)}"


def _equal_to_chain(demo: Demo, books: sqlite3.Connection) -> Iterator[str]:
    account = books.execute("SELECT DISTINCT account FROM ledger_postings WHERE account LIKE 'chain/%'").fetchone()[0]
    for asset, booked in _booked(books, account).items():
        if "erc20:" in asset:
            token = asset.rpartition(":")[2]
            call = {"to": token, "data": "0x70a08231" + VAULT[2:].lower().rjust(64, "0")}  # balanceOf(address)
            held = int(rpc(demo, "eth_call", [call, "latest"]), 16)
        else:
            held = int(rpc(demo, "eth_getBalance", [VAULT, "latest"]), 16)
        if held != booked:
            yield f"the vault holds {held} of {asset}, booked {booked}"


def _each_trade_once(demo: Demo, books: sqlite3.Connection) -> Iterator[str]:
    traded = Counter(f"fill/sandbox/{symbol}/{trade['id']}" for symbol in SYMBOLS for trade in _trades(demo, symbol))
    booked = Counter(key for (key,) in books.execute("SELECT key FROM ledger_entries WHERE kind = 'fill'"))
    if traded != booked:
        yield f"not booked: {sorted(traded - booked)}; booked without a trade: {sorted(booked - traded)}"


def _nonces(demo: Demo, books: sqlite3.Connection) -> Iterator[str]:
    """No nonce was used for two things, none was left out, and what the chain mined is what custody knows."""
    with _database(demo, "signer-journal.db") as journal:
        signed = Counter(int(n) for (n,) in journal.execute("SELECT DISTINCT nonce FROM signed"))
        effects = journal.execute(
            "SELECT nonce FROM signed GROUP BY key, chain_id, nonce HAVING COUNT(DISTINCT effect) > 1"
        ).fetchall()
    if effects:
        yield f"nonces signed for two different things: {effects}"
    mined = int(rpc(demo, "eth_getTransactionCount", [VAULT, "latest"]), 16)
    rows = books.execute("SELECT intent_id, state, nonce FROM transactions").fetchall()
    if unfinished := [row for row in rows if row[1] not in SETTLED]:
        yield f"intents that did not end: {unfinished}"
    known = sorted(nonce for _, _, nonce in rows if nonce is not None)
    if known != list(range(mined)):
        yield f"the chain counts {mined} transactions, custody bound the nonces {known}"
    if set(signed) != set(known):
        yield f"signed nonces {sorted(signed)} are not custody's {known}"


def _replay(demo: Demo, result: dict[str, Any]) -> Iterator[str]:
    arguments = [sys.executable, "-m", "cli", "replay", str(demo.data / "journal.bin"), "--json"]
    done = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode:
        yield f"the journal cannot be replayed: {done.stderr.strip()}"
        return
    again = json.loads(done.stdout.strip().splitlines()[-1])
    for name in ("fills", "swaps", "pnl", "orders"):
        if again[name] != result[name]:
            yield f"the replay says {name} = {again[name]}, the result {result[name]}"


# --- asking


@contextmanager
def _database(demo: Demo, name: str) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(demo.data / name)) as connection:
        yield connection


def _booked(books: sqlite3.Connection, account: str) -> dict[str, int]:
    sums: dict[str, int] = defaultdict(int)
    for asset, raw in books.execute("SELECT asset, raw FROM ledger_postings WHERE account = ?", (account,)):
        sums[asset] += int(raw)
    return dict(sums)


def _trades(demo: Demo, symbol: str) -> Iterator[dict[str, Any]]:
    start = 0
    while page := _ask_exchange(demo, "myTrades", symbol=symbol, fromId=start, limit=_PAGE):
        yield from page
        start = int(page[-1]["id"]) + 1


def _ask_exchange(demo: Demo, path: str, **parameters: object) -> Any:
    query = urllib.parse.urlencode({**parameters, "timestamp": time.time_ns() // 1_000_000, "recvWindow": 10_000})
    signature = hmac.new(EXCHANGE_SECRET.encode(), query.encode(), hashlib.sha256).hexdigest()
    url = f"{demo.world()['exchange_url']}/api/v3/{path}?{query}&signature={signature}"
    request = urllib.request.Request(url, headers={"X-MBX-APIKEY": EXCHANGE_KEY})
    with urllib.request.urlopen(request, timeout=10) as reply:
        return json.loads(reply.read())
