"""What a person would set up by hand before trading: the settings file, a keystore and its password.

TEST ONLY: the key is one of the public test accounts. The platform uses it because it recognises the devnet, and
refuses it anywhere else.
"""

from __future__ import annotations

import secrets
from typing import Any

from chain.devnet import TEST_ADDRESSES, TEST_MNEMONIC, TEST_PATH, DevnetWorld
from cli.data_dir import DataDir
from domain import native_asset, token_asset
from domain.ids import ChainId

VAULT_INDEX = 5
"""Which test account holds the demo's funds."""
VAULT = TEST_ADDRESSES[VAULT_INDEX]
EXCHANGE_KEY = "demo-market-maker"
EXCHANGE_SECRET = "demo-market-maker-secret"
"""TEST ONLY: published here, opens a sandbox on this machine."""
EXCHANGE_BALANCES = {"ETH": "500", "BTC": "25", "USDC": "3000000"}
VAULT_TOKENS = {"USDC": "3000000", "WETH": "500", "WBTC": "25"}


def prepare_keys(data: DataDir) -> None:
    """Write keystore, password and deny list unless they are there. Needs no world; takes a second for its imports."""
    if not (data.root / "keystore.json").exists():
        _write_keystore(data)
    if not (data.root / "deny-list.txt").exists():
        (data.root / "deny-list.txt").write_text("# One address a line, then why. Nothing is ever sent to these.\n")


def prepare_settings(data: DataDir, world: dict[str, Any]) -> None:
    """Write the settings unless they are there, whole or not at all: the engine waits for the file."""
    if not data.settings.exists():
        book = DevnetWorld.from_json(data.address_book.read_bytes())
        written = data.settings.with_suffix(".new")
        written.write_text(settings_toml(book, exchange_url=world["exchange_url"]), encoding="utf-8")
        written.replace(data.settings)


def settings_toml(world: DevnetWorld, *, exchange_url: str) -> str:
    """The demo's settings: what a real installation has too, with limits that suit the demo's amounts."""
    chain = ChainId(world.chain_id)
    tokens = {symbol: token_asset(chain, t.address, symbol, t.decimals) for symbol, t in world.tokens.items()}
    limits = {"USDC": (100_000, 20_000_000), "WETH": (35, 7_000), "WBTC": (2, 400)}
    assets = "\n".join(
        f'[custody.policy.assets."{tokens[symbol].id}"]\n'
        f'per_transaction_raw = "{per_tx * tokens[symbol].unit}"\n'
        f'per_day_raw = "{per_day * tokens[symbol].unit}"\n'
        f'approval_raw = "{per_day * tokens[symbol].unit}"\n'
        for symbol, (per_tx, per_day) in limits.items()
    )
    contracts = "\n".join(
        f'[[custody.policy.contracts]]\naddress = "{address}"\nmethods = {list(methods)!r}\n'.replace("'", '"')
        for address, methods in [
            (world.contracts["SwapRouter02"], ("exactInputSingle",)),
            (world.contracts["UniswapV2Router02"], ("swapExactTokensForTokens",)),
            *((tokens_entry.address, ("approve",)) for tokens_entry in world.tokens.values()),
        ]
    )
    return f"""# Written by `capstan demo`. A real installation differs in endpoints, keys and limits only.
mode = "live"

[chain]
chain_id = {world.chain_id}
endpoints = ["{world.rpc_url}"]
ws_url = "{world.rpc_url.replace("http", "ws", 1)}"
address_book = "devnet.json"
confirmations = 1
pools = ["v3:USDC/WETH:500", "v2:USDC/WETH:3000", "v3:WBTC/USDC:500", "v3:WBTC/USDC:3000"]

[[venues]]
id = "sandbox"
exchange = "binance"
base_url = "{exchange_url}"
instruments = ["ETHUSDC", "BTCUSDC"]
api_key = "literal-test:{EXCHANGE_KEY}"
secret = "literal-test:{EXCHANGE_SECRET}"

[custody]
account = "{VAULT}"

[custody.policy]
chain_id = {world.chain_id}
spenders = ["{world.contracts["SwapRouter02"]}", "{world.contracts["UniswapV2Router02"]}"]

[custody.policy.assets."{native_asset(chain).id}"]
per_transaction_raw = "0"

{assets}
{contracts}
[engine.assets.USD]
members = ["USDC", "USDT"]

[engine.assets.ETH]
members = ["ETH", "WETH"]
mark = "sandbox:ETHUSDC"

[engine.assets.BTC]
members = ["BTC", "WBTC"]
mark = "sandbox:BTCUSDC"

[engine.risk]
order_notional_max = "60000"
order_qty_max = {{ ETH = "20", BTC = "1" }}
swap_notional_max = "90000"
price_collar_bps = "60"
position_notional_max = "150000"
exposure_notional_max = "250000"
open_orders_max = 20
messages_per_second_max = 40
drawdown_max = "5000"

[[engine.strategies]]
kind = "cross-venue-arbitrage"
id = "arb"
instrument = "sandbox:ETHUSDC"
pools = ["v3:USDC/WETH:500", "v2:USDC/WETH:3000"]
profit_min = "2"
notional_max = "50000"

[[engine.strategies]]
kind = "avellaneda-stoikov"
id = "mm"
instrument = "sandbox:BTCUSDC"
hedge_pools = ["v3:WBTC/USDC:500", "v3:WBTC/USDC:3000"]
order_qty = "0.1"
risk_aversion = "0.004"
arrival_decay = "0.3"
horizon_s = "15"
volatility_floor = "1"
spread_min_bps = "1"
requote_bps = "0.5"
inventory_max = "0.8"
hedge_above = "0.5"
"""


def _write_keystore(data: DataDir) -> None:
    from eth_account import Account

    from runtime import Secret
    from wallets import create_keystore, write_private_file

    password = Secret(secrets.token_urlsafe(24))
    (data.root / "keystore.password").unlink(missing_ok=True)  # Of an attempt that did not get to its keystore.
    write_private_file(data.root / "keystore.password", password.reveal())
    Account.enable_unaudited_hdwallet_features()
    key = bytes(Account.from_mnemonic(TEST_MNEMONIC, account_path=TEST_PATH.format(index=VAULT_INDEX)).key)
    # A cheap stretch: the key is public anyway, and a demo should start at once.
    # Under another name first: killed here, the next start must not find half a keystore.
    written = data.root / "keystore.new"
    written.unlink(missing_ok=True)
    write_private_file(written, create_keystore(key, password, is_test_key=True, scrypt_n=1 << 12))
    written.replace(data.root / "keystore.json")
