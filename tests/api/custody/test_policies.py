"""Policies over HTTP: looked at by the house, drafted, signed by its administrators elsewhere, and put in force."""

from __future__ import annotations

import json

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from custody.approvals import key_text
from custody.counter import SignedPolicy
from custody.policy import Admins, Bundle, load_bundle, read_rulebook
from custody.policy.bundle import sign_bundle
from tests.api.custody.lab import RECIPIENT, TENANT, opened

ANN, BEN, EVE = (Ed25519PrivateKey.from_private_bytes(bytes([n]) * 32) for n in (1, 2, 3))
ADMINS = Admins(2, {"ann": key_text(ANN.public_key()), "ben": key_text(BEN.public_key())})
TEXT = f"""
version: 2
chains: {{1337: {{gas_limit_max: 500000, fee_per_gas_wei_max: "100000000000", deadline_s_max: 1800}}}}
rules:
  - id: pay
    effect: allow
    when: {{kind: transfer, recipient: "{RECIPIENT}"}}
    limits:
      amounts: [{{per_transaction: "1000000000000000000", windows: [{{window: 24h, amount: "5000000000000000000"}}]}}]
"""


@pytest.fixture
def house(tmp_path):
    with opened(tmp_path, signed_policy=SignedPolicy(ADMINS, tmp_path / "policy.json")) as house:
        house.file = tmp_path / "policy.json"
        yield house


def signature(house, key, *, text=TEXT, **changes):
    """What an administrator's own machine makes: `capstan policy sign`."""
    now_s = house.services.clock.now_ns() // 10**9
    made = sign_bundle(Bundle(read_rulebook(text), ()), key, now_s=now_s).signatures[0]
    return {"admin": made.admin, "signed_s": made.signed_s, "signature": made.signature} | changes


async def propose(house, text=TEXT, **more):
    return await house.ask("POST", "/policies/proposals", {"document": text}, **more)


async def test_two_administrators_put_a_policy_in_force(house):
    status, made = await propose(house)
    assert (status, made["state"], made["needed"], made["signed_by"]) == (201, "open", 2, [])
    assert made["digest"] == read_rulebook(TEXT).digest
    path = f"/policies/proposals/{made['id']}"
    first = signature(house, ANN)
    for _ in range(2):  # Safe to send again, and one administrator is one.
        assert (await house.ask("POST", f"{path}/signatures", first))[1]["state"] == "open"
    assert not house.file.exists()
    status, done = await house.ask("POST", f"{path}/signatures", signature(house, BEN))
    assert (status, done["state"], len(done["signed_by"])) == (201, "accepted", 2)
    assert load_bundle(house.file).rulebook.digest == made["digest"]
    history = (await house.ask("GET", "/policies"))[1]["data"]
    assert [(one["version"], one["is_active"]) for one in history] == [(2, True)]
    house.file.unlink()  # As after a crash between the books and the file.
    assert (await house.ask("POST", f"{path}/signatures", signature(house, BEN)))[0] == 201
    assert load_bundle(house.file).rulebook.version == 2
    assert (await house.ask("GET", path))[1] == done
    assert (await house.ask("GET", "/policies/proposals"))[1]["data"] == [done]


async def test_signatures_of_others_or_over_something_else_are_refused(house):
    path = f"/policies/proposals/{(await propose(house))[1]['id']}/signatures"
    for wrong in (
        signature(house, EVE),
        signature(house, ANN, text=TEXT.replace("version: 2", "version: 3")),
        signature(house, ANN, signed_s=1),
        signature(house, ANN, signature="00"),
        signature(house, ANN, admin="nobody"),
    ):
        status, told = await house.ask("POST", path, wrong)
        assert (status, told["rule"]) == (403, "policy-signature")
    assert (await house.ask("GET", "/policies"))[1]["data"] == []


async def test_a_version_that_is_not_above_the_last_is_not_accepted_and_nothing_changes(house):
    for _ in range(2):
        path = f"/policies/proposals/{(await propose(house))[1]['id']}/signatures"
        await house.ask("POST", path, signature(house, ANN))
        house.services.clock.advance(seconds=1)
        status, told = await house.ask("POST", path, signature(house, BEN))
        # The very document that is in force is accepted already; another one of its version is not.
        assert status == 201, told
        text = TEXT.replace("id: pay", "id: pays")
        path = f"/policies/proposals/{(await propose(house, text))[1]['id']}"
        await house.ask("POST", f"{path}/signatures", signature(house, ANN, text=text))
        status, told = await house.ask("POST", f"{path}/signatures", signature(house, BEN, text=text))
        assert (status, told["rule"]) == (403, "policy-version")
        assert len((await house.ask("GET", path))[1]["signed_by"]) == 1
    assert load_bundle(house.file).rulebook.digest == read_rulebook(TEXT).digest


async def test_lint_says_what_is_not_meant_and_what_has_errors_is_not_proposed(house):
    found = (await house.ask("POST", "/policies/lint", {"document": TEXT}))[1]
    assert (found["is_fit"], found["version"]) == (True, 2)
    broken = TEXT + "groups: {two: [ann]}\n"
    assert (await house.ask("POST", "/policies/lint", {"document": broken}))[0] == 422
    unfit = TEXT + (
        "  - {id: both, effect: require, group: pair, count: 3, when: {kind: transfer}}\n"
        f'people: {{ann: {{keys: ["{ADMINS.keys["ann"]}"]}}}}\ngroups: {{pair: [ann]}}\n'
    )
    found = (await house.ask("POST", "/policies/lint", {"document": unfit}))[1]
    assert (found["is_fit"], found["findings"][0]["severity"]) == (False, "error"), json.dumps(found)
    assert (await propose(house, unfit))[0] == 422
    assert (await house.ask("GET", "/policies/proposals"))[1]["data"] == []


async def test_of_very_many_findings_the_worst_are_told(house):
    rules = "".join(f"  - {{id: r{n}, effect: allow, when: {{kind: transfer}}}}\n" for n in range(60))
    document = f"version: 2\nchains: {{1: {{}}}}\nrules:\n{rules}"
    found = (await house.ask("POST", "/policies/lint", {"document": document}))[1]
    assert len(found["findings"]) == 500
    assert found["left_off"] > 1_000
    order = [one["severity"] for one in found["findings"]]
    assert order == sorted(order, key=["error", "warning", "note"].index)
    rules = "".join(f"  - {{id: r{n}, effect: allow}}\n" for n in range(220))
    document = f"version: 2\nchains: {{1: {{}}}}\nrules:\n{rules}"  # 24,090 pairs that say the same.
    for path in ("lint", "proposals"):
        status, refused = await house.ask("POST", f"/policies/{path}", {"document": document})
        assert (status, refused["detail"]) == (422, "more than 20,000 findings")


async def test_policies_are_the_houses(house):
    made = (await propose(house))[1]["id"]
    for method, path, body in (
        ("GET", "", None), ("GET", "/active", None), ("GET", "/proposals", None), ("GET", f"/proposals/{made}", None),
        ("POST", "/lint", {"document": TEXT}), ("POST", "/proposals", {"document": TEXT}),
        ("POST", f"/proposals/{made}/signatures", signature(house, ANN)),
    ):  # fmt: skip
        assert (await house.ask(method, f"/policies{path}", body, who=TENANT))[1]["code"] == "house_only"
    active = (await house.ask("GET", "/policies/active"))[1]
    assert (active["is_signed"], active["version"]) == (True, 1)
    assert (await house.ask("GET", "/policies/proposals/pol_" + "0" * 16))[0] == 404


async def test_a_policy_of_the_settings_is_shown_and_not_proposed(tmp_path):
    with opened(tmp_path) as house:
        assert (await house.ask("GET", "/policies/active"))[1]["is_signed"] is False
        assert (await propose(house))[1]["code"] == "policy_in_settings"
