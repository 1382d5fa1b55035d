"""Who may change the policy, and when a change becomes active. Every way around it is tried."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from custody.policy import Bundle, BundlePolicy, load_admins, load_bundle
from custody.policy.bundle import AdminSignature, check_quorum, read_bundle, sign_bundle
from domain import InputError, Refused
from runtime import ManualClock
from tests.support.approvers import key_of
from tests.support.policies import ADMINS, NOW_S, document, public, signed

DAY = 86_400


def source(tmp_path: Path, clock: ManualClock) -> BundlePolicy:
    return BundlePolicy(tmp_path / "policy.json", ADMINS, state=tmp_path / "state.json", now_ns=clock.now_ns)


def put(tmp_path: Path, bundle: Bundle) -> None:
    """Replace the file as an operator does."""
    beside = tmp_path / "policy.new"
    beside.write_text(bundle.to_json(), encoding="utf-8")
    beside.replace(tmp_path / "policy.json")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW_S * 10**9)


def quorum(bundle: Bundle) -> str:
    with pytest.raises(Refused) as error:
        check_quorum(bundle, ADMINS)
    return error.value.rule


def test_a_quorum_is_of_different_administrators_over_this_very_document() -> None:
    bundle = signed(document(), "ada", "grace")
    assert check_quorum(bundle, ADMINS) == NOW_S
    assert check_quorum(read_bundle(bundle.to_json()), ADMINS) == NOW_S
    assert quorum(signed(document(), "ada")) == "policy-quorum"
    assert quorum(signed(document(), "ada", "mallory")) == "policy-quorum"
    twice = Bundle(bundle.rulebook, (bundle.signatures[0], replace(bundle.signatures[0], signed_s=NOW_S)))
    assert quorum(twice) == "policy-quorum"
    assert quorum(Bundle(document(version=8), bundle.signatures)) == "policy-quorum"
    assert quorum(Bundle(document(rules="  - {id: x, effect: allow}"), bundle.signatures)) == "policy-quorum"
    later = tuple(replace(s, signed_s=s.signed_s + 1) for s in bundle.signatures)
    assert quorum(Bundle(bundle.rulebook, later)) == "policy-quorum"
    garbage = AdminSignature(admin=public("grace"), signed_s=NOW_S, signature="zz")
    assert quorum(Bundle(bundle.rulebook, (bundle.signatures[0], garbage))) == "policy-quorum"


def test_signing_again_replaces_ones_own_signature() -> None:
    bundle = sign_bundle(signed(document(), "ada"), key_of("ada"), now_s=NOW_S + 5)
    assert [s.signed_s for s in bundle.signatures] == [NOW_S + 5]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"bundle": 2, "policy": {}, "signatures": []}'])
def test_what_is_no_bundle_is_not_read(text: str) -> None:
    with pytest.raises(InputError, match="not a policy bundle"):
        read_bundle(text)


def test_a_bundle_with_a_key_twice_is_not_read() -> None:
    text = signed(document()).to_json()
    with pytest.raises(InputError, match="not a policy bundle"):
        read_bundle(text.replace('"version": 7', '"version": 7, "version": 8'))


def test_a_process_picks_up_a_new_version_when_its_time_comes(tmp_path: Path, clock: ManualClock) -> None:
    put(tmp_path, signed(document(extra="min_delay: 1d")))
    policies = source(tmp_path, clock)
    assert policies.current().version == 7
    put(tmp_path, signed(document(version=8, extra='activates_at: "1970-01-02T00:16:40Z"')))
    assert policies.current().version == 7
    clock.advance(seconds=DAY - 1)
    assert policies.current().version == 7
    clock.advance(seconds=1)
    assert policies.current().version == 8
    assert source(tmp_path, clock).current().version == 8


def test_the_delay_counts_from_when_a_process_first_saw_it_whatever_the_signatures_say(
    tmp_path: Path, clock: ManualClock
) -> None:
    put(tmp_path, signed(document(extra="min_delay: 1d")))
    policies = source(tmp_path, clock)
    clock.advance(seconds=3 * DAY)
    dated_back = signed(document(version=8, extra='activates_at: "1970-01-03T00:00:00Z"'), at_s=NOW_S)
    put(tmp_path, dated_back)
    assert policies.current().version == 7
    clock.advance(seconds=DAY - 1)
    assert source(tmp_path, clock).current().version == 7
    clock.advance(seconds=1)
    assert source(tmp_path, clock).current().version == 8


def test_a_successor_dated_before_the_delay_is_refused(tmp_path: Path, clock: ManualClock) -> None:
    put(tmp_path, signed(document(extra="min_delay: 1d")))
    policies = source(tmp_path, clock)
    put(tmp_path, signed(document(version=8)))
    clock.advance(seconds=9 * DAY)
    assert policies.current().version == 7


def test_signatures_from_the_future_are_refused(tmp_path: Path, clock: ManualClock) -> None:
    put(tmp_path, signed(document(), at_s=NOW_S + 301))
    with pytest.raises(Refused, match="is active"):
        source(tmp_path, clock).current()


def test_no_process_goes_back_to_an_older_version_even_without_its_file(tmp_path: Path, clock: ManualClock) -> None:
    old, new = signed(document()), signed(document(version=8))
    put(tmp_path, new)
    assert source(tmp_path, clock).current().version == 8
    put(tmp_path, old)
    assert source(tmp_path, clock).current().version == 8
    other_eight = signed(document(version=8, rules="  - {id: all, effect: allow}"))
    put(tmp_path, other_eight)
    assert source(tmp_path, clock).current().digest == new.rulebook.digest
    (tmp_path / "policy.json").unlink()
    assert source(tmp_path, clock).current().version == 8


def test_a_pending_version_is_withdrawn_by_a_higher_one(tmp_path: Path, clock: ManualClock) -> None:
    put(tmp_path, signed(document(extra="min_delay: 1d")))
    policies = source(tmp_path, clock)
    bad = signed(document(version=8, extra='activates_at: "1970-01-03T00:00:00Z"', rules="  - {id: x, effect: allow}"))
    put(tmp_path, bad)
    policies.current()
    put(tmp_path, signed(document(version=9, extra='activates_at: "1970-01-03T00:00:00Z"')))
    policies.current()
    put(tmp_path, bad)
    clock.advance(seconds=5 * DAY)
    assert policies.current().version == 9


def test_a_bad_file_changes_nothing_and_none_at_all_allows_nothing(tmp_path: Path, clock: ManualClock) -> None:
    empty = source(tmp_path, clock)
    with pytest.raises(Refused) as error:
        empty.current()
    assert error.value.rule == "no-policy"
    put(tmp_path, signed(document(), "ada"))
    with pytest.raises(Refused):
        empty.current()
    put(tmp_path, signed(document()))
    assert empty.current().version == 7
    (tmp_path / "policy.json").write_text("nonsense", encoding="utf-8")
    assert empty.current().version == 7


def test_state_that_the_administrators_did_not_sign_stops_the_process(tmp_path: Path, clock: ManualClock) -> None:
    put(tmp_path, signed(document()))
    source(tmp_path, clock)
    state = json.loads((tmp_path / "state.json").read_text(encoding="utf-8"))
    forged = signed(document(version=9, rules="  - {id: all, effect: allow}"), "mallory", "eve")
    (tmp_path / "state.json").write_text(json.dumps({**state, "active": forged.to_json()}), encoding="utf-8")
    with pytest.raises(Refused) as error:
        source(tmp_path, clock)
    assert error.value.rule == "policy-quorum"
    (tmp_path / "state.json").write_text("{", encoding="utf-8")
    with pytest.raises(InputError):
        source(tmp_path, clock)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (f"threshold: 3\nadmins: {{ada: '{public('ada')}', grace: '{public('grace')}'}}", "no quorum"),
        (f"threshold: 0\nadmins: {{ada: '{public('ada')}'}}", "no quorum"),
        (f"threshold: 1\nadmins: {{ada: '{public('ada')}', eve: '{public('ada')}'}}", "share a key"),
        ("threshold: 1\nadmins: {ada: 'ed25519:00'}", "a key is written"),
        ("threshold: 1", "needs `threshold` and `admins`"),
    ],
)
def test_pinned_administrators_make_a_quorum_or_are_not_read(tmp_path: Path, text: str, what: str) -> None:
    path = tmp_path / "admins.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=what):
        load_admins(path)


def test_files_come_back_as_they_were_written(tmp_path: Path) -> None:
    put(tmp_path, signed(document()))
    assert load_bundle(tmp_path / "policy.json").rulebook.digest == document().digest
    names = ", ".join(f"{name}: '{key}'" for name, key in ADMINS.keys.items())
    (tmp_path / "admins.yaml").write_text(f"threshold: 2\nadmins: {{{names}}}", encoding="utf-8")
    assert load_admins(tmp_path / "admins.yaml") == ADMINS
