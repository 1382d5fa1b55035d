"""`capstan up --demo`: a chain, an exchange, settings and people in an empty data directory, to try the API on.

The chain is anvil with the genuine Uniswap contracts, the exchange is the sandbox with other people's orders; both are
the demo's world. On top stands an installation as one would set it up: a desk that trades by the API, and withdrawals
of USDC, of which the large ones wait for two people.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from api.auth.services import Auth
from api.auth.settings import ApiSettings
from api.core.keys import ServerKey
from api.tables import open_tables
from chain.devnet import TEST_ADDRESSES, DevnetWorld
from cli import output
from cli.data_dir import DataDir
from cli.demo.installation import EXCHANGE_KEY, EXCHANGE_SECRET, VAULT, prepare_keys
from cli.demo.outside import holding, is_resumed, spawn_world, until_there
from cli.demo.people import DESK_STRATEGY, Person, email_of, names, read_people, settle, write_people
from custody import Entry, Ledger, Posting, open_books
from custody.approvals import key_text
from custody.policy.bundle import Bundle, sign_bundle
from custody.policy.rulebook import read_rulebook
from domain import Asset, ChainId, InputError, token_asset
from runtime import SystemClock
from runtime.batches import Batches
from runtime.database import Database
from wallets import write_private_file

SEED: Final = 7
CLIENT: Final = "ulla"
"""A client of the house, to whom it owes `CLIENT_USDC`."""
CLIENT_USDC: Final = 50_000
PARTNER: Final = TEST_ADDRESSES[9]
"""Where withdrawals may go."""
_PASSWORD_KIB: Final = 1_024


@contextmanager
def tryout(data: DataDir, port: int) -> Iterator[None]:
    """Have everything outside the installation's own processes, for as long as the block runs.

    Raises:
        InputError: The folder has settings that were not written here.
        VenueUnavailable: The world did not come up, or was another run's and has ended.
    """
    if data.settings.exists() and not data.people.exists():
        raise InputError(f"{data.root} is an installation already", hint="name an empty --data-dir")
    data.root.mkdir(parents=True, exist_ok=True)
    is_old = is_resumed(data, output.say)
    with holding(data):
        # It spends its first seconds with imports: what needs no world is done meanwhile.
        world = None if is_old else spawn_world(data, SEED)
        if not data.settings.exists():
            _settle(data, port)
            _write_settings(data, port, str(until_there(data, world)["exchange_url"]))
        yield


def _settle(data: DataDir, port: int) -> None:
    """Keystore, people, policy administrators, and what is owed to the client."""
    prepare_keys(data)
    write_private_file(data.root / "kek", "33" * 32)
    secrets = {name: Ed25519PrivateKey.generate() for name in names()}
    clock, key = SystemClock(), ServerKey.at(data.api_key)
    database = open_tables(open_books(Database.at(data.root / "capstan.db")))
    try:
        settings = ApiSettings(password_memory_kib=_PASSWORD_KIB)
        auth = Auth.over(clock=clock, database=database, key=key, batches=Batches(database), settings=settings)
        people = settle(auth, secrets)
    finally:
        database.dispose()
    administrator = Ed25519PrivateKey.generate()
    listed = f'threshold: 1\nadmins:\n  ann: "{key_text(administrator.public_key())}"\n'
    (data.root / "policy-admins.yaml").write_text(listed)
    write_private_file(data.root / "policy-admin.key", administrator.private_bytes_raw().hex() + "\n")
    write_people(data, f"http://localhost:{port}", people)


def _write_settings(data: DataDir, port: int, exchange_url: str) -> None:
    """Write what needs the world: the policy, and the settings, which name everything else and come last."""
    world = DevnetWorld.from_json(data.address_book.read_bytes())
    people, token = read_people(data), world.tokens["USDC"]
    usdc = token_asset(ChainId(world.chain_id), token.address, "USDC", token.decimals)
    administrator = Ed25519PrivateKey.from_private_bytes(
        bytes.fromhex((data.root / "policy-admin.key").read_text().strip())
    )
    rulebook = read_rulebook(_policy(world.chain_id, usdc.id, usdc.decimals, people))
    signed = sign_bundle(Bundle(rulebook, ()), administrator, now_s=int(time.time()))
    (data.root / "policy.json").write_text(signed.to_json() + "\n")
    database = open_books(Database.at(data.root / "capstan.db"))
    try:
        owed = CLIENT_USDC * usdc.unit
        entry = Entry("grant", "grant", (Posting(f"user/{CLIENT}/available", usdc.id, -owed),
                                         Posting("equity/opening", usdc.id, owed)))  # fmt: skip
        Ledger(database, SystemClock().now_ns).post(entry)
    finally:
        database.dispose()
    data.settings.write_text(_settings(world, usdc, port, exchange_url), encoding="utf-8")


def _policy(chain_id: int, usdc: str, decimals: int, people: dict[str, Person]) -> str:
    """USDC of clients to a known partner, each by two people; nothing else leaves."""
    approvers = [people["ada"], people["alf"]]
    listed = "".join(f'  "{each.email}": {{keys: ["{_public(each)}"]}}\n' for each in approvers)
    return f"""
version: 1
assets:
  USDC: {{id: "{usdc}", decimals: {decimals}}}
lists:
  partners: ["{PARTNER}"]
vaults:
  default: ["{VAULT}"]
names: {{"{PARTNER}": Partner Ltd}}
people:
{listed}  "{email_of("tom")}": {{roles: [treasurer]}}
groups:
  approvers: [{", ".join(f'"{each.email}"' for each in approvers)}]
chains:
  {chain_id}: {{gas_limit_max: 2000000}}
rules:
  - id: withdrawals
    effect: allow
    when: {{kind: transfer, vault: default, asset: USDC, recipient: "@partners"}}
    limits:
      amounts:
        - {{asset: USDC, per_transaction: "10000 USDC", windows: [{{window: 24h, amount: "25000 USDC"}}]}}
  - id: two-people
    effect: require
    group: approvers
    count: 2
    when: {{kind: transfer}}
"""


def _public(person: Person) -> str:
    return key_text(Ed25519PrivateKey.from_private_bytes(bytes.fromhex(person.secret)).public_key())


def _settings(world: DevnetWorld, usdc: Asset, port: int, exchange_url: str) -> str:
    return f"""# Written by `capstan up --demo`. A real installation differs in endpoints, keys and limits only.
mode = "live"

[api]
name = "Example Exchange"
url = "http://localhost:{port}"
password_memory_kib = {_PASSWORD_KIB}

[chain]
chain_id = {world.chain_id}
endpoints = ["{world.rpc_url}"]
address_book = "devnet.json"
confirmations = 1
pools = ["v3:USDC/WETH:500"]

[[venues]]
id = "sandbox"
exchange = "binance"
base_url = "{exchange_url}"
instruments = ["ETHUSDC", "BTCUSDC"]
api_key = "literal-test:{EXCHANGE_KEY}"
secret = "literal-test:{EXCHANGE_SECRET}"

[custody]
account = "{VAULT}"
policy_bundle = "policy.json"
policy_admins = "policy-admins.yaml"

[custody.withdrawals]
kek = "kek"
fees = {{ "{usdc.id}" = "{usdc.unit}" }}

[engine.assets.USD]
members = ["USDC"]

[engine.assets.ETH]
members = ["ETH", "WETH"]
mark = "sandbox:ETHUSDC"

[engine.assets.BTC]
members = ["BTC"]
mark = "sandbox:BTCUSDC"

[engine.risk]
order_notional_max = "60000"
order_qty_max = {{ ETH = "20", BTC = "1" }}
position_notional_max = "150000"
exposure_notional_max = "250000"
open_orders_max = 50
messages_per_second_max = 40
drawdown_max = "5000"

[[engine.strategies]]
kind = "client-orders"
id = "{DESK_STRATEGY}"
instruments = ["sandbox:ETHUSDC"]
"""
