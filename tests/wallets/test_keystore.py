"""Keystores unlock with their password, to the key they name, within bounds."""

from __future__ import annotations

import json
import traceback
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account

from domain import InputError
from runtime import Secret
from wallets import KeySigner, create_keystore, unlock_keystore, write_private_file

KEY = bytes(range(1, 33))
PASSWORD = Secret("correct horse")
QUICK = 1 << 10


@pytest.fixture
def keystore(tmp_path: Path) -> Path:
    path = tmp_path / "key.json"
    write_private_file(path, create_keystore(KEY, PASSWORD, scrypt_n=QUICK))
    return path


def edit(path: Path, **changes: Any) -> None:
    document = json.loads(path.read_text())
    for dotted, value in changes.items():
        *parents, last = dotted.split("__")
        node = document
        for parent in parents:
            node = node[parent]
        node[last] = value
    path.write_text(json.dumps(document))


def test_a_keystore_opens_with_its_password_and_geths_tools_read_it(keystore: Path) -> None:
    signer = unlock_keystore(keystore, PASSWORD)
    assert signer.address == KeySigner(KEY).address
    assert signer.reveal_private_key() == KEY
    assert not signer.is_test_key
    assert bytes(Account.decrypt(json.loads(keystore.read_text()), PASSWORD.reveal())) == KEY
    assert keystore.stat().st_mode & 0o777 == 0o600


def test_the_vectors_of_the_web3_secret_storage_definition_open(tmp_path: Path) -> None:
    # https://ethereum.org/en/developers/docs/data-structures-and-encoding/web3-secret-storage/, PBKDF2-SHA-256
    path = tmp_path / "vector.json"
    path.write_text(
        json.dumps(
            {
                "address": "008aeeda4d805471df9b2a5b0f38a0c3bcba786b",
                "crypto": {
                    "cipher": "aes-128-ctr",
                    "cipherparams": {"iv": "6087dab2f9fdbbfaddc31a909735c1e6"},
                    "ciphertext": "5318b4d5bcd28de64ee5559e671353e16f075ecae9f99c7a79a38af5f869aa46",
                    "kdf": "pbkdf2",
                    "kdfparams": {
                        "c": 262144,
                        "dklen": 32,
                        "prf": "hmac-sha256",
                        "salt": "ae3cd4e7013836a3df6bd7241b12db061dbe2c6785853cce422d148a624ce0bd",
                    },
                    "mac": "517ead924a9d0dc3124507e3393d175ce3ff7c1e96529c6c555ce9e51205e9b2",
                },
                "id": "3198bc9c-6672-5ab3-d995-4942343ae5b6",
                "version": 3,
            }
        )
    )
    key = unlock_keystore(path, Secret("testpassword")).reveal_private_key()
    assert key.hex() == "7a28b5ba57c53603b0b07b56bba752f7784bf506fa95edc395f5cf6c7514fe9d"


def test_the_mark_of_a_test_key_survives_the_file(tmp_path: Path) -> None:
    path = tmp_path / "test.json"
    write_private_file(path, create_keystore(KEY, PASSWORD, is_test_key=True, scrypt_n=QUICK))
    assert unlock_keystore(path, PASSWORD).is_test_key


def test_a_wrong_password_is_one_clear_error_that_shows_no_secret(keystore: Path) -> None:
    wrong = Secret("batter staple")
    with pytest.raises(InputError, match="wrong password") as error:
        unlock_keystore(keystore, wrong)
    shown = "".join(traceback.TracebackException.from_exception(error.value, capture_locals=True).format())
    assert "staple" not in shown
    assert error.value.__context__ is None


@pytest.mark.parametrize(
    "change",
    [
        {"version": 4},
        {"crypto__cipher": "rot13"},
        {"crypto__kdf": "md5"},
        {"crypto__kdfparams": {}},
        {"crypto__kdfparams__n": 1 << 30},
        {"crypto__kdfparams__r": 1 << 20},
        {"crypto__kdfparams__p": 1 << 20},
        {"crypto__kdfparams__n": -1},
        {"crypto__kdfparams__n": "many"},
        {"crypto__kdfparams__dklen": 10**9},
        {"crypto__mac": "00" * 32},
        {"crypto__ciphertext": "zz"},
        {"crypto": []},
        {"address": "0x" + "11" * 20},
        {"address": "nobody"},
        {"address": None},
    ],
)
def test_crafted_or_damaged_files_are_input_errors_without_work(keystore: Path, change: dict[str, Any]) -> None:
    edit(keystore, **change)
    with pytest.raises(InputError):
        unlock_keystore(keystore, PASSWORD)


@pytest.mark.parametrize("content", ["", "[]", "{", "null", "x" * 100_000])
def test_files_that_are_no_keystore_are_input_errors(tmp_path: Path, content: str) -> None:
    path = tmp_path / "k.json"
    path.write_text(content)
    with pytest.raises(InputError):
        unlock_keystore(path, PASSWORD)
    with pytest.raises(InputError):
        unlock_keystore(tmp_path / "missing.json", PASSWORD)


def test_a_file_is_never_overwritten(keystore: Path) -> None:
    before = keystore.read_bytes()
    with pytest.raises(InputError, match="not overwritten"):
        write_private_file(keystore, "new")
    assert keystore.read_bytes() == before
