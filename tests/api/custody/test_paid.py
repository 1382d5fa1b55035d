"""A withdrawal asked for over HTTP, approved by two people over HTTP, paid on the devnet and booked to the unit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from chain import ChainClient
from chain.devnet import Devnet
from custody.approvals import ApprovalUses, DatabaseApprovals
from custody.guard import PolicyGuard
from custody.policy import Policy, rulebook_of
from custody.withdrawals import State
from tests.api.custody.lab import CHAIN, COIN, RECIPIENT, opened
from tests.api.lab import ANYBODY
from tests.custody.desk import VAULT
from tests.custody.withdrawals.house import house_of
from tests.custody.withdrawals.test_desk import DONE, is_mined, until
from tests.support.approvers import groups_of

pytestmark = pytest.mark.anvil
BEA = replace(ANYBODY, actor="user:usr_bea", user="usr_bea")
PEOPLE = ("anybody@example.com", "bea@example.com", "carl@example.com")


def careful_policy() -> Policy:
    """Coins to the one recipient, if two of three people say so."""
    keys = groups_of(all=PEOPLE)["all"]
    rules = [
        {
            "id": "pay", "effect": "allow", "when": {"kind": "transfer", "recipient": RECIPIENT},
            "limits": {"amounts": [{"per_transaction": str(10**19)}]},
        },
        {"id": "two", "effect": "require", "group": "treasurers", "count": 2, "when": {"kind": "transfer"}},
    ]  # fmt: skip
    people = {name: {"keys": list(found)} for name, found in keys.items()}
    return Policy(
        rulebook_of(
            {
                "version": 1,
                "chains": {CHAIN: {}},
                "people": people,
                "groups": {"treasurers": list(PEOPLE)},
                "rules": rules,
            }
        )
    )


async def test_asked_for_approved_by_two_and_paid(devnet: Devnet, chain_client: ChainClient, tmp_path: Path) -> None:
    await devnet.fund(VAULT)
    policy, url = careful_policy(), f"sqlite:///{tmp_path / 'api.db'}"
    held: list[Any] = []

    async def wake() -> None:
        held[0].desk.custody.wake()
        held[0].withdrawals.notify()

    with opened(tmp_path, url=url, policy=policy, wake=wake) as api:
        custody, now_ns = api.services.custody, api.services.clock.now_ns
        approvals = DatabaseApprovals(custody.database, rules=lambda: policy, now_ns=now_ns)
        object.__setattr__(custody, "approvals", approvals)  # By the same policy as the desk.
        house = house_of(
            devnet.world, chain_client, tmp_path, database_url=url, now_ns=now_ns, policy=policy, approvals=approvals
        )
        house.desk.signer._guard = PolicyGuard(policy, uses=ApprovalUses(tmp_path / "uses.db"))
        held.append(house)
        await house.start()
        before = await chain_client.balance(RECIPIENT)
        made = (await api.withdraw(amount="1.5"))[1]
        path = f"/approvals/{made['id']}"
        await house.withdrawals.wait_for(made["id"], [State.AWAITING_APPROVAL], timeout_s=90)
        asked = (await api.ask("GET", path))[1]
        assert (asked["initiator"], asked["requirements"][0]["count"]) == (PEOPLE[0], 2)
        assert "1.5" in asked["text"]
        status, told = await api.ask("POST", f"{path}/signatures", api.signed(made["id"], PEOPLE[0]))
        assert (status, told["rule"]) == (403, "initiator")
        status, told = await api.ask("POST", f"{path}/signatures", api.signed(made["id"], PEOPLE[0]), who=BEA)
        assert (status, told["rule"]) == (403, "initiator")  # Whoever brings it: custody knows whose key it is.
        for name, state in ((PEOPLE[1], "pending"), (PEOPLE[2], "met")):
            told = (await api.ask("POST", f"{path}/signatures", api.signed(made["id"], name), who=BEA))[1]
            assert told.get("state") == state, told
        await until(lambda: is_mined(house, made["id"]))
        await chain_client.rpc.request("anvil_mine", hex(100))
        await house.withdrawals.wait_for(made["id"], DONE, timeout_s=90)
        found = (await api.ask("GET", f"/withdrawals/{made['id']}"))[1]
        await house.stop()
        assert (found["state"], found["has_ended"], bool(found["tx_hash"])) == ("booked", True, True)
        assert await chain_client.balance(RECIPIENT) == before + 15 * 10**17
        assert (api.owed("ulla"), api.owed("ulla", "held")) == (35 * 10**17 - 7, 0)
        assert custody.ledger.balances("fees") == {"fees/withdrawals": {COIN.id: -7}}
        assert (await api.ask("GET", "/approvals"))[1]["data"] == []
        assert custody.ledger.verify().is_sound
