"""`capstan wallets`: create, import and derive keys. Secrets come and go by files and references, not arguments."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli import output
from cli.references import read_optional, read_secret
from cli.wallets_backup import app as backup_app
from cli.wallets_ceremony import app as ceremony_app
from domain import InputError

if TYPE_CHECKING:
    from runtime import Secret
    from wallets import KeySigner

app = typer.Typer(no_args_is_help=True, help="Create, import and derive keys.")
app.add_typer(backup_app, name="backup")
app.add_typer(ceremony_app, name="ceremony")

OutOption = Annotated[Path, typer.Option(help="Keystore file to write; an existing one is never overwritten.")]
PasswordOption = Annotated[str, typer.Option(help="Password of the keystore: file:PATH or env:NAME.")]
MnemonicOption = Annotated[str, typer.Option(help="Where the BIP-39 phrase is: file:PATH or env:NAME.")]
PassphraseOption = Annotated[str | None, typer.Option(help="The optional 25th word: file:PATH or env:NAME.")]
PathOption = Annotated[str, typer.Option("--path", help="BIP-32 path of the key.")]
TestKeyOption = Annotated[bool, typer.Option("--test-key", help="Mark the key: it then signs on devnets only.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one line of JSON.")]

_FIRST = "m/44'/60'/0'/0/0"


@app.command()
def create(
    out: OutOption,
    password_ref: PasswordOption,
    words: Annotated[int, typer.Option(help="Length of the phrase: 12, 15, 18, 21 or 24.")] = 24,
    path: PathOption = _FIRST,
    mnemonic_out: Annotated[
        Path | None, typer.Option(help="Write the phrase to this new file (mode 0600), to be taken offline.")
    ] = None,
    show_mnemonic: Annotated[
        bool, typer.Option("--show-mnemonic", help="Show the phrase once, on the terminal.")
    ] = False,
    test_key: TestKeyOption = False,
    as_json: JsonOption = False,
) -> None:
    """Make a new phrase and a keystore of its first key.

    The phrase is the only backup. It is given once, in the way asked for, and stored nowhere else.
    """
    from wallets import HdWallet, generate_mnemonic, write_private_file

    if mnemonic_out is None and not show_mnemonic:
        raise InputError(
            "the phrase is the only backup, and nobody would see it",
            hint="give --mnemonic-out FILE or --show-mnemonic; to keep one key only, use `wallets import`",
        )
    password = read_secret(password_ref)
    _must_not_exist(out, mnemonic_out)
    mnemonic = generate_mnemonic(words)
    signer = HdWallet(mnemonic, is_test_key=test_key).signer_at(path)
    if mnemonic_out is not None:
        write_private_file(mnemonic_out, mnemonic.reveal() + "\n")
    _write_keystore(out, signer, password)
    fields: dict[str, object] = {
        "address": signer.address,
        "path": path,
        "keystore": str(out),
        "test_key": signer.is_test_key,
    }
    # Asked for: on the terminal, never in a log.
    _report(fields | {"mnemonic": mnemonic.reveal()} if show_mnemonic else fields, as_json)


@app.command()
def derive(
    mnemonic_ref: MnemonicOption,
    count: Annotated[int, typer.Option(min=1, max=10_000, help="How many addresses.")] = 1,
    start: Annotated[int, typer.Option(min=0, help="First index.")] = 0,
    account: Annotated[int, typer.Option(min=0, help="BIP-44 account.")] = 0,
    passphrase_ref: PassphraseOption = None,
    as_json: JsonOption = False,
) -> None:
    """List addresses of a phrase (BIP-44, m/44'/60'/account'/0/index). Keys are not shown."""
    from wallets import HdWallet, ethereum_path

    wallet = HdWallet(read_secret(mnemonic_ref), read_optional(passphrase_ref))
    found = [
        {"path": ethereum_path(index, account=account), "address": wallet.signer(index, account=account).address}
        for index in range(start, start + count)
    ]
    if as_json:
        output.emit(found)
    else:
        for row in found:
            typer.echo(f"{row['address']}  {row['path']}")


@app.command("import")
def import_key(
    out: OutOption,
    password_ref: PasswordOption,
    mnemonic_ref: Annotated[str | None, typer.Option(help="A BIP-39 phrase: file:PATH or env:NAME.")] = None,
    private_key_ref: Annotated[str | None, typer.Option(help="A raw key in hex: file:PATH or env:NAME.")] = None,
    path: PathOption = _FIRST,
    passphrase_ref: PassphraseOption = None,
    test_key: TestKeyOption = False,
    as_json: JsonOption = False,
) -> None:
    """Encrypt an existing key into a keystore, from a phrase or a raw key."""
    from wallets import HdWallet

    if (mnemonic_ref is None) == (private_key_ref is None):
        raise InputError("give either --mnemonic-ref or --private-key-ref")
    password = read_secret(password_ref)
    _must_not_exist(out)
    if mnemonic_ref is not None:
        wallet = HdWallet(read_secret(mnemonic_ref), read_optional(passphrase_ref), is_test_key=test_key)
        signer = wallet.signer_at(path)
    else:
        signer = _from_hex(read_secret(private_key_ref or ""), is_test_key=test_key)
    _write_keystore(out, signer, password)
    fields: dict[str, object] = {"address": signer.address, "keystore": str(out), "test_key": signer.is_test_key}
    _report(fields if mnemonic_ref is None else fields | {"path": path}, as_json)


@app.command()
def show(
    keystore: Annotated[Path, typer.Argument(help="Keystore file.")],
    password_ref: PasswordOption,
    as_json: JsonOption = False,
) -> None:
    """Unlock a keystore and say whose it is: a check of file and password. The key is not shown."""
    from wallets import unlock_keystore

    signer = unlock_keystore(keystore, read_secret(password_ref))
    _report({"address": signer.address, "keystore": str(keystore), "test_key": signer.is_test_key}, as_json)


def _from_hex(text: Secret, *, is_test_key: bool) -> KeySigner:
    from wallets import KeySigner

    try:
        key = bytes.fromhex(text.reveal().strip().removeprefix("0x"))
    except ValueError:
        key = b""
    # Outside the handler above, whose error would carry the text.
    return KeySigner(key, is_test_key=is_test_key)


def _must_not_exist(*paths: Path | None) -> None:
    for path in paths:
        if path is not None and path.exists():
            raise InputError(f"{path} exists and is not overwritten", hint="choose another file name")


def _write_keystore(out: Path, signer: KeySigner, password: Secret) -> None:
    from wallets import create_keystore, write_private_file

    write_private_file(out, create_keystore(signer.reveal_private_key(), password, is_test_key=signer.is_test_key))


def _report(fields: dict[str, object], as_json: bool) -> None:
    if as_json:
        output.emit(fields)
    else:
        for name, value in fields.items():
            output.say(f"{name}: {value}")
