"""Keystore v3 files: one key, encrypted with a password (Web3 Secret Storage).

The file is not trusted: the address comes from the decrypted key and must equal the one the file claims, and the cost
of key stretching is bounded before any work is done, so that a crafted file cannot hang or starve the process.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from eth_utils.address import to_checksum_address

from domain import Address, InputError
from runtime import Secret
from wallets.signer import KeySigner

SCRYPT_N: Final = 1 << 18
"""Cost of new files, as Geth's: about 0.7 s and 256 MiB to unlock."""
_FILE_BYTES_MAX = 64 * 1024
_SCRYPT_MEMORY_MAX = 1 << 30
_PBKDF2_ROUNDS_MAX = 10_000_000


def create_keystore(
    private_key: bytes, password: Secret, *, is_test_key: bool = False, scrypt_n: int = SCRYPT_N
) -> str:
    """Encrypt a key as keystore-v3 JSON. `is_test_key` is stored beside it and marks the key for devnets only."""
    from eth_account import Account

    document = dict(Account.encrypt(private_key, password.reveal(), kdf="scrypt", iterations=scrypt_n))
    if is_test_key:
        document["capstan"] = {"test_key": True}
    return json.dumps(document, indent=2) + "\n"


def write_private_file(path: Path, text: str) -> None:
    """Write a new file only its owner can read, synced to the disk; an existing file is never overwritten.

    Raises:
        InputError: The file exists or cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as exc:
        raise InputError(f"{path} exists and is not overwritten", hint="choose another file name") from exc
    except OSError as exc:
        raise InputError(f"cannot write {path}: {exc.strerror}") from exc
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def read_keystore(path: Path) -> Mapping[str, Any]:
    """Read and check a keystore's outside; nothing is decrypted.

    Raises:
        InputError: Unreadable, not a version 3 keystore, or with a cost of stretching beyond the bounds.
    """
    try:
        if path.stat().st_size > _FILE_BYTES_MAX:
            raise InputError(f"{path} is too large for a keystore")
        document = json.loads(path.read_text(encoding="utf-8"))
        claimed, crypto = document["address"], document["crypto"]
        if document["version"] != 3 or crypto["cipher"] != "aes-128-ctr":
            raise InputError(f"{path} is not a version 3 keystore with aes-128-ctr")
        _check_cost(path, crypto["kdf"], crypto["kdfparams"])
        to_checksum_address(claimed)
    except OSError as exc:
        raise InputError(f"cannot read keystore {path}: {exc.strerror}") from exc
    except (ValueError, KeyError, TypeError) as exc:
        raise InputError(f"{path} is not a keystore: {type(exc).__name__}") from exc
    return dict(document)


def unlock_keystore(path: Path, password: Secret) -> KeySigner:
    """Decrypt a keystore. Takes about a second of one core by design; call it on a thread from a loop.

    Raises:
        InputError: Unreadable or crafted file, wrong password, or a key that is not the address claimed.
    """
    document = read_keystore(path)
    signer = _decrypt(document, password)
    if signer is None:
        raise InputError(f"{path}: wrong password, or the file is damaged")
    claimed = Address(to_checksum_address(document["address"]))
    if signer.address != claimed:
        raise InputError(f"{path} claims {claimed} but holds the key of {signer.address}")
    return signer


def _decrypt(document: Mapping[str, Any], password: Secret) -> KeySigner | None:
    # Answers None instead of raising: an error from here would carry the library's frames, which hold the password.
    from eth_account import Account

    metadata = document.get("capstan")
    is_test_key = isinstance(metadata, dict) and metadata.get("test_key") is True
    try:
        return KeySigner(bytes(Account.decrypt(dict(document), password.reveal())), is_test_key=is_test_key)
    except Exception:  # ValueError for the password; anything for crafted parameters
        return None


def _check_cost(path: Path, kdf: Any, params: Mapping[str, Any]) -> None:
    numbers = {name: params[name] for name in ("n", "r", "p", "c", "dklen") if name in params}
    if any(type(value) is not int or value <= 0 for value in numbers.values()) or numbers["dklen"] > 64:
        raise InputError(f"{path}: the key stretching parameters are malformed")
    if kdf == "scrypt":
        too_much = 128 * numbers["n"] * numbers["r"] * numbers["p"] > _SCRYPT_MEMORY_MAX
    elif kdf == "pbkdf2":
        too_much = numbers["c"] > _PBKDF2_ROUNDS_MAX
    else:
        raise InputError(f"{path}: unknown key stretching {kdf!r}")
    if too_much:
        raise InputError(f"{path}: key stretching is costlier than any honest keystore's")
