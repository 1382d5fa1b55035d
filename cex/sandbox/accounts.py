"""Accounts and their balances, in exact integers of 1e-8; and the file that lists them."""

from __future__ import annotations

import json
import tomllib
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from cex.sandbox.config import UNIT_DECIMALS, AccountSpec
from cex.sandbox.orders import Order, OrderList, PreventedMatch, Trade
from domain import InputError, InvariantError, parse_units

_SIGNS_WITH: Final = ("secret", "ed25519_public_key", "rsa_public_key")
_KEYS: Final = frozenset(
    {"name", "api_key", *_SIGNS_WITH, "balances", "withdraw_api_key", "withdraw_secret", "fee_tier"}
)
HISTORY_MAX: Final = 200_000
"""Ended orders, and trades per symbol, that an account remembers."""


@dataclass(slots=True)
class Balance:
    free: int = 0
    locked: int = 0


@dataclass(eq=False, slots=True)
class Account:
    """One owner of balances and orders."""

    id: int
    spec: AccountSpec
    is_background: bool = False
    """Order flow and fees: no history is kept and nothing is reported."""
    balances: dict[str, Balance] = field(default_factory=dict)
    orders: dict[int, Order] = field(default_factory=dict)
    open_orders: dict[int, Order] = field(default_factory=dict)
    by_client_id: dict[str, Order] = field(default_factory=dict)
    trades: dict[str, deque[Trade]] = field(default_factory=dict)
    prevented: dict[str, deque[PreventedMatch]] = field(default_factory=dict)
    lists: dict[int, OrderList] = field(default_factory=dict)
    open_lists: dict[int, OrderList] = field(default_factory=dict)
    lists_by_client_id: dict[str, OrderList] = field(default_factory=dict)
    open_counts: dict[str, int] = field(default_factory=dict)
    """Open orders by symbol."""
    volumes: dict[int, int] = field(default_factory=dict)
    """What it traded by day since the epoch, for fees; see `fees.py`."""
    updated_ms: int = 0
    _ended: deque[int] = field(default_factory=deque)
    _ended_lists: deque[int] = field(default_factory=deque)

    @property
    def name(self) -> str:
        return self.spec.name

    def balance(self, asset: str) -> Balance:
        balance = self.balances.get(asset)
        if balance is None:
            balance = self.balances[asset] = Balance()
        return balance

    def credit(self, asset: str, raw: int) -> None:
        self.balance(asset).free += raw

    def debit(self, asset: str, raw: int) -> None:
        """Take from the free balance what a check has found there."""
        balance = self.balance(asset)
        if raw > balance.free:
            raise InvariantError(f"account {self.name}: debit of {raw} {asset} exceeds the free {balance.free}")
        balance.free -= raw

    def lock(self, asset: str, raw: int) -> None:
        self.debit(asset, raw)
        self.balance(asset).locked += raw

    def unlock(self, asset: str, raw: int) -> None:
        self.spend_locked(asset, raw)
        self.balance(asset).free += raw

    def spend_locked(self, asset: str, raw: int) -> None:
        balance = self.balance(asset)
        if raw > balance.locked:
            raise InvariantError(f"account {self.name}: {raw} {asset} exceeds the locked {balance.locked}")
        balance.locked -= raw

    def opened(self, order: Order) -> None:
        """Remember an accepted order. A client order id names the newest order that bears it."""
        self.open_orders[order.id] = order
        symbol = order.symbol.name
        self.open_counts[symbol] = self.open_counts.get(symbol, 0) + 1
        if not self.is_background:
            self.orders[order.id] = order
            self.by_client_id[order.client_order_id] = order

    def renamed(self, order: Order, client_order_id: str) -> None:
        """Give an amended order its new client order id."""
        if self.is_background:
            order.client_order_id = client_order_id
            return
        if self.by_client_id.get(order.client_order_id) is order:
            del self.by_client_id[order.client_order_id]
        order.client_order_id = client_order_id
        self.by_client_id[client_order_id] = order

    def ended(self, order: Order) -> None:
        """Move an order into the bounded history."""
        del self.open_orders[order.id]
        self.open_counts[order.symbol.name] -= 1
        if self.is_background:
            return
        self._ended.append(order.id)
        if len(self._ended) > HISTORY_MAX:
            oldest = self.orders.pop(self._ended.popleft())
            if self.by_client_id.get(oldest.client_order_id) is oldest:
                del self.by_client_id[oldest.client_order_id]

    def opened_list(self, order_list: OrderList) -> None:
        self.lists[order_list.id] = self.open_lists[order_list.id] = order_list
        self.lists_by_client_id[order_list.client_order_id] = order_list

    def ended_list(self, order_list: OrderList) -> None:
        """Move an order list into the bounded history."""
        del self.open_lists[order_list.id]
        self._ended_lists.append(order_list.id)
        if len(self._ended_lists) > HISTORY_MAX:
            oldest = self.lists.pop(self._ended_lists.popleft())
            if self.lists_by_client_id.get(oldest.client_order_id) is oldest:
                del self.lists_by_client_id[oldest.client_order_id]

    def prevented_match(self, match: PreventedMatch) -> None:
        """Remember a prevented match, or what more is known of the last one."""
        if self.is_background:
            return
        matches = self.prevented.setdefault(match.symbol.name, deque(maxlen=HISTORY_MAX))
        if matches and matches[-1].id == match.id:
            matches.pop()
        matches.append(match)

    def traded(self, trade: Trade) -> None:
        if not self.is_background:
            self.trades.setdefault(trade.symbol.name, deque(maxlen=HISTORY_MAX)).append(trade)


def load_accounts(path: Path) -> tuple[AccountSpec, ...]:
    """Read accounts from a TOML or JSON file: a list `accounts` of tables.

    Each has `name`, `api_key`, one of `secret`, `ed25519_public_key` and `rsa_public_key` (PEM), and `balances` (asset
    to decimal text); optionally a second key that may withdraw, `withdraw_api_key` with `withdraw_secret`.

    Raises:
        InputError: The file cannot be read or an account is incomplete. The message never repeats a secret.
    """
    try:
        text = path.read_text(encoding="utf-8")
        document = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except (OSError, ValueError, RecursionError) as exc:
        raise InputError(
            f"accounts file {path}: {type(exc).__name__}", hint="TOML or JSON with a list `accounts`"
        ) from exc
    rows = document.get("accounts") if isinstance(document, dict) else None
    if not isinstance(rows, list) or not rows:
        raise InputError(f"accounts file {path}: expected a list `accounts`")
    return tuple(_account(row, f"accounts file {path}, account {number}") for number, row in enumerate(rows, 1))


def _account(row: Any, where: str) -> AccountSpec:
    if not isinstance(row, dict):
        raise InputError(f"{where}: expected a table")
    unknown = set(row) - _KEYS
    if unknown:
        raise InputError(f"{where}: unknown keys {', '.join(sorted(unknown))}")
    for key in ("name", "api_key"):
        if not isinstance(row.get(key), str) or not row[key]:
            raise InputError(f"{where}: {key} must be a text")
    if sum(row.get(key) is not None for key in _SIGNS_WITH) != 1:
        raise InputError(f"{where}: give either secret, ed25519_public_key or rsa_public_key")
    withdraw_key, withdraw_secret = row.get("withdraw_api_key"), row.get("withdraw_secret")
    if (withdraw_key is None) != (withdraw_secret is None):
        raise InputError(f"{where}: withdraw_api_key and withdraw_secret belong together")
    for key in (*_SIGNS_WITH, "withdraw_api_key", "withdraw_secret"):
        value = row.get(key)
        if value is not None and (not isinstance(value, str) or not value):
            raise InputError(f"{where}: {key} must be a text")
    fee_tier = row.get("fee_tier")
    if fee_tier is not None and (not isinstance(fee_tier, int) or isinstance(fee_tier, bool) or fee_tier < 0):
        raise InputError(f"{where}: fee_tier must be the position of a tier, from 0")
    balances = row.get("balances", {})
    if not isinstance(balances, dict):
        raise InputError(f"{where}: balances must be a table")
    for asset, amount in balances.items():
        if not isinstance(amount, str):
            raise InputError(f"{where}: balance of {asset} must be a decimal text")
        parse_units(amount, UNIT_DECIMALS)
    return AccountSpec(**row | {"balances": dict(balances)})
