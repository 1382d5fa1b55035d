"""SLIP-39: the official vectors, shares in groups, and the commands that split and combine.

Vectors: https://github.com/trezor/python-shamir-mnemonic/blob/master/vectors.json, which SLIP-39 names; MIT, here as
the npm package slip39 0.1.9 ships them. Each has a title, shares, the secret (none: the shares must be refused) and the
root key that BIP-32 grows from it; the passphrase is TREZOR.
"""

from __future__ import annotations

import itertools
import json
import random
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from bip_utils import Bip32Slip10Secp256k1
from hypothesis import given, settings
from hypothesis import strategies as st

from chain.devnet import TEST_MNEMONIC
from domain import InputError
from runtime import Secret
from tests.wallets.test_commands import run
from tests.wallets.test_signer import failing_with_secret
from wallets import HdWallet, KeySigner, entropy_to_mnemonic, mnemonic_to_entropy
from wallets.backup import ShareGroup, combine_shares, split_secret

VECTORS = json.loads((Path(__file__).parent / "vectors" / "slip39.json").read_text())
TREZOR = Secret("TREZOR")


@pytest.mark.parametrize("vector", VECTORS, ids=[vector[0].partition(".")[0] for vector in VECTORS])
def test_the_official_vectors(vector: list[Any]) -> None:
    _, shares, secret, root = vector
    given_shares = [Secret(share) for share in shares]
    if not secret:
        with pytest.raises(InputError):
            combine_shares(given_shares, TREZOR)
        return
    found = combine_shares(given_shares, TREZOR)
    assert found.hex() == secret
    assert Bip32Slip10Secp256k1.FromSeed(found).PrivateKey().ToExtended() == root


def test_every_official_vector_is_there() -> None:
    assert len(VECTORS) == 45
    assert sum(1 for vector in VECTORS if vector[2]) == 15


@settings(max_examples=25, deadline=None)
@given(
    data=st.data(), secret=st.sampled_from([16, 20, 24, 28, 32]).flatmap(lambda n: st.binary(min_size=n, max_size=n))
)
def test_any_sufficient_shares_bring_the_secret_back_and_fewer_do_not(data: st.DataObject, secret: bytes) -> None:
    thresholds = data.draw(st.lists(st.integers(1, 3), min_size=1, max_size=3))
    groups = [ShareGroup(one, 1 if one == 1 else data.draw(st.integers(one, 4))) for one in thresholds]
    needed = data.draw(st.integers(1, len(groups)))
    shares = split_secret(secret, groups, group_threshold=needed)
    assert [len(group) for group in shares] == [group.members for group in groups]
    picked = data.draw(st.permutations(range(len(groups))))[:needed]
    enough = [data.draw(st.permutations(shares[one]))[: groups[one].threshold] for one in picked]
    assert combine_shares(list(itertools.chain(*enough))) == secret
    assert combine_shares(list(itertools.chain(*shares))) == secret
    with pytest.raises(InputError):
        combine_shares(list(itertools.chain(*enough))[:-1])


def test_a_share_altered_or_of_another_backup_is_found_out_even_when_it_is_not_needed() -> None:
    mine = split_secret(b"\x01" * 16, [ShareGroup(2, 3)], group_threshold=1)[0]
    other = split_secret(b"\x02" * 16, [ShareGroup(2, 3)], group_threshold=1)[0]
    for stray in (other[2], Secret(mine[2].reveal().rsplit(" ", 1)[0] + " academic"), Secret("nonsense"), Secret("")):
        with pytest.raises(InputError):
            combine_shares([mine[0], mine[1], stray])


def test_a_wrong_passphrase_gives_another_secret_and_no_error() -> None:
    shares = split_secret(b"\x01" * 16, [ShareGroup(1, 1)], group_threshold=1, passphrase=Secret("right"))[0]
    assert combine_shares(shares, Secret("right")) == b"\x01" * 16
    assert combine_shares(shares, Secret("wrong")) != b"\x01" * 16
    with pytest.raises(InputError, match="ASCII"):
        combine_shares(shares, Secret("größer"))


def test_a_rehearsal_gives_the_same_shares_again_and_others_do_not() -> None:
    def shares(seed: int | None) -> list[str]:
        source = random.Random(seed).randbytes if seed is not None else None
        split = split_secret(b"\x01" * 32, [ShareGroup(2, 3)], group_threshold=1, random_bytes=source)
        return [share.reveal() for share in split[0]]

    assert shares(7) == shares(7) != shares(8)
    assert shares(None) != shares(None)


@pytest.mark.parametrize("text", ["", "2", "2of", "of3", "3of2", "0of1", "1of2", "2of17", "-1of3", "2 of 3 "])
def test_impossible_groups_are_refused(text: str) -> None:
    with pytest.raises(InputError):
        ShareGroup.parse(text)


@pytest.mark.parametrize("length", [0, 15, 17, 34, 64])
def test_secrets_of_other_lengths_are_refused(length: int) -> None:
    with pytest.raises(InputError):
        split_secret(bytes(length), [ShareGroup(1, 1)], group_threshold=1)


def test_no_word_of_a_wrong_share_is_in_the_error_or_its_traceback() -> None:
    first, second = split_secret(b"\x01" * 16, [ShareGroup(2, 2)], group_threshold=1)[0]
    words = first.reveal().split()
    for altered in ([*words[:-1], "academic"], [*words[:-1], "notaword"], words[:-2], words):
        wrong = [Secret(" ".join(altered))] if altered is words else [Secret(" ".join(altered)), second]
        trace = failing_with_secret(partial(combine_shares, wrong))
        assert "combine_shares" in trace
        # Pairs: some words of the list are in our own sentences.
        assert not [pair for pair in itertools.pairwise(words) if " ".join(pair) in trace]


def test_entropy_and_phrase_are_two_forms_of_one_secret() -> None:
    assert mnemonic_to_entropy(entropy_to_mnemonic(bytes(range(32)))) == bytes(range(32))
    assert entropy_to_mnemonic(mnemonic_to_entropy(Secret(TEST_MNEMONIC))).reveal() == TEST_MNEMONIC
    with pytest.raises(InputError):
        entropy_to_mnemonic(bytes(17))
    with pytest.raises(InputError):
        mnemonic_to_entropy(Secret("test test test"))


def test_a_phrase_is_split_and_brought_back_by_the_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, text in (("phrase", TEST_MNEMONIC), ("password", "pw"), ("passphrase", "two plates")):
        (tmp_path / name).write_text(text + "\n")
    reference = {name: f"file:{tmp_path / name}" for name in ("phrase", "password", "passphrase")}
    shares = tmp_path / "shares"
    code, made, _ = run(
        capsys,
        *("backup", "split", "--mnemonic-ref", reference["phrase"], "--passphrase-ref", reference["passphrase"]),
        *("--group", "2of3", "--group", "1of1", "--group-threshold", "2", "--out", str(shares), "--json"),
    )
    assert (code, len(made["shares"]), made["address"]) == (0, 4, HdWallet(Secret(TEST_MNEMONIC)).signer(0).address)
    assert {Path(file).stat().st_mode & 0o777 for file in made["shares"]} == {0o600}
    public = (shares / "backup.json").read_text()
    assert json.loads(public)["groups"] == ["2of3", "1of1"]
    words = (shares / "share-1-1.txt").read_text().split()
    assert not [pair for pair in itertools.pairwise(words) if " ".join(pair) in public]
    some = [item for name in ("1-1", "1-3", "2-1") for item in ("--share-ref", f"file:{shares}/share-{name}.txt")]
    back = ("backup", "combine", "--kind", "phrase", *some, "--expect-address", made["address"], "--json")
    code, restored, _ = run(
        capsys,
        *(*back, "--passphrase-ref", reference["passphrase"], "--mnemonic-out", str(tmp_path / "again")),
        *("--out", str(tmp_path / "key.json"), "--password-ref", reference["password"]),
    )
    assert (code, restored["address"], restored["test_key"]) == (0, made["address"], True)
    assert (tmp_path / "again").read_text().strip() == TEST_MNEMONIC
    _, shown, _ = run(capsys, "show", str(tmp_path / "key.json"), "--password-ref", reference["password"], "--json")
    assert shown["address"] == made["address"]
    code, _, error = run(capsys, *back, "--out", str(tmp_path / "no.json"), "--password-ref", reference["password"])
    assert (code, "not of" in error) == (1, True)  # without the passphrase it is another key, and nothing is written
    assert not (tmp_path / "no.json").exists()
    code, _, error = run(capsys, *back[:6], "--passphrase-ref", reference["passphrase"], "--json")
    assert (code, "groups are missing" in error) == (1, True)


def test_a_keystores_key_is_split_and_brought_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    key = KeySigner(b"\x2a" * 32)
    (tmp_path / "raw").write_text("2a" * 32)
    (tmp_path / "password").write_text("pw")
    password = ("--password-ref", f"file:{tmp_path / 'password'}")
    keystore = str(tmp_path / "key.json")
    run(capsys, "import", "--out", keystore, *password, "--private-key-ref", f"file:{tmp_path / 'raw'}", "--json")
    out = tmp_path / "shares"
    code, _, _ = run(
        capsys, "backup", "split", "--keystore", keystore, *password, "--group", "2of2", "--out", str(out), "--json"
    )
    assert code == 0
    some = [item for name in ("1-1", "1-2") for item in ("--share-ref", f"file:{out}/share-{name}.txt")]
    code, restored, _ = run(capsys, "backup", "combine", "--kind", "key", *some, "--json")
    assert (code, restored) == (0, {"address": key.address, "test_key": False})
    for wrong in (("--kind", "seed"), ("--kind", "key", "--out", "x"), ("--kind", "key", "--mnemonic-out", "x")):
        code, _, _ = run(capsys, "backup", "combine", *some, *wrong, "--json")
        assert code != 0
    code, _, error = run(
        capsys, "backup", "split", "--keystore", keystore, *password, "--group", "2of2", "--out", str(out), "--json"
    )
    assert (code, "not overwritten" in error) == (1, True)
