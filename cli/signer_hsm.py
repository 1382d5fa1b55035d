"""`capstan signer hsm`: making and looking at keys in a PKCS#11 token."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import output
from cli.references import read_secret

if TYPE_CHECKING:
    from wallets.hsm import HsmKey

app = typer.Typer(no_args_is_help=True, help="Keys in a PKCS#11 token.")

Module = Annotated[str, typer.Option(help="The vendor's PKCS#11 library.")]
Token = Annotated[str, typer.Option(help="Label of the token.")]
PinRef = Annotated[str, typer.Option(help="Where the user's PIN is: file:PATH or env:NAME. Never the PIN itself.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("create-key")
def create_key(
    label: Annotated[str, typer.Argument(help="The key's name in the token.")],
    module: Module,
    token: Token,
    pin_ref: PinRef,
    test_key: Annotated[bool, typer.Option("--test-key", help="It signs on devnets and nowhere else.")] = False,
    wrappable: Annotated[
        bool, typer.Option("--wrappable", help="A key the security officer trusts may wrap it into another token.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Make a secp256k1 key inside the token. It cannot be read out again."""
    from wallets.hsm import HsmToken

    with HsmToken(module, token, read_secret(pin_ref)) as opened:
        key = _describe(opened.create_key(label, is_test_key=test_key, is_wrappable=wrappable))
    output.emit(key) if as_json else output.say(f"{key['label']}: {key['address']}")


@app.command()
def keys(module: Module, token: Token, pin_ref: PinRef, as_json: AsJson = False) -> None:
    """List the keys that can sign here."""
    from wallets.hsm import HsmToken

    with HsmToken(module, token, read_secret(pin_ref)) as opened:
        found = [_describe(key) for key in opened.list_keys()]
    if as_json:
        output.emit(found)
        return
    for key in found:
        output.say(f"{key['label']}: {key['address']}{' (test key)' if key['test_key'] else ''}")


def _describe(key: HsmKey) -> dict[str, Any]:
    return {
        "label": key.label,
        "address": key.address,
        "test_key": key.is_test_key,
        "wrappable": key.is_wrappable,
        "born_here": key.is_born_here,
    }
