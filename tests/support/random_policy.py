"""Random policies, actions and facts, dense enough that every condition and limit is met and missed."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from chain import keccak256
from chain.keccak import checksum
from custody.policy import Action, Facts, Kind, Price, Rulebook, Screened, Simulation, rulebook_of

CHAINS = (1, 10, 1337)
PEOPLE = ("alice", "bob", "carol", "engine")
METHODS = ("transfer", "approve", "exactInputSingle", "swapExactTokensForTokens", "deposit")
SELECTORS = ("0xa9059cbb", "0x095ea7b3", "0x38ed1739")
NOW = 1_800_000_000


def address(number: int) -> str:
    """An address for each number."""
    return str(checksum("0x" + keccak256(number.to_bytes(4, "big"))[12:].hex()))


VAULTS = [address(n) for n in range(4)]
CONTRACTS = [address(n) for n in range(10, 15)]
FOREIGN = [address(n) for n in range(20, 26)]
ASSETS = [f"eip155:1/erc20:{address(n)}" for n in range(30, 35)] + ["kraken/USDC"]
VERDICTS = ("clear", "review", "block")


class Maker:
    """Draws everything from one source of chance, so that a seed is a case."""

    def __init__(self, chance: random.Random, *, spread: int = 1) -> None:
        self.chance = chance
        self._contracts = [*CONTRACTS, *(address(n) for n in range(1000, 1000 + spread - 1))]
        self._foreign = [*FOREIGN, *(address(n) for n in range(5000, 5000 + spread - 1))]

    def rulebook(self, rules: int) -> Rulebook:
        """A document of so many rules."""
        chance = self.chance
        data: dict[str, Any] = {
            "version": chance.randint(1, 9),
            "assets": {f"A{n}": {"id": asset, "decimals": n % 2} for n, asset in enumerate(ASSETS[:-1])},
            "lists": {"friends": FOREIGN[:3], "venues": FOREIGN[2:5]},
            "people": {
                "alice": {"roles": ["trader"]}, "bob": {"roles": ["trader", "admin"]}, "carol": {}, "engine": {},
            },
            "groups": {"treasury": ["bob", "carol"], "desk": ["alice"]},
            "chains": {chain: {"gas_limit_max": 1000, "gas_cost_wei_max": 45_000} for chain in CHAINS[1:]},
            "rules": [self._rule(number) for number in range(rules)],
        }  # fmt: skip
        data["chains"][1] = {}
        if chance.random() < 0.7:
            data["vaults"] = {"hot": VAULTS[:2], "cold": VAULTS[2:3]}
        return rulebook_of(data)

    def _rule(self, number: int) -> dict[str, Any]:
        chance = self.chance
        effect = chance.choices(("allow", "deny", "require", "delay"), (6, 1, 1, 1))[0]
        rule: dict[str, Any] = {"id": f"r{number}", "effect": effect, "when": self._block(placed=0.4, measured=0.08)}
        if chance.random() < 0.2:
            unless = self._block(placed=0.15, measured=0.15)
            if unless:
                rule["unless"] = unless
        if effect == "allow" and chance.random() < 0.8:
            rule["limits"] = self._limits()
        elif effect == "require":
            rule |= {"group": chance.choice(("treasury", "desk")), "count": chance.randint(1, 3)}
        elif effect == "delay":
            rule["delay"] = f"{chance.randint(1, 9)}h"
        return rule

    def _block(self, *, placed: float, measured: float) -> dict[str, Any]:
        chance = self.chance
        some = self._some
        block: dict[str, Any] = {}
        choices: dict[str, Callable[[], Any]] = {
            "kind": lambda: some([kind.value for kind in Kind], 4),
            "chain": lambda: some([0, *CHAINS], 2),
            "vault": lambda: some(["hot", "cold"], 1),
            "contract": lambda: some([*self._contracts, "none", "@venues"], 3),
            "method": lambda: some([*METHODS, *SELECTORS], 4),
            "asset": lambda: some(ASSETS, 3),
            "recipient": lambda: some([*self._foreign, "self", "internal", "@friends"], 3),
            "spender": lambda: some([*self._foreign, "@venues"], 3),
            "initiator": self._initiators,
        }
        for name, make in choices.items():
            if chance.random() < placed * (0.4 if name in ("spender", "initiator", "contract", "recipient") else 1):
                block[name] = make()
        if chance.random() < 0.03:
            block["venue"] = some(["kraken", "other"], 1)
        facts: dict[str, Callable[[], Any]] = {
            "above": self._above,
            "aml": lambda: some(VERDICTS, 2),
            "risk_above": lambda: chance.randint(0, 100),
            "younger_than": lambda: f"{chance.randint(1, 40)}h",
            "hours": lambda: [self._hours() for _ in range(chance.randint(1, 2))],
        }
        for name, make in facts.items():
            if chance.random() < measured:
                block[name] = make()
        if block and chance.random() < 0.2:
            block["price_max_age"] = f"{chance.randint(1, 300)}s"
        return block if set(block) != {"price_max_age"} else {}

    def _initiators(self) -> dict[str, Any]:
        chance = self.chance
        kind = chance.choice(("ids", "roles", "groups"))
        options = {"ids": PEOPLE, "roles": ("trader", "admin"), "groups": ("treasury", "desk")}[kind]
        return {kind: self._some(options, 2)}

    def _above(self) -> dict[str, Any]:
        chance = self.chance
        window = {"window": f"{chance.randint(1, 24)}h"} if chance.random() < 0.5 else {}
        asset = {"asset": chance.choice(ASSETS)} if chance.random() < 0.5 else {}
        match chance.randint(0, 2):
            case 0:
                return {"amount": self._amount(), **asset, **window}
            case 1:
                return {"usd": chance.randint(0, 20), **window}
        return {"share_percent": chance.randint(0, 100), **asset}

    def _hours(self) -> dict[str, Any]:
        chance = self.chance
        start, end = chance.sample(range(24), 2)
        days = self._some(("mon", "tue", "wed", "thu", "fri", "sat", "sun"), 4)
        zone = chance.choice(("UTC", "Europe/Zurich", "America/New_York", "Asia/Kolkata"))
        return {"zone": zone, "days": days, "from": f"{start:02}:30", "to": f"{end:02}:00"}

    def _limits(self) -> dict[str, Any]:
        chance = self.chance
        limits: dict[str, Any] = {}
        if chance.random() < 0.8:
            assets = [*self._some(ASSETS, 5), None]
            limits["amounts"] = [self._entry(asset) for asset in assets]
        if chance.random() < 0.1:
            limits["usd"] = {"per_transaction": chance.randint(0, 30)}
        if chance.random() < 0.02:
            limits.setdefault("usd", {})["windows"] = [{"window": "24h", "amount": chance.randint(0, 40)}]
        if chance.random() < 0.02:
            limits.setdefault("usd", {})["lifetime"] = chance.randint(0, 60)
        if chance.random() < 0.1:
            limits["transactions"] = [{"window": "1h", "count": chance.randint(1, 6)}]
        if chance.random() < 0.1:
            moves = [{"asset": a, "lowest": -self._amount(), **self._highest()} for a in self._some(ASSETS, 4)]
            limits["simulation"] = {"moves": moves, "new_allowances": chance.random() < 0.3}
        if chance.random() < 0.1:
            limits["gas_cost_wei"] = chance.randint(0, 50_000)
        if chance.random() < 0.1:
            limits["deadline"] = f"{chance.randint(1, 30)}m"
        if chance.random() < 0.1:
            limits["slippage_bps"] = chance.randint(0, 10_000)
        return limits

    def _highest(self) -> dict[str, int]:
        return {"highest": self._amount()} if self.chance.random() < 0.5 else {}

    def _entry(self, asset: str | None) -> dict[str, Any]:
        chance = self.chance
        entry: dict[str, Any] = {} if asset is None else {"asset": asset}
        for name in ("per_transaction", "approval"):
            if chance.random() < 0.5:
                entry[name] = self._amount() * 3
        if chance.random() < 0.05:
            entry["share_percent"] = chance.randint(0, 100)
        if chance.random() < 0.4:
            entry["windows"] = [
                {"window": f"{chance.randint(1, 48)}h", "amount": self._amount() * 8}
                for _ in range(chance.randint(1, 2))
            ]
        if chance.random() < 0.05:
            entry["lifetime"] = self._amount() * 20
        if chance.random() < 0.06:
            entry["per"] = chance.choice(("recipient", "initiator"))
        return entry

    def action(self) -> Action:
        """Something to be judged."""
        chance = self.chance
        kind = chance.choices(list(Kind), (30, 30, 20, 10, 2, 2, 2, 2, 2, 8))[0]
        if kind is Kind.WITHDRAWAL:
            return Action(
                kind=kind, chain=0, sender="kraken", venue="kraken", recipients=(chance.choice(self._foreign),),
                spends={ASSETS[-1]: self._amount()},
            )  # fmt: skip
        called = kind is not Kind.TRANSFER or chance.random() < 0.5
        moves = kind in (Kind.TRANSFER, Kind.SWAP, Kind.CALL)
        return Action(
            kind=kind,
            chain=0 if kind is Kind.MESSAGE else chance.choice((*CHAINS * 10, 5)),
            sender=chance.choice(VAULTS),
            contract=chance.choice(self._contracts) if called else None,
            method=chance.choice(METHODS) if called else None,
            selector=chance.choice(SELECTORS) if called else None,
            recipients=self._places(0.3) if moves else (),
            spenders=self._places(0.0) if kind in (Kind.APPROVE, Kind.CALL) else (),
            spends={a: self._amount() for a in self._few(ASSETS[:-1])} if moves else {},
            approves={a: self._amount() for a in self._few(ASSETS[:-1])} if kind in (Kind.APPROVE, Kind.CALL) else {},
            receives_min={a: self._amount() or chance.randint(0, 9) for a in self._few(ASSETS[:-1])}
            if kind is Kind.SWAP
            else {},
            deadline_s=chance.choice((0, *[NOW + chance.randint(-5, 1900)] * 12)) if kind is Kind.SWAP else 0,
            gas_limit=chance.choice((0, chance.randint(1, 1050))),
            fee_per_gas_wei=chance.randint(0, 50),
        )

    def facts(self) -> Facts:
        """What is known; now and then something is not."""
        chance = self.chance
        now = chance.choice((*[NOW + chance.randint(0, 7 * 86_400)] * 9, None))
        base = NOW if now is None else now
        return Facts(
            initiator=chance.choice((*PEOPLE, *PEOPLE, "stranger", None)),
            vault=chance.choice((*[None] * 12, "default", "default", "hot", "cold")),
            now_s=now,
            chain_time_s=chance.choice((NOW, None)),
            prices={
                a: Price(chance.randint(0, 5_000_000), base - chance.randint(-35, 200) * chance.choice((0, 0, 1)))
                for a in ASSETS if chance.random() < 0.95
            },
            screened={
                a: Screened(chance.choice(VERDICTS), chance.randint(0, 100))
                for a in self._foreign[:12] if chance.random() < 0.95
            },
            first_seen_s={a: base - chance.randint(0, 200_000) for a in self._foreign[:12] if chance.random() < 0.95},
            balances=chance.choice((None, *[{a: chance.randint(0, 200) for a in ASSETS}] * 9)),
            simulation=chance.choice((None, *[self._simulation()] * 9)),
        )  # fmt: skip

    def spent(self) -> Callable[[str, int], int]:
        """What was let out before: more in longer windows, and something for every counter."""
        scale = self.chance.randint(0, 5)
        return lambda counter, window_s: scale * (len(counter) % 7) * min(window_s, 400_000) // 40_000

    def _simulation(self) -> Simulation:
        chance = self.chance
        return Simulation(
            {a: chance.randint(-60, 60) for a in self._few(ASSETS[:-1])},
            frozenset({(chance.choice(ASSETS), chance.choice(FOREIGN))} if chance.random() < 0.3 else ()),  # type: ignore[arg-type]
        )

    def _amount(self) -> int:
        return self.chance.choice((0, self.chance.randint(1, 20), self.chance.randint(1, 100)))

    def _places(self, to_own: float) -> tuple[str, ...]:
        chance = self.chance
        count = chance.choices((0, 1, 2), (1, 12, 2))[0]
        return tuple(chance.choice(VAULTS if chance.random() < to_own else self._foreign) for _ in range(count))

    def _few(self, options: list[str]) -> list[str]:
        return self.chance.sample(options, self.chance.choices((0, 1, 2), (1, 12, 3))[0])

    def _some(self, options: Any, most: int) -> list[Any]:
        return self.chance.sample(list(options), self.chance.randint(1, min(most, len(options))))
