"""Key ceremonies: what they leave behind, who can bring the key back, and what a transcript does not let pass."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain import InputError
from runtime import Secret
from tests.wallets.hsm.soft_token import PIN, SoftTokens
from tests.wallets.test_commands import run
from wallets import HdWallet, entropy_to_mnemonic, unlock_keystore
from wallets.backup import combine_shares
from wallets.ceremony import (
    Ceremony,
    CeremonyPlan,
    Person,
    Transcript,
    create_person,
    open_person,
    open_share,
    run_ceremony,
    sign_transcript,
    verify_transcript,
)
from wallets.ceremony.canonical import canonical
from wallets.ceremony.entropy import mix, read_dice
from wallets.watch import WatchOnlyAccount

NAMES = ("anna", "ben", "carla")
PASSWORD = Secret("correct horse")
DICE = "31415326535621423361524431653245126543215643516264351624"
ENTROPY = Secret("0x" + bytes(range(32)).hex())


def now_ns() -> int:
    return 1_800_000_000 * 10**9


@dataclass
class Room:
    """People with their keys, and a plan for them."""

    folder: Path
    people: dict[str, Person]
    plan: CeremonyPlan

    def hold(self, out: str = "out", **options: Any) -> Ceremony:
        return run_ceremony(self.plan, self.folder / out, now_ns=now_ns, **options)

    def sign_all(self, transcript: Path) -> None:
        for person in self.people.values():
            sign_transcript(transcript, person, now_ns=now_ns)


@pytest.fixture
def room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Room:
    monkeypatch.setattr("wallets.ceremony.people._SCRYPT", {"n": 1 << 10, "r": 8, "p": 1})
    people = {name: create_person(tmp_path / name, name, PASSWORD) for name in (*NAMES, "wanda")}
    (tmp_path / "dice").write_text(DICE[:30] + "\n" + DICE[30:] + "\n")
    (tmp_path / "plan.toml").write_text(
        'name = "treasury"\nthreshold = 2\n'
        + "".join(f'[[custodian]]\ncard = "{name}/card.json"\n' for name in NAMES)
        + '[witness]\ncard = "wanda/card.json"\n'
        + '[[entropy]]\nsource = "os"\n[[entropy]]\nsource = "dice"\nby = "anna"\ntext = "file:dice"\n'
    )
    return Room(tmp_path, people, CeremonyPlan.load(tmp_path / "plan.toml"))


def test_any_two_of_three_custodians_bring_the_key_back_and_one_does_not(room: Room) -> None:
    made = room.hold()
    room.sign_all(made.transcript)
    found = verify_transcript(Transcript.load(made.transcript), folder=made.transcript.parent)
    assert (found.address, found.account_key, found.threshold) == (made.address, made.account_key, 2)
    assert ([card.name for card in found.custodians], found.witness.name) == ([*NAMES], "wanda")
    shares = [open_share(made.transcript, room.people[name]) for name in NAMES]
    for pair in itertools.combinations(shares, 2):
        wallet = HdWallet(entropy_to_mnemonic(combine_shares(pair)))
        assert (wallet.signer(0).address, wallet.account_key()) == (made.address, made.account_key)
    with pytest.raises(InputError):
        combine_shares(shares[:1])
    assert WatchOnlyAccount(made.account_key).evm(0, 1) == [made.address]


def test_the_transcript_holds_no_secret(room: Room) -> None:
    made = room.hold()
    room.sign_all(made.transcript)
    text = made.transcript.read_text() + "".join(path.read_text() for path in made.shares)
    shares = [open_share(made.transcript, room.people[name]) for name in NAMES]
    entropy = combine_shares(shares)
    wallet = HdWallet(entropy_to_mnemonic(entropy))
    planted = [entropy.hex(), wallet.signer(0).reveal_private_key().hex(), DICE, PASSWORD.reveal()]
    sentences = [share.reveal() for share in shares] + [entropy_to_mnemonic(entropy).reveal()]
    planted += [" ".join(pair) for sentence in sentences for pair in itertools.pairwise(sentence.split())]
    assert not [secret for secret in planted if secret in text]
    assert {path.stat().st_mode & 0o777 for path in (*made.shares, made.transcript)} == {0o600}


def test_a_share_opens_for_its_custodian_in_its_ceremony_only(room: Room) -> None:
    first, second = room.hold("first"), room.hold("second")
    own = first.transcript.parent / "share-anna.json"
    own.write_text((second.transcript.parent / "share-anna.json").read_text())
    with pytest.raises(InputError, match="not the share that was delivered"):
        open_share(first.transcript, room.people["anna"])
    sealed = (second.transcript.parent / "share-anna.json").read_text()
    for person, ceremony in ((room.people["ben"], second.ceremony), (room.people["anna"], first.ceremony)):
        with pytest.raises(InputError):
            person.open(sealed, ceremony=ceremony)
    with pytest.raises(InputError, match="no share was sealed"):
        open_share(second.transcript, room.people["wanda"])
    for broken in ("", "{}", "[]", sealed.replace('"sealed":"', '"sealed":"00')):
        with pytest.raises(InputError):
            room.people["anna"].open(broken, ceremony=second.ceremony)


def test_a_rehearsal_gives_the_same_everything_and_a_test_key(room: Room) -> None:
    first, again = room.hold("first", rehearsal=ENTROPY), room.hold("again", rehearsal=ENTROPY)
    other = room.hold("other", rehearsal=Secret("ff" * 32))
    assert first.address == again.address != other.address
    assert first.transcript.read_bytes() == again.transcript.read_bytes()
    for one, two in zip(first.shares, again.shares, strict=True):
        assert one.read_bytes() == two.read_bytes()
    room.sign_all(first.transcript)
    found = verify_transcript(Transcript.load(first.transcript))
    assert found.is_rehearsal
    kept = room.folder / "key.json"
    room.hold("kept", rehearsal=ENTROPY, keystore=(kept, PASSWORD))
    assert unlock_keystore(kept, PASSWORD).is_test_key
    for bad in ("", "00", "zz" * 32):
        with pytest.raises(InputError):
            room.hold("bad", rehearsal=Secret(bad))


def test_real_ceremonies_never_repeat_themselves(room: Room) -> None:
    first, second = room.hold("first"), room.hold("second", keystore=(room.folder / "k.json", PASSWORD))
    assert first.address != second.address
    assert first.ceremony != second.ceremony
    assert not unlock_keystore(room.folder / "k.json", PASSWORD).is_test_key


def test_a_token_gives_entropy_and_its_absence_stops_the_ceremony(
    room: Room, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOFTHSM2_CONF", "")
    (tmp_path / "hsm").mkdir()
    tokens = SoftTokens(tmp_path / "hsm")
    tokens.create("desk")
    (tmp_path / "pin").write_text(PIN.reveal())
    plan = (tmp_path / "plan.toml").read_text()
    source = f'[[entropy]]\nsource = "hsm"\nmodule = "{tokens.module}"\ntoken = "desk"\npin = "file:pin"\n'
    (tmp_path / "with-hsm.toml").write_text(plan + source)
    held = replace(room, plan=CeremonyPlan.load(tmp_path / "with-hsm.toml")).hold()
    sources = [json.loads(line)["detail"] for line in held.transcript.read_text().splitlines()[1:4]]
    assert [(one["source"], one["by"]) for one in sources] == [("os", ""), ("dice", "anna"), ("hsm", "desk")]
    (tmp_path / "wrong.toml").write_text((plan + source).replace('"desk"', '"nowhere"'))
    with pytest.raises(Exception, match="nowhere"):
        replace(room, plan=CeremonyPlan.load(tmp_path / "wrong.toml")).hold("none")
    assert not (tmp_path / "none").exists()


def test_a_share_may_be_printed_instead(room: Room) -> None:
    text = (room.folder / "plan.toml").read_text().replace('"ben/card.json"', '"ben/card.json"\nprint = true')
    (room.folder / "printed.toml").write_text(text)
    made = replace(room, plan=CeremonyPlan.load(room.folder / "printed.toml")).hold()
    room.sign_all(made.transcript)
    verify_transcript(Transcript.load(made.transcript), folder=made.transcript.parent)
    printed = Secret((made.transcript.parent / "share-ben.txt").read_text().strip())
    entropy = combine_shares([printed, open_share(made.transcript, room.people["anna"])])
    assert HdWallet(entropy_to_mnemonic(entropy)).signer(0).address == made.address


def test_a_transcript_that_somebody_has_not_signed_is_not_verified(room: Room) -> None:
    made = room.hold()
    for name, person in room.people.items():
        with pytest.raises(InputError, match=name):
            verify_transcript(Transcript.load(made.transcript))
        sign_transcript(made.transcript, person, now_ns=now_ns)
        with pytest.raises(InputError, match="already"):
            sign_transcript(made.transcript, person, now_ns=now_ns)
    stranger = create_person(room.folder / "stranger", "anna", PASSWORD)
    with pytest.raises(InputError, match="no part"):
        sign_transcript(made.transcript, stranger, now_ns=now_ns)
    with pytest.raises(InputError, match="not in this ceremony"):
        verify_transcript(Transcript.load(made.transcript), cards=[stranger.card])
    verify_transcript(Transcript.load(made.transcript), cards=[person.card for person in room.people.values()])


def test_a_custodian_whose_share_does_not_open_does_not_sign(room: Room) -> None:
    made = room.hold()
    share = made.transcript.parent / "share-ben.json"
    share.write_text(share.read_text().replace('"version":1', '"version":2'))
    with pytest.raises(InputError):
        sign_transcript(made.transcript, room.people["ben"], now_ns=now_ns)
    share.unlink()
    with pytest.raises(InputError):
        sign_transcript(made.transcript, room.people["ben"], now_ns=now_ns)
    assert Transcript.load(made.transcript).details("signed") == []  # type: ignore[arg-type]


def rechained(lines: list[dict[str, Any]]) -> str:
    """Write lines as a forger would who can count and hash, but has nobody's key."""
    previous, rows = "0" * 64, []
    for number, line in enumerate(lines):
        row = canonical({**line, "sequence": number, "previous": previous})
        previous = hashlib.sha256(row).hexdigest()
        rows.append(row.decode() + "\n")
    return "".join(rows)


FORGERIES: dict[str, Callable[[list[dict[str, Any]]], list[dict[str, Any]]]] = {
    "another address": lambda lines: [
        {**line, "detail": {**line["detail"], "address": "0x" + "11" * 20}} if "address" in line["detail"] else line
        for line in lines
    ],
    "another time": lambda lines: [{**lines[0], "time_ns": "1"}, *lines[1:]],
    "a rehearsal made real": lambda lines: [
        {**lines[0], "detail": {**lines[0]["detail"], "rehearsal": not lines[0]["detail"]["rehearsal"]}},
        *lines[1:],
    ],
    "entropy left out": lambda lines: [line for line in lines if line["detail"].get("source") != "dice"],
    "a signature left out": lambda lines: lines[:-1],
    "a signature twice": lambda lines: [*lines, lines[-1]],
    "signatures swapped": lambda lines: [
        *lines[:-2],
        {**lines[-2], "detail": {**lines[-2]["detail"], "signature": lines[-1]["detail"]["signature"]}},
        {**lines[-1], "detail": {**lines[-1]["detail"], "signature": lines[-2]["detail"]["signature"]}},
    ],
    "a role changed": lambda lines: [
        *lines[:-1],
        {**lines[-1], "detail": {**lines[-1]["detail"], "role": "custodian"}},
    ],
    "an unopened share": lambda lines: [
        {**line, "detail": {**line["detail"], "opened": False}} if line["step"] == "signed" else line for line in lines
    ],
    "a step left out": lambda lines: [line for line in lines if line["step"] != "proved"],
    "steps reordered": lambda lines: [lines[0], lines[2], lines[1], *lines[3:]],
    "a share for somebody else": lambda lines: [
        {**line, "detail": {**line["detail"], "custodian": "mallory"}}
        if line["detail"].get("custodian") == "anna"
        else line
        for line in lines
    ],
    "a detail slipped in": lambda lines: [{**lines[0], "detail": {**lines[0]["detail"], "note": "x"}}, *lines[1:]],
    "a number for a name": lambda lines: [
        {**line, "detail": {**line["detail"], "by": 1}} if line["step"] == "signed" else line for line in lines
    ],
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_no_forgery_is_verified(room: Room, forgery: str) -> None:
    made = room.hold(rehearsal=ENTROPY if forgery == "a rehearsal made real" else None)
    room.sign_all(made.transcript)
    lines = [json.loads(row) for row in made.transcript.read_text().splitlines()]
    assert rechained(lines) == made.transcript.read_text()
    with pytest.raises(InputError):
        verify_transcript(Transcript.read(rechained(FORGERIES[forgery](lines))))


def test_any_byte_changed_or_cut_off_is_found(room: Room) -> None:
    made = room.hold()
    room.sign_all(made.transcript)
    text = made.transcript.read_text()
    for at in range(0, len(text), 97):
        letter = "0" if text[at] != "0" else "1"
        with pytest.raises(InputError):
            verify_transcript(Transcript.read(text[:at] + letter + text[at + 1 :]))
    for cut in (text[:-1], text[: len(text) // 2], "", "\n", "[]\n"):
        with pytest.raises(InputError):
            verify_transcript(Transcript.read(cut))


def test_a_delivered_file_that_was_exchanged_is_found(room: Room) -> None:
    made = room.hold()
    room.sign_all(made.transcript)
    (made.transcript.parent / "share-carla.json").write_text("{}")
    with pytest.raises(InputError, match="carla"):
        verify_transcript(Transcript.load(made.transcript), folder=made.transcript.parent)


@given(sources=st.lists(st.binary(max_size=40), min_size=2, max_size=4), at=st.integers(0, 3), flip=st.integers(1, 255))
def test_every_source_changes_the_mixture(sources: list[bytes], at: int, flip: int) -> None:
    place = at % len(sources)
    changed = [
        bytes([one[0] ^ flip]) + one[1:] if number == place and one else one for number, one in enumerate(sources)
    ]
    mixed = mix(sources, ceremony="c", length=32)
    assert len(mixed) == 32
    assert (mix(changed, ceremony="c", length=32) == mixed) == (changed == sources)
    assert mix([sources[0] + sources[1], *sources[2:]], ceremony="c", length=32) != mixed
    assert mix(sources, ceremony="d", length=32) != mixed


@pytest.mark.parametrize("text", ["", "123456", "0" * 60, "7" * 60, "1" * 60, "12" * 40, "1234567" * 10])
def test_what_no_die_gives_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(InputError) as refused:
        read_dice(Secret(text))
    assert not text or text not in str(refused.value)


def test_people_open_their_keys_with_their_password_only(room: Room, tmp_path: Path) -> None:
    assert open_person(tmp_path / "anna", PASSWORD).card == room.people["anna"].card
    with pytest.raises(InputError, match="wrong password"):
        open_person(tmp_path / "anna", Secret("incorrect horse"))
    (tmp_path / "anna" / "card.json").write_text((tmp_path / "ben" / "card.json").read_text())
    with pytest.raises(InputError, match="not the card"):
        open_person(tmp_path / "anna", PASSWORD)
    for name, password in (("Anna", PASSWORD), ("a/b", PASSWORD), ("", PASSWORD), ("dora", Secret("short"))):
        with pytest.raises(InputError):
            create_person(tmp_path / "new", name, password)
    with pytest.raises(InputError, match="not overwritten"):
        create_person(tmp_path / "ben", "ben", PASSWORD)
    assert "***" in repr(room.people["ben"])


@pytest.mark.parametrize(
    "change",
    [
        ("threshold = 2", "threshold = 4"),
        ("threshold = 2", "threshold = 1"),
        ('"ben/card.json"', '"anna/card.json"'),
        ('"wanda/card.json"', '"anna/card.json"'),
        ('"ben/card.json"', '"nobody/card.json"'),
        ('source = "dice"', 'source = "lava"'),
        ('name = "treasury"', 'title = "treasury"'),
    ],
)
def test_impossible_plans_are_refused(room: Room, change: tuple[str, str]) -> None:
    (room.folder / "bad.toml").write_text((room.folder / "plan.toml").read_text().replace(*change))
    with pytest.raises(InputError):
        run_ceremony(CeremonyPlan.load(room.folder / "bad.toml"), room.folder / "bad", now_ns=now_ns)
    assert not (room.folder / "bad").exists()


def test_the_commands_hold_a_ceremony_from_cards_to_the_key_brought_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "password").write_text("correct horse")
    password = ("--password-ref", f"file:{tmp_path / 'password'}", "--json")
    for name in (*NAMES, "wanda"):
        code, person, _ = run(capsys, "ceremony", "person", name, "--out", str(tmp_path / name), *password)
        assert (code, len(person["fingerprint"])) == (0, 64)
    (tmp_path / "plan.toml").write_text(
        'name = "drill"\nthreshold = 2\n'
        + "".join(f'[[custodian]]\ncard = "{name}/card.json"\n' for name in NAMES)
        + '[witness]\ncard = "wanda/card.json"\n'
    )
    out = tmp_path / "out"
    code, made, _ = run(capsys, "ceremony", "run", str(tmp_path / "plan.toml"), "--out", str(out), "--json")
    assert (code, made["rehearsal"], len(made["shares"])) == (0, False, 3)
    transcript = made["transcript"]
    code, _, error = run(capsys, "ceremony", "verify", transcript, "--json")
    assert (code, "not signed yet" in error) == (1, True)
    for name in (*NAMES, "wanda"):
        code, signed, _ = run(capsys, "ceremony", "sign", transcript, str(tmp_path / name), *password)
        assert (code, signed["role"]) == (0, "witness" if name == "wanda" else "custodian")
    card = ("--card", str(tmp_path / "anna" / "card.json"))
    code, found, _ = run(capsys, "ceremony", "verify", transcript, *card, "--json")
    assert (code, found["ok"], found["address"], found["cards_compared"]) == (0, True, made["address"], 1)
    for name in NAMES[:2]:
        share = ("--out", str(tmp_path / f"{name}.txt"))
        assert run(capsys, "ceremony", "open-share", transcript, str(tmp_path / name), *share, *password)[0] == 0
    shares = [item for name in NAMES[:2] for item in ("--share-ref", f"file:{tmp_path / name}.txt")]
    expected = ("--expect-address", made["address"], "--json")
    code, back, _ = run(capsys, "backup", "combine", "--kind", "phrase", *shares, *expected)
    assert (code, back["address"]) == (0, made["address"])
    code, _, error = run(capsys, "ceremony", "run", str(tmp_path / "plan.toml"), "--out", str(out), "--json")
    assert (code, "not empty" in error) == (1, True)
