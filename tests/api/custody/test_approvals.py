"""What waits for people over HTTP: read in words, signed by those the policy names, seen by whom it concerns."""

from __future__ import annotations

import pytest

from custody.approvals import CanonicalIntent, Verdict, digest_of
from tests.api.custody.lab import TENANT, opened
from tests.api.lab import ANYBODY
from tests.support.approvers import NAMES


@pytest.fixture
def house(tmp_path):
    with opened(tmp_path) as house:
        yield house


async def post(house, intent_id, document, **more):
    return await house.ask("POST", f"/approvals/{intent_id}/signatures", document, **more)


async def test_it_is_read_signed_by_two_and_met(house):
    house.asks("swap-1")
    listed = (await house.ask("GET", "/approvals"))[1]["data"]
    assert [(one["id"], one["state"]) for one in listed] == [("swap-1", "pending")]
    asked = (await house.ask("GET", "/approvals/swap-1"))[1]
    assert asked == listed[0]
    # An approver's own machine writes the words and the digest itself, from the intent alone.
    intent = CanonicalIntent.from_document(asked["intent"])
    assert intent.render(NAMES) == asked["text"]
    assert digest_of(intent, asked["text"]).hex() == asked["digest"]
    assert digest_of(intent, asked["text"], Verdict.REJECT).hex() == asked["reject_digest"]
    first = house.signed("swap-1", "alice")
    for _ in range(2):  # Safe to send again.
        status, told = await post(house, "swap-1", first)
        assert (status, told["state"], [one["by"] for one in told["given"]]) == (201, "pending", ["alice"])
    assert (await post(house, "swap-1", house.signed("swap-1", "bob")))[1]["state"] == "met"
    assert (await house.ask("GET", "/approvals"))[1]["data"] == []
    assert [one["state"] for one in (await house.ask("GET", "/approvals?all=true"))[1]["data"]] == ["met"]


async def test_one_no_ends_it(house):
    house.asks("swap-1")
    told = (await post(house, "swap-1", house.signed("swap-1", "bob", Verdict.REJECT)))[1]
    assert (told["state"], told["given"][0]["verdict"]) == ("rejected", "reject")
    status, refused = await post(house, "swap-1", house.signed("swap-1", "alice"))
    assert (status, refused["rule"]) == (403, "approval-over")


async def test_who_is_not_asked_forged_or_asked_for_it_does_not_count(house):
    house.asks("swap-1")
    house.asks("swap-2", initiator="anybody@example.com")
    forged = house.signed("swap-2", "alice")  # Of another intent.
    unsigned = house.signed("swap-1", "alice") | {"proof": {}}
    for document, rule in (
        (house.signed("swap-1", "mallory"), "approver"),
        (forged, "approval-signature"),
        (unsigned, "approval-signature"),
    ):
        status, told = await post(house, "swap-1", document)
        assert (status, told["rule"]) == (403, rule)
    status, told = await post(house, "swap-2", forged)
    assert (status, told["rule"]) == (403, "initiator")
    assert (await house.ask("GET", "/approvals/swap-1"))[1]["given"] == []
    assert (await post(house, "swap-1", forged | {"key": "ed25519:zz"}))[0] == 403
    assert (await post(house, "swap-1", forged | {"verdict": "perhaps"}))[0] == 422
    assert (await post(house, "nobody-asked", forged))[0] == 404


async def test_each_organisation_sees_its_own_and_a_vaults_owner_what_leaves_it(house):
    tina = await house.tenant_client()
    theirs = (await house.withdraw(tina, "0.1", who=TENANT))[1]["id"]
    mine = (await house.withdraw())[1]["id"]
    for intent_id in (theirs, mine, "swap-1"):
        house.asks(intent_id, vault="default")

    async def seen(who):
        return sorted(one["id"] for one in (await house.ask("GET", "/approvals", who=who))[1]["data"])

    assert await seen(ANYBODY) == sorted([theirs, mine, "swap-1"])  # Its people sign for its vault.
    assert await seen(TENANT) == [theirs]
    for other in (mine, "swap-1"):
        assert (await house.ask("GET", f"/approvals/{other}", who=TENANT))[0] == 404
        assert (await post(house, other, house.signed(other, "alice"), who=TENANT))[0] == 404
        assert house.services.custody.approvals.find(other).approvals == ()


async def test_what_has_ended_waits_no_more(house):
    made = (await house.withdraw())[1]["id"]
    house.asks(made)
    house.asks("swap-1")
    await house.ask("DELETE", f"/withdrawals/{made}")
    assert [one["id"] for one in (await house.ask("GET", "/approvals"))[1]["data"]] == ["swap-1"]
    house.services.clock.advance(seconds=3_601)
    assert (await house.ask("GET", "/approvals"))[1]["data"] == []
    assert (await house.ask("GET", "/approvals/swap-1"))[1]["state"] == "expired"


async def test_pages_go_back_in_time(house):
    for number in range(5):
        house.asks(f"swap-{number}")
    first = (await house.ask("GET", "/approvals?limit=3"))[1]
    second = (await house.ask("GET", f"/approvals?limit=3&cursor={first['next']}"))[1]
    assert [one["id"] for one in first["data"] + second["data"]] == [f"swap-{n}" for n in (4, 3, 2, 1, 0)]
    assert second["next"] is None
