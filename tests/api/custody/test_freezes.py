"""Freezes over HTTP: anybody who may press freezes what is theirs, two people of the house lift."""

from __future__ import annotations

from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from custody import freeze
from runtime import Secret
from tests.api.custody.lab import CHAIN, TENANT, opened
from tests.api.lab import ANYBODY


@pytest.fixture
def house(tmp_path):
    with opened(tmp_path) as house:
        yield house


async def test_one_person_freezes_and_two_of_the_house_lift(house):
    status, frozen = await house.ask("POST", "/freezes", {"scope": "vault/default", "reason": "odd"})
    assert (status, frozen["source"], frozen["stands"]) == (201, "operator:anybody@example.com", True)
    assert (await house.ask("POST", "/freezes", {"scope": "vault/default", "reason": "again"}))[1] == frozen
    assert [one["reason"] for one in (await house.ask("GET", "/vaults/default"))[1]["freezes"]] == ["odd"]
    path, word = f"/freezes/{frozen['id']}/lifts", {"reason": "ours: ticket 4711"}
    assert (await house.ask("POST", path, word, who=TENANT))[1]["code"] == "house_only"
    assert (await house.ask("POST", path, word, who=replace(ANYBODY, user=None)))[0] == 403
    assert (await house.ask("POST", path, word | {"operator": "olga"}))[0] == 422
    signed = word | {"operator": "olga", "signature": "0" * 128}
    assert (await house.ask("POST", path, signed))[1]["code"] == "operator"
    first = (await house.ask("POST", path, word))[1]
    assert (first["stands"], first["lifted_by"]) == (True, ["anybody@example.com"])
    assert (await house.ask("POST", path, word))[1]["code"] == "conflict"
    assert [one["id"] for one in (await house.ask("GET", "/freezes"))[1]["data"]] == [frozen["id"]]
    second = (await house.ask("POST", path, word, who=replace(ANYBODY, user=str(TENANT.user))))[1]
    assert (second["stands"], second["lifted_by"]) == (False, ["anybody@example.com", "theo@example.com"])
    assert (await house.ask("GET", "/freezes"))[1]["data"] == []
    assert (await house.ask("POST", path, word))[0] == 404


async def test_what_there_is_not_is_not_frozen_and_others_freeze_and_see_their_own_vaults(house):
    for scope in ("vault/defualt", "chain/1", "venue/two"):
        assert (await house.ask("POST", "/freezes", {"scope": scope, "reason": "x"}))[0] == 404
    for body in ({"scope": "world", "reason": "x"}, {"scope": "all", "reason": " "}, {"scope": "all"}):
        assert (await house.ask("POST", "/freezes", body))[0] == 422
    for scope in ("all", f"chain/{CHAIN}", "venue/one"):
        assert (await house.ask("POST", "/freezes", {"scope": scope, "reason": "drill"}))[0] == 201
        theirs = (await house.ask("POST", "/freezes", {"scope": scope, "reason": "drill"}, who=TENANT))[1]
        assert theirs["code"] == "house_only"
    ours = {"scope": "vault/default", "reason": "drill"}
    assert (await house.ask("POST", "/freezes", ours, who=TENANT))[0] == 404
    assert (await house.ask("GET", "/freezes", who=TENANT))[1]["data"] == []
    await house.ask("PUT", "/vaults/default/owner", {"organisation": TENANT.organisation})
    assert (await house.ask("POST", "/freezes", ours, who=TENANT))[0] == 201
    seen = [one["scope"] for one in (await house.ask("GET", "/freezes", who=TENANT))[1]["data"]]
    assert seen == ["all", f"chain/{CHAIN}", "vault/default"]


async def test_where_operators_have_keys_their_signatures_lift(tmp_path):
    keys = {name: Secret(number * 64) for name, number in (("olga", "1"), ("otto", "2"))}
    public = {name: _public(key) for name, key in keys.items()}
    with opened(tmp_path) as house:
        services = house.services
        freezes = freeze.Freezes(services.database, services.auth.audit, services.clock.now_ns, operators=public)
        object.__setattr__(services.custody, "freezes", freezes)
        number = (await house.ask("POST", "/freezes", {"scope": "all", "reason": "drill"}))[1]["id"]
        path = f"/freezes/{number}/lifts"
        assert (await house.ask("POST", path, {"reason": "done"}))[1]["code"] == "operator"
        words = {
            name: {
                "reason": "done",
                "operator": name,
                "signature": freeze.sign_lift(key, number, name, "done").hex(),
            }
            for name, key in keys.items()
        }
        for forged in (words["olga"] | {"operator": "otto"}, words["olga"] | {"reason": "other"}):
            assert (await house.ask("POST", path, forged))[1]["rule"] == "operator"
        assert (await house.ask("POST", path, words["olga"]))[1]["stands"]
        assert not (await house.ask("POST", path, words["otto"]))[1]["stands"]


def _public(key: Secret) -> str:
    return Ed25519PrivateKey.from_private_bytes(bytes.fromhex(key.reveal())).public_key().public_bytes_raw().hex()
