"""Coins in and out of the exchange: `/sapi/v1/capital`, for keys that have the right.

Like the real venue: the amount asked for is taken from the account at once, the fee is kept of it, and the history
shows what the recipient gets beside the fee. A withdrawal is processed for `PROCESSING_MS` and then completed with a
hash that stands for its transaction; here no chain is touched. A client's `withdrawOrderId` is kept, and not checked
for being new.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from cex.sandbox import errors, wire
from cex.sandbox.accounts import Account
from cex.sandbox.config import UNIT
from cex.sandbox.errors import ApiError
from cex.sandbox.exchange import Exchange
from cex.sandbox.faults import Faults
from cex.sandbox.params import Params
from chain import keccak256
from chain.keccak import checksum

NETWORK: Final = "ETH"
PROCESSING_MS: Final = 200
FEE_RAW: Final = UNIT // 1000
"""0.001 of any coin."""
_MINIMUM_RAW: Final = 2 * FEE_RAW
_ROWS_MAX: Final = 1000
_PROCESSING, _FAILED, _COMPLETED = 4, 5, 6


@dataclass(slots=True)
class Withdrawal:
    id: str
    client_id: str
    coin: str
    raw: int
    address: str
    tag: str
    applied_ms: int
    due_ms: int
    is_failing: bool
    is_refunded: bool = False

    def status(self, now_ms: int) -> int:
        if now_ms < self.due_ms:
            return _PROCESSING
        return _FAILED if self.is_failing else _COMPLETED


@dataclass(frozen=True, slots=True)
class Deposit:
    coin: str
    raw: int
    address: str
    tx_id: str
    time_ms: int


class Capital:
    """Withdrawals, deposit addresses and deposits of every account."""

    def __init__(self, exchange: Exchange, faults: Faults) -> None:
        self._exchange = exchange
        self._faults = faults
        self._withdrawals: dict[int, list[Withdrawal]] = {}
        self._deposits: dict[int, list[Deposit]] = {}
        self.changed: Callable[[Account, int, Withdrawal | Deposit], None] = _ignore
        """Called with each new or changed row and its number among the account's."""

    def transfers(self) -> Iterator[tuple[Account, int, Withdrawal | Deposit]]:
        """Give all there were: whose, the account's which of its kind, and the row."""
        for account in self._exchange.accounts:
            yield from ((account, number, row) for number, row in enumerate(self._withdrawals.get(account.id, [])))
            yield from ((account, number, row) for number, row in enumerate(self._deposits.get(account.id, [])))

    def resume(self, account: Account, row: Withdrawal | Deposit) -> None:
        """Put back a row that an exchange before this one kept; oldest first."""
        if isinstance(row, Withdrawal):
            self._withdrawals.setdefault(account.id, []).append(row)
        else:
            self._deposits.setdefault(account.id, []).append(row)

    def apply(self, account: Account, params: Params) -> dict[str, str]:
        """Take a withdrawal."""
        coin, address, raw = self._coin(params), params.required("address"), params.amount("amount")
        if params.text("network") not in (None, NETWORK):
            raise errors.invalid_parameter("network")
        if raw is None or raw < _MINIMUM_RAW:
            raise ApiError(-4060, f"The withdrawal amount must be at least {wire.units(_MINIMUM_RAW)}.")
        times = 2 if self._faults.take("double_withdrawal") else 1
        if account.balance(coin).free < raw * times:
            raise ApiError(-4026, "The user has insufficient balance available.")
        for _ in range(times):
            taken = self._take(account, coin, raw, address, params)
        return {"id": taken.id}

    def history(self, account: Account, params: Params) -> list[dict[str, Any]]:
        """List withdrawals, newest first."""
        now = self._exchange.clock_ms()
        coin, client_id = params.text("coin"), params.text("withdrawOrderId")
        start, end = params.integer("startTime") or 0, params.integer("endTime") or now
        limit = params.integer("limit", most=_ROWS_MAX) or _ROWS_MAX
        found = []
        for row in reversed(self._withdrawals.get(account.id, [])):
            self._settle(account, row, now)
            if coin in (None, row.coin) and client_id in (None, row.client_id) and start <= row.applied_ms <= end:
                found.append(_withdrawal_view(row, now))
        return found[:limit]

    def deposit_address(self, account: Account, params: Params) -> dict[str, str]:
        """Give the address at which an account receives."""
        coin = self._coin(params)
        return {"coin": coin, "address": self._address(account), "tag": "", "url": ""}

    def deposits(self, account: Account, params: Params) -> list[dict[str, Any]]:
        """List deposits, newest first."""
        coin = params.text("coin")
        rows = reversed(self._deposits.get(account.id, []))
        return [_deposit_view(row) for row in rows if coin in (None, row.coin)]

    def credit(self, name: str, coin: str, raw: int, tx_id: str) -> None:
        """Let a deposit arrive. The same transaction again changes nothing."""
        account = self._exchange.clients().get(name)
        if account is None:
            raise errors.invalid_parameter("account")
        rows = self._deposits.setdefault(account.id, [])
        if any(row.tx_id == tx_id for row in rows):
            return
        row = Deposit(coin, raw, self._address(account), tx_id, self._exchange.clock_ms())
        rows.append(row)
        self._exchange.move(account, coin, raw)
        self.changed(account, len(rows) - 1, row)

    def _take(self, account: Account, coin: str, raw: int, address: str, params: Params) -> Withdrawal:
        now, rows = self._exchange.clock_ms(), self._withdrawals.setdefault(account.id, [])
        processing = self._faults.delay_ms if self._faults.take("delay_withdrawal") else PROCESSING_MS
        row = Withdrawal(
            id=hashlib.sha256(f"{account.name}/{len(rows)}".encode()).hexdigest()[:32],
            client_id=params.text("withdrawOrderId") or "",
            coin=coin,
            raw=raw,
            address=address,
            tag=params.text("addressTag") or "",
            applied_ms=now,
            due_ms=now + processing,
            is_failing=self._faults.take("fail_withdrawal"),
        )
        self._exchange.move(account, coin, -raw)
        rows.append(row)
        self.changed(account, len(rows) - 1, row)
        return row

    def _settle(self, account: Account, row: Withdrawal, now_ms: int) -> None:
        """Give back what failed, once."""
        if row.status(now_ms) == _FAILED and not row.is_refunded:
            row.is_refunded = True
            self._exchange.move(account, row.coin, row.raw)
            self.changed(account, self._withdrawals[account.id].index(row), row)

    def _coin(self, params: Params) -> str:
        coin = params.required("coin")
        if all(coin not in (market.spec.base, market.spec.quote) for market in self._exchange.markets.values()):
            raise ApiError(-4019, f"The current currency is not open for withdrawal: {coin}")
        return coin

    @staticmethod
    def _address(account: Account) -> str:
        return checksum("0x" + keccak256(f"sandbox deposit {account.name}".encode())[12:].hex())


def network_view(*, may_withdraw: bool) -> dict[str, Any]:
    """Describe the one network, as `capital/config/getall` does."""
    return {
        "network": NETWORK,
        "name": "Ethereum (sandbox)",
        "isDefault": True,
        "depositEnable": True,
        "withdrawEnable": may_withdraw,
        "withdrawFee": wire.units(FEE_RAW),
        "withdrawMin": wire.units(_MINIMUM_RAW),
        "withdrawMax": "100000000",
        "withdrawIntegerMultiple": "0.00000001",
        "minConfirm": 1,
        "unLockConfirm": 1,
    }


def _withdrawal_view(row: Withdrawal, now_ms: int) -> dict[str, Any]:
    status = row.status(now_ms)
    view = {
        "id": row.id,
        "amount": wire.units(row.raw - FEE_RAW),
        "transactionFee": wire.units(FEE_RAW),
        "coin": row.coin,
        "status": status,
        "address": row.address,
        "addressTag": row.tag,
        "txId": "0x" + hashlib.sha256(row.id.encode()).hexdigest() if status == _COMPLETED else "",
        "applyTime": time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(row.applied_ms / 1000)),
        "network": NETWORK,
        "transferType": 0,
    }
    return view | ({"withdrawOrderId": row.client_id} if row.client_id else {})


def _ignore(_account: Account, _number: int, _row: Withdrawal | Deposit) -> None:
    return


def _deposit_view(row: Deposit) -> dict[str, Any]:
    return {
        "amount": wire.units(row.raw),
        "coin": row.coin,
        "network": NETWORK,
        "status": 1,
        "address": row.address,
        "addressTag": "",
        "txId": row.tx_id,
        "insertTime": row.time_ms,
        "transferType": 0,
        "confirmTimes": "1/1",
    }
