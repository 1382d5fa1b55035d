"""What clients ask of the wallet API (`/sapi`): coins, fees, rights and states, transfers by `Capital`."""

from __future__ import annotations

from typing import Any

from cex.sandbox import errors, wire
from cex.sandbox.accounts import Account
from cex.sandbox.capital import Capital, network_view
from cex.sandbox.endpoints import Endpoint, Endpoints
from cex.sandbox.exchange import Exchange
from cex.sandbox.params import Params
from cex.sandbox.signing import Right


def wallet_endpoints(exchange: Exchange, capital: Capital) -> Endpoints:
    """The part of the wallet API that is there."""
    wallet = Wallet(exchange)
    nothing = Endpoint(1, keyed=lambda _account, _params: [], right=Right.EITHER)
    return {
        ("GET", "/sapi/v1/system/status"): Endpoint(1, public=lambda _params: {"status": 0, "msg": "normal"}),
        ("GET", "/sapi/v1/capital/config/getall"): Endpoint(10, signed=wallet.coins, right=Right.EITHER),
        ("POST", "/sapi/v1/capital/withdraw/apply"): Endpoint(10, signed=capital.apply, right=Right.WITHDRAW),
        ("GET", "/sapi/v1/capital/withdraw/history"): Endpoint(2, signed=capital.history, right=Right.EITHER),
        ("GET", "/sapi/v1/capital/deposit/address"): Endpoint(10, signed=capital.deposit_address, right=Right.EITHER),
        ("GET", "/sapi/v1/capital/deposit/hisrec"): Endpoint(1, signed=capital.deposits, right=Right.EITHER),
        ("GET", "/sapi/v1/asset/tradeFee"): Endpoint(1, signed=wallet.trade_fees),
        ("POST", "/sapi/v3/asset/getUserAsset"): Endpoint(5, signed=wallet.assets),
        ("GET", "/sapi/v1/account/status"): Endpoint(1, signed=lambda _account, _params: {"data": "Normal"}),
        ("GET", "/sapi/v1/account/apiRestrictions"): Endpoint(1, signed=wallet.rights),
        ("GET", "/sapi/v1/margin/allPairs"): nothing,
        ("GET", "/sapi/v1/margin/isolated/allPairs"): nothing,
    }


class Wallet:
    """Answers about an account's coins and rights."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    def coins(self, account: Account, _params: Params) -> Any:
        assets = sorted({a for m in self._exchange.markets.values() for a in (m.spec.base, m.spec.quote)})
        return [_coin_view(asset, account) for asset in assets]

    def assets(self, account: Account, params: Params) -> Any:
        """What the account has of one asset, or of all it has something of."""
        wanted = params.text("asset")
        if params.peek("needBtcValuation") == "true":
            raise errors.invalid_parameter("needBtcValuation")
        return [
            {
                "asset": asset,
                "free": wire.units(balance.free),
                "locked": wire.units(balance.locked),
                "freeze": "0",
                "withdrawing": "0",
                "ipoable": "0",
                "btcValuation": "0",
            }
            for asset, balance in sorted(account.balances.items())
            if wanted in (None, asset) and (balance.free or balance.locked)
        ]

    def trade_fees(self, account: Account, params: Params) -> Any:
        symbol = params.text("symbol")
        names = [self._exchange.market(symbol).spec.name] if symbol else list(self._exchange.markets)
        maker, taker = (wire.fee_rate(pips) for pips in self._exchange.fee_pips(account))
        return [{"symbol": name, "makerCommission": maker, "takerCommission": taker} for name in names]

    def rights(self, _account: Account, _params: Params) -> Any:
        return {"ipRestrict": False, "enableReading": True, "enableSpotAndMarginTrading": True} | {
            "enableWithdrawals": False,
            "enableInternalTransfer": False,
            "enableMargin": False,
            "enableFutures": False,
        }


def _coin_view(asset: str, account: Account) -> dict[str, Any]:
    balance = account.balance(asset)
    may_withdraw = account.spec.withdraw_api_key is not None
    return {
        "coin": asset,
        "depositAllEnable": True,
        "withdrawAllEnable": may_withdraw,
        "name": asset,
        "free": wire.units(balance.free),
        "locked": wire.units(balance.locked),
        "freeze": "0",
        "withdrawing": "0",
        "ipoing": "0",
        "ipoable": "0",
        "storage": "0",
        "isLegalMoney": False,
        "trading": True,
        "networkList": [network_view(may_withdraw=may_withdraw)],
    }
