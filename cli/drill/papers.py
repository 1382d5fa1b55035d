"""What people would write by hand: the policy, the settings, the ceremony's script."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from domain import Address, ChainId, token_asset

APPROVERS = ("alice", "bob")
ADMINS = ("ada", "grace")
CUSTODIANS = ("anna", "ben", "carla")
WITNESS = "wanda"


def ceremony_plan(people: Path, *, module: str, token: str, pin: str) -> str:
    """Two of three custodians, a witness, and the HSM's randomness mixed in."""
    custodians = "".join(f'[[custodian]]\ncard = "{people / name / "card.json"}"\n' for name in CUSTODIANS)
    return (
        f'name = "drill"\nthreshold = 2\n{custodians}[witness]\ncard = "{people / WITNESS / "card.json"}"\n'
        f'[[entropy]]\nsource = "hsm"\nmodule = "{module}"\ntoken = "{token}"\npin = "{pin}"\n'
    )


def policy(
    *,
    chain_id: int,
    usdc: Address,
    vault: Address,
    recipient: Address,
    sweeper: Address,
    approvers: Mapping[str, str],
) -> str:
    """Withdrawals of USDC to a known partner, two people for each; sweeps by one contract; nothing else."""
    asset = token_asset(ChainId(chain_id), usdc, "USDC", 6)
    people = "".join(f'  {name}: {{keys: ["{key}"]}}\n' for name, key in approvers.items())
    return f"""
version: 1
assets:
  USDC: {{id: "{asset.id}", decimals: 6}}
lists:
  partners: ["{recipient}"]
vaults:
  default: ["{vault}"]
names: {{"{recipient}": Partner Ltd, "{sweeper}": Batch sweeper}}
people:
{people}  shop: {{roles: [client]}}
groups:
  operators: [{", ".join(approvers)}]
chains:
  {chain_id}: {{gas_limit_max: 2000000}}
rules:
  - id: withdrawals
    effect: allow
    when: {{kind: transfer, vault: default, asset: USDC, recipient: "@partners"}}
    limits:
      amounts:
        - {{asset: USDC, per_transaction: "500 USDC", windows: [{{window: 24h, amount: "800 USDC"}}]}}
  - id: two-people
    effect: require
    group: operators
    count: 2
    when: {{kind: transfer}}
  - id: sweeps
    effect: allow
    when: {{kind: contract-call, contract: "{sweeper}", method: sweep, recipient: "{sweeper}"}}
"""


def settings(*, chain_id: int, rpc_url: str, vault: Address, operators: Mapping[str, str]) -> str:
    """The installation's capstan.toml; freezes end by the signatures of these people."""
    listed = "".join(f'{name} = "{key.removeprefix("ed25519:")}"\n' for name, key in operators.items())
    return f"""mode = "live"

[chain]
chain_id = {chain_id}
endpoints = ["{rpc_url}"]
address_book = "devnet.json"

[[venues]]
id = "sandbox"
exchange = "binance"
base_url = "http://127.0.0.1:9"
instruments = ["ETHUSDC"]

[custody]
account = "{vault}"
policy_bundle = "policy.json"
policy_admins = "policy-admins.yaml"

[custody.operators]
{listed}"""
