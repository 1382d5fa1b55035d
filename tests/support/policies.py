"""A policy document of tests, small enough to read, and the people who sign and approve under it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from custody.approvals import key_text
from custody.policy import Admins, Bundle, Policy, Rulebook, read_rulebook
from custody.policy.bundle import sign_bundle
from tests.support.approvers import PARTNER, USDC, VAULT, address_of, key_of

USDC_ID = f"eip155:1/erc20:{USDC}"
COIN_ID = "eip155:1/slip44:60"
STRANGER = address_of("stranger")
NOW_S = 1_000


def public(name: str) -> str:
    """The key of a person or service, as documents list it."""
    return key_text(key_of(name).public_key())


def document(*, version: int = 7, extra: str = "", rules: str = "") -> Rulebook:
    """Transfers of USDC to partners: up to 2,000 a transaction, 3,000 a day, two operators above 1,000."""
    return read_rulebook(
        f"""
version: {version}
{extra}
assets:
  USDC: {{id: "{USDC_ID}", decimals: 6}}
  ETH: {{id: "{COIN_ID}", decimals: 18}}
lists:
  partners: ["{PARTNER}"]
vaults:
  hot: ["{VAULT}"]
names: {{"{PARTNER}": Partner Ltd}}
people:
  alice: {{keys: ["{public("alice")}"]}}
  bob: {{keys: ["{public("bob")}"]}}
  carol: {{keys: ["{public("carol")}"]}}
  erin: {{roles: [trader]}}
  frank: {{keys: ["{public("frank")}"], roles: [trader]}}
groups:
  operators: [alice, bob, carol]
attesters:
  prices: {{key: "{public("prices")}", facts: [usd-price, balances], max_age: 2m}}
  screening: {{key: "{public("screening")}", facts: [aml, first-seen], max_age: 1h}}
  simulator: {{key: "{public("simulator")}", facts: [simulation], max_age: 30s}}
chains:
  1: {{gas_limit_max: 200000}}
rules:
  - id: partners
    effect: allow
    when: {{kind: transfer, asset: [USDC, ETH], recipient: "@partners"}}
    limits:
      amounts:
        - {{asset: USDC, per_transaction: "2000 USDC", windows: [{{window: 24h, amount: "3000 USDC"}}]}}
        - {{asset: ETH, per_transaction: "1 ETH"}}
  - id: large
    effect: require
    group: operators
    count: 2
    when: {{above: {{asset: USDC, amount: "1000 USDC"}}}}
{rules}
"""
    )


def policy(**options: Any) -> Policy:
    """The document's policy."""
    return Policy(document(**options))


ADMINS = Admins(2, {name: public(name) for name in ("ada", "grace", "linus")})


def signed(rulebook: Rulebook, *names: str, at_s: int = NOW_S) -> Bundle:
    """The document with signatures of administrators."""
    bundle = Bundle(rulebook, ())
    for name in names or ("ada", "grace"):
        bundle = sign_bundle(bundle, key_of(name), now_s=at_s)
    return bundle


def nothing_spent(_counter: str, _window_s: int) -> int:
    return 0


class Tally:
    """Windows that remember what was let out, as outbox and journal do."""

    def __init__(self) -> None:
        self.now_s = NOW_S
        self._seen: list[tuple[int, str, int]] = []

    def add(self, counts: Mapping[str, int]) -> None:
        self._seen += [(self.now_s, counter, raw) for counter, raw in counts.items()]

    def __call__(self, counter: str, window_s: int) -> int:
        return sum(raw for at, name, raw in self._seen if name == counter and at > self.now_s - window_s)


def permit(*, value: int = 7, spender: str = STRANGER, token: str = USDC) -> dict[str, Any]:
    """An EIP-2612 permit of the vault, to be signed."""
    fields = {"owner": "address", "spender": "address", "value": "uint256", "nonce": "uint256", "deadline": "uint256"}
    domain = {"name": "string", "version": "string", "chainId": "uint256", "verifyingContract": "address"}
    types = {"EIP712Domain": domain, "Permit": fields}
    return {
        "types": {name: [{"name": n, "type": t} for n, t in each.items()] for name, each in types.items()},
        "primaryType": "Permit",
        "domain": {"name": "USD Coin", "version": "2", "chainId": 1, "verifyingContract": token},
        "message": {"owner": VAULT, "spender": spender, "value": value, "nonce": 0, "deadline": NOW_S + 60},
    }
