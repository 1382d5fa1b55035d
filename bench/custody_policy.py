"""How fast a policy of 1,000 rules decides, on one core, and whether it decides as docs/policy.md says.

The rules are those of a house with forty vaults: per vault and asset what may go where and above what people are asked,
per vault swaps, allowances, waiting times for new addresses and hours, and for all vaults what screening forbids. The
actions are decoded already; reading calldata is not a question of rules. Four of five are allowed.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable
from typing import Any

from bench.rows import Row, interleaved, ratio_row
from custody.policy import Action, Decision, Facts, Kind, Policy, Price, Refusal, Rulebook, Screened, rulebook_of
from custody.policy.compile import NO_RULE
from custody.policy.explain import nearest_miss
from tests.reference.policy import Answer, evaluate
from tests.support.random_policy import NOW, Maker, address

TARGET_RATE = 50_000
CASES = 100_000
_SEED = 20
_VAULTS = [address(n) for n in range(40)]
_ASSETS = [f"eip155:1/erc20:{address(100 + n)}" for n in range(10)]
_PARTNERS = [[address(1000 + 10 * group + n) for n in range(10)] for group in range(20)]
_SANCTIONED = [[address(5000 + 10 * group + n) for n in range(10)] for group in range(36)]
_ROUTER = address(90)
_TUESDAY = NOW + (1 - time.gmtime(NOW).tm_wday) % 7 * 86_400
Case = tuple[Action, Facts, Callable[[str, int], int]]


def run() -> list[Row]:
    """Measure; takes about a minute and a half, most of it the reference's."""
    policy = Policy(house())
    if len(policy.compiled.rules) != 1_000:
        raise AssertionError(f"{len(policy.compiled.rules)} rules")
    cases = [house_case(random.Random(seed)) for seed in range(2_000)]
    allowed = sum(isinstance(policy.decide(*case), Decision) for case in cases)
    if not 0.6 < allowed / len(cases) < 0.95:
        raise AssertionError(f"{allowed} of {len(cases)} are allowed: not what this bench is about")
    rate = statistics.median(_rate(policy, cases) for _ in range(9))
    few = cases[:20]
    ours, naive = interleaved(
        lambda: [policy.decide(*case) for case in few],
        lambda: [evaluate(policy.document, *case) for case in few],
        rounds=5,
    )
    equal = _agreeing(policy, cases)
    return [
        ratio_row(
            topic="custody", name="policy decisions, 1,000 rules", ours=rate, unit="1/s",
            peer_name=f"{TARGET_RATE}/s", ratio=rate / TARGET_RATE, target=1,
        ),
        ratio_row(
            topic="custody", name="one decision, 1,000 rules", ours=ours / len(few) * 1e6, unit="us",
            peer_name="every rule asked", ratio=naive / ours, target=10,
        ),
        ratio_row(
            topic="custody", name="policy decisions as the text", ours=equal, unit="cases",
            peer_name="reference evaluator", ratio=equal / CASES, target=1,
        ),
    ]  # fmt: skip


def _rate(policy: Policy, cases: list[Case]) -> float:
    """Decisions in a second of one core's time: what the neighbours do meanwhile is not counted."""
    decide = policy.decide
    began = time.process_time()
    for action, facts, spent in cases:
        decide(action, facts, spent)
    return len(cases) / (time.process_time() - began)


def _agreeing(policy: Policy, cases: list[Case]) -> int:
    """Count the cases on which product and reference agree: a part of the house's, the rest random documents."""
    equal = sum(_answer(policy, case) == evaluate(policy.document, *case) for case in cases[:1_000])
    maker = Maker(random.Random(_SEED))
    for _ in range((CASES - 1_000) // 99):
        judge = Policy(maker.rulebook(maker.chance.randint(1, 24)))
        for _ in range(99):
            case = maker.action(), maker.facts(), maker.spent()
            equal += _answer(judge, case) == evaluate(judge.document, *case)
    return equal


def _answer(policy: Policy, case: Case) -> Answer:
    found = policy.decide(*case)
    if isinstance(found, Refusal):
        if found.rule == NO_RULE:
            found = nearest_miss(policy.compiled, *case)
        return Answer(refused=found.rule)
    return Answer(
        rules=found.rules,
        requirements=tuple((r.group, r.count, r.rule) for r in found.requirements),
        delay_s=found.delay_s,
        counts=tuple(sorted(found.counts.items())),
    )


def house() -> Rulebook:
    """The document of the house."""
    rules: list[dict[str, Any]] = []
    for v in range(len(_VAULTS)):
        vault = f"v{v}"
        for a, asset in enumerate(_ASSETS):
            partners = f"@partners{(v + a) % len(_PARTNERS)}"
            rules += [
                {
                    "id": f"pay-{v}-{a}", "effect": "allow",
                    "when": {"kind": "transfer", "vault": vault, "asset": asset, "recipient": partners},
                    "limits": {
                        "amounts": [{
                            "asset": asset, "per_transaction": 1_000_000,
                            "windows": [{"window": "1h", "amount": 5_000_000}, {"window": "24h", "amount": 9_000_000}],
                        }],
                        "usd": {"per_transaction": 100_000},
                    },
                },
                {
                    "id": f"ask-{v}-{a}", "effect": "require", "group": "treasury", "count": 2,
                    "when": {"vault": vault, "above": {"asset": asset, "amount": 700_000}, "asset": asset},
                },
            ]  # fmt: skip
        rules += [
            {
                "id": f"swap-{v}", "effect": "allow",
                "when": {"kind": "swap", "vault": vault, "contract": _ROUTER, "recipient": "self"},
                "limits": {"slippage_bps": 100},
            },
            {
                "id": f"allow-{v}", "effect": "allow", "when": {"kind": "approve", "vault": vault, "spender": _ROUTER},
                "limits": {"amounts": [{"approval": 2_000_000}]},
            },
            {"id": f"new-{v}", "effect": "delay", "delay": "12h", "when": {"vault": vault, "younger_than": "24h"}},
            {
                "id": f"shut-{v}", "effect": "deny",
                "when": {"vault": vault, "hours": {"zone": "Europe/Zurich", "days": ["sat", "sun"]}},
            },
        ]  # fmt: skip
    rules += [
        {"id": f"listed-{n}", "effect": "deny", "when": {"recipient": f"@sanctioned{n}"}}
        for n in range(len(_SANCTIONED))
    ]
    rules += [
        {"id": "blocked", "effect": "deny", "when": {"aml": "block"}},
        {"id": "risky", "effect": "deny", "when": {"risk_above": 90}},
        {"id": "review", "effect": "require", "group": "compliance", "count": 1, "when": {"aml": "review"}},
        {
            "id": "day", "effect": "require", "group": "treasury", "count": 1,
            "when": {"above": {"usd": 1_000_000, "window": "24h"}},
        },
    ]  # fmt: skip
    return rulebook_of(
        {
            "version": 1,
            "assets": {f"A{n}": {"id": asset, "decimals": 2} for n, asset in enumerate(_ASSETS)},
            "lists": {
                **{f"partners{n}": places for n, places in enumerate(_PARTNERS)},
                **{f"sanctioned{n}": places for n, places in enumerate(_SANCTIONED)},
            },
            "vaults": {f"v{n}": [vault] for n, vault in enumerate(_VAULTS)},
            "people": {"ann": {}, "ben": {}, "cy": {}},
            "groups": {"treasury": ["ann", "ben"], "compliance": ["cy"]},
            "chains": {1: {}},
            "rules": rules,
        }
    )


def house_case(chance: random.Random) -> Case:
    """Something the house does on a working day."""
    v, a = chance.randrange(len(_VAULTS)), chance.randrange(len(_ASSETS))
    vault, asset, other = _VAULTS[v], _ASSETS[a], _ASSETS[(a + 1) % len(_ASSETS)]
    amount = chance.randint(1, 1_100_000)
    kind = chance.choices((Kind.TRANSFER, Kind.SWAP, Kind.APPROVE), (7, 2, 1))[0]
    partners = _PARTNERS[(v + a) % len(_PARTNERS)]
    to = chance.choice(partners) if chance.random() < 0.95 else chance.choice(chance.choice(_SANCTIONED))
    verdict = "review" if chance.random() < 0.05 else "clear"
    facts = Facts(
        initiator="ann",
        now_s=_TUESDAY,
        chain_time_s=_TUESDAY,
        prices={each: Price(1_000_000, _TUESDAY - 5) for each in (asset, other)},
        screened={to: Screened(verdict, chance.randint(0, 92)), _ROUTER: Screened("clear", 1)},
        first_seen_s={to: _TUESDAY - chance.randint(0, 30 * 86_400), _ROUTER: 0},
    )
    totals = {asset: chance.randint(0, 4_500_000), "usd": chance.randint(0, 10**12)}
    return _action(kind, vault, (asset, other), amount, to), facts, lambda counter, _window_s: totals.get(counter, 0)


def _action(kind: Kind, vault: str, assets: tuple[str, str], amount: int, to: str) -> Action:
    asset, other = assets
    common: dict[str, Any] = {"kind": kind, "chain": 1, "sender": vault, "gas_limit": 90_000, "fee_per_gas_wei": 10**9}
    if kind is Kind.SWAP:
        return Action(
            **common, contract=_ROUTER, method="exactInputSingle", recipients=(vault,), spends={asset: amount},
            receives_min={other: amount - amount // 200}, deadline_s=_TUESDAY + 60,
        )  # fmt: skip
    token = asset.rpartition(":")[2]
    if kind is Kind.APPROVE:
        return Action(**common, contract=token, method="approve", spenders=(_ROUTER,), approves={asset: amount})
    return Action(**common, contract=token, method="transfer", recipients=(to,), spends={asset: amount})
