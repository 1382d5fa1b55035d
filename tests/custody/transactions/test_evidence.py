"""Custody and its signer judge by the same statements and count the same delays, each for itself."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from chain import ChainClient
from chain.devnet import Devnet
from custody import DeskOptions, Policy, PolicyGuard, Proposal, State
from custody.approvals import ApprovalUses
from custody.policy import Rests, rulebook_of
from custody.policy.attestations import attest
from custody.policy.settings_rules import rulebook_of_settings
from runtime import ManualClock
from tests.custody.desk import VAULT, TestDesk, build_desk, policy_settings, swap
from tests.custody.test_desk import running_desk
from tests.custody.test_faults import until
from tests.support.approvers import key_of
from tests.support.policies import public

pytestmark = pytest.mark.anvil


class House:
    """A desk and a signer that obey one document, on a clock that is advanced."""

    def __init__(self, devnet: Devnet, client: ChainClient, folder: Path, rule: dict[str, Any]) -> None:
        world = devnet.world
        small = rulebook_of_settings(policy_settings(world)).data
        self.clock = ManualClock(1_900_000_000 * 10**9)
        self.assets = [f"eip155:{world.chain_id}/erc20:{token.address}" for token in world.tokens.values()]
        policy = Policy(
            rulebook_of(
                {
                    **small,
                    "assets": {f"T{n}": {"id": asset, "decimals": 18} for n, asset in enumerate(self.assets)},
                    "attesters": {"prices": {"key": public("prices"), "facts": ["usd-price"], "max_age": "2m"}},
                    "rules": [*small["rules"], rule],
                }
            )
        )
        self.priced_by = "prices"
        self.shown: list[Any] = []
        self.rests, self.uses = Rests(folder / "rests.db"), ApprovalUses(folder / "uses.db")
        self.desk: TestDesk = build_desk(
            world,
            client,
            folder,
            options=DeskOptions(poll_s=0.005),
            now_ns=self.clock.now_ns,
            policy=policy,
            statements=self.statements,
        )
        self.desk.signer._guard = PolicyGuard(policy, uses=self.uses, rests=self.rests, now_ns=self.clock.now_ns)
        inner = self.desk.signer.sign_transaction

        async def watch(tx: Any, *, network: Any, evidence: Any = None) -> Any:
            self.shown.append(evidence)
            return await inner(tx, network=network, evidence=evidence)

        self.desk.signer.sign_transaction = watch  # type: ignore[method-assign]
        self.world = world

    async def statements(self, _proposal: Proposal) -> Sequence[dict[str, Any]]:
        key, at_s = key_of(self.priced_by), self.clock.now_ns() // 10**9
        return [attest(key, "usd-price", at_s, asset=asset, usd_micro="1000000") for asset in self.assets]

    async def submit(self, name: str) -> None:
        await self.desk.custody.submit(swap(self.world, name, deadline_s=1_902_592_000), initiator="erin")


@pytest.fixture
async def houses(devnet: Devnet, chain_client: ChainClient, tmp_path: Path) -> AsyncIterator[Any]:
    await devnet.fund(VAULT, tokens={"WETH": 100 * 10**18, "USDC": 10**12})
    first = await running_desk(devnet, chain_client, tmp_path)
    await first.custody.stop()
    opened: list[House] = []

    async def make(rule: dict[str, Any]) -> House:
        opened.append(House(devnet, chain_client, tmp_path, rule))
        await opened[-1].desk.start()
        return opened[-1]

    yield make
    for house in opened:
        await house.desk.custody.stop()
        house.rests.close()
        house.uses.close()


async def test_a_delay_is_announced_to_the_signer_which_counts_it_too(houses: Any) -> None:
    house = await houses({"id": "slow", "effect": "delay", "delay": "1h"})
    await house.submit("slow")
    await until(lambda: house.desk.custody.state("slow") is State.DELAYED and bool(house.shown))
    assert house.shown[0]["announce"] is True
    assert house.shown[0]["intent"]["intent_id"] == "slow"
    house.clock.advance(seconds=3599)
    house.desk.custody.wake()
    assert not await house.desk.custody.drain(0.2)
    house.clock.advance(seconds=2)
    house.desk.custody.wake()
    assert await house.desk.custody.drain(60)
    assert house.desk.outcome("slow").status == "mined"
    assert "announce" not in house.shown[-1]


async def test_prices_come_from_services_that_the_policy_names(houses: Any) -> None:
    house = await houses({"id": "huge", "effect": "deny", "when": {"above": {"usd": 10**12}}})
    await house.submit("priced")
    assert await house.desk.custody.drain(60)
    assert house.desk.outcome("priced").status == "mined"
    assert {s["fact"] for s in house.shown[-1]["attestations"]} == {"usd-price"}
    house.priced_by = "mallory"
    await house.submit("forged")
    assert await house.desk.custody.drain(60)
    assert house.desk.outcome("forged").reason.startswith("unknown-fact:usd-price")
