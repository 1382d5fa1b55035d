"""`capstan wallets backup`: SLIP-39 shares of a phrase or a key. Shares come and go by files and references."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from cli import output
from cli.references import read_optional, read_secret
from domain import InputError

if TYPE_CHECKING:
    from wallets import KeySigner

app = typer.Typer(no_args_is_help=True, help="Split a phrase or a key into SLIP-39 shares, and bring it back.")

PassphraseOption = Annotated[
    str | None, typer.Option(help="Passphrase that encrypts the secret before it is split: file:PATH or env:NAME.")
]
PathOption = Annotated[str, typer.Option("--path", help="BIP-32 path of the key, when a phrase is meant.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one line of JSON.")]

_FIRST: Final = "m/44'/60'/0'/0/0"
_KINDS: Final = ("phrase", "key")


@app.command()
def split(
    out: Annotated[Path, typer.Option(help="New folder: a file for each share, and backup.json, which is public.")],
    group: Annotated[list[str], typer.Option(help="Members of a group, like 2of3; may be given several times.")],
    group_threshold: Annotated[int, typer.Option(min=1, max=16, help="How many groups are needed.")] = 1,
    mnemonic_ref: Annotated[str | None, typer.Option(help="A BIP-39 phrase: file:PATH or env:NAME.")] = None,
    keystore: Annotated[Path | None, typer.Option(help="Keystore file of a single key.")] = None,
    password_ref: Annotated[str | None, typer.Option(help="Its password: file:PATH or env:NAME.")] = None,
    passphrase_ref: PassphraseOption = None,
    path: PathOption = _FIRST,
    as_json: JsonOption = False,
) -> None:
    """Split a phrase (its 25th word is not in the shares) or a keystore's key into shares.

    Each share file (mode 0600) goes to another person or place. Every share has been used to bring the secret back
    before this command ends.
    """
    from wallets import HdWallet, mnemonic_to_entropy, unlock_keystore, write_private_file
    from wallets.backup import ShareGroup, split_secret

    if (mnemonic_ref is None) == (keystore is None) or (keystore is None) != (password_ref is None):
        raise InputError("give --mnemonic-ref, or --keystore with --password-ref")
    groups = [ShareGroup.parse(text) for text in group]
    passphrase = read_optional(passphrase_ref)
    if out.exists():
        raise InputError(f"{out} exists and is not overwritten", hint="choose another folder")
    if mnemonic_ref is not None:
        mnemonic = read_secret(mnemonic_ref)
        secret, signer = mnemonic_to_entropy(mnemonic), HdWallet(mnemonic).signer_at(path)
    else:
        signer = unlock_keystore(keystore or Path(), read_secret(password_ref or ""))
        secret = signer.reveal_private_key()
    shares = split_secret(secret, groups, group_threshold=group_threshold, passphrase=passphrase)
    files = []
    for number, members in enumerate(shares, 1):
        for place, share in enumerate(members, 1):
            file = out / f"share-{number}-{place}.txt"
            write_private_file(file, share.reveal() + "\n")
            files.append(str(file))
    kind = "phrase" if mnemonic_ref is not None else "key"
    fields: dict[str, object] = {
        "kind": kind,
        "address": signer.address,
        **({"path": path} if kind == "phrase" else {}),
        "test_key": signer.is_test_key,
        "groups": [str(one) for one in groups],
        "group_threshold": group_threshold,
        "passphrase": passphrase is not None,
    }
    write_private_file(out / "backup.json", json.dumps(fields, indent=2) + "\n")
    _report({**fields, "shares": files}, as_json)


@app.command()
def combine(
    share_ref: Annotated[list[str], typer.Option(help="A share: file:PATH or env:NAME; given once for each.")],
    kind: Annotated[str, typer.Option(help="What was split: phrase or key (backup.json says).")],
    out: Annotated[Path | None, typer.Option(help="Keystore file to write.")] = None,
    password_ref: Annotated[str | None, typer.Option(help="Its new password: file:PATH or env:NAME.")] = None,
    mnemonic_out: Annotated[Path | None, typer.Option(help="Write the phrase to this new file (mode 0600).")] = None,
    expect_address: Annotated[
        str, typer.Option(help="The address that must come out. A wrong passphrase gives another key, and no error.")
    ] = "",
    passphrase_ref: PassphraseOption = None,
    path: PathOption = _FIRST,
    test_key: Annotated[bool, typer.Option("--test-key", help="Mark the key: it then signs on devnets only.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Bring a secret back from shares; without --out and --mnemonic-out, say only whose key it is.

    More shares than needed are used as well: all of them must agree.
    """
    from wallets import HdWallet, KeySigner, create_keystore, entropy_to_mnemonic, write_private_file
    from wallets.backup import combine_shares

    if kind not in _KINDS:
        raise InputError(f"--kind must be {' or '.join(_KINDS)}")
    if (out is None) != (password_ref is None):
        raise InputError("--out and --password-ref belong together")
    if mnemonic_out is not None and kind == "key":
        raise InputError("a key is no phrase", hint="use --out and --password-ref")
    for file in (out, mnemonic_out):
        if file is not None and file.exists():
            raise InputError(f"{file} exists and is not overwritten", hint="choose another file name")
    password = read_optional(password_ref)
    secret = combine_shares([read_secret(reference) for reference in share_ref], read_optional(passphrase_ref))
    signer: KeySigner
    if kind == "phrase":
        mnemonic = entropy_to_mnemonic(secret)
        signer = HdWallet(mnemonic, is_test_key=test_key).signer_at(path)
    else:
        signer = KeySigner(secret, is_test_key=test_key)
    if expect_address and signer.address.lower() != expect_address.lower():
        raise InputError(
            f"the shares hold the key of {signer.address}, not of {expect_address}",
            hint="a wrong passphrase, path or kind gives another key",
        )
    if mnemonic_out is not None:
        write_private_file(mnemonic_out, mnemonic.reveal() + "\n")
    if out is not None and password is not None:
        text = create_keystore(signer.reveal_private_key(), password, is_test_key=signer.is_test_key)
        write_private_file(out, text)
    written = {name: str(file) for name, file in (("keystore", out), ("mnemonic", mnemonic_out)) if file is not None}
    _report({"address": signer.address, "test_key": signer.is_test_key, **written}, as_json)


def _report(fields: dict[str, object], as_json: bool) -> None:
    if as_json:
        output.emit(fields)
    else:
        for name, value in fields.items():
            output.say(f"{name}: {', '.join(map(str, value)) if isinstance(value, list) else value}")
