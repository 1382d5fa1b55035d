"""`capstan wallets ceremony`: make a root key before custodians and a witness."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli import output
from cli.references import read_secret
from domain import InputError

app = typer.Typer(no_args_is_help=True, help="Make a root key before custodians and a witness.")

JsonOption = Annotated[bool, typer.Option("--json", help="Print one line of JSON.")]
PersonArgument = Annotated[Path, typer.Argument(help="The person's folder, made by `ceremony person`.")]
PasswordOption = Annotated[str, typer.Option(help="The person's password: file:PATH or env:NAME.")]
TranscriptArgument = Annotated[Path, typer.Argument(help="transcript.jsonl of a ceremony.")]


@app.command()
def person(
    name: Annotated[str, typer.Argument(help="Lower-case letters, digits and dashes.")],
    out: Annotated[Path, typer.Option(help="New folder for card.json (public) and person.key.")],
    password_ref: PasswordOption,
    as_json: JsonOption = False,
) -> None:
    """Make the keys of a custodian or a witness, on the person's own machine.

    The card goes to whoever writes the plan; the fingerprint is compared by voice.
    """
    from wallets.ceremony import create_person

    made = create_person(out, name, read_secret(password_ref))
    _report({"name": name, "card": str(out / "card.json"), "fingerprint": made.card.fingerprint}, as_json)


@app.command()
def run(
    plan: Annotated[Path, typer.Argument(help="The script (TOML): custodians, threshold, witness, entropy.")],
    out: Annotated[Path, typer.Option(help="New folder for the shares and the transcript.")],
    rehearsal_ref: Annotated[
        str | None,
        typer.Option(help="Entropy in hex, for a rehearsal that can be repeated: file:PATH or env:NAME."),
    ] = None,
    keystore: Annotated[Path | None, typer.Option(help="Also keep the first key, in this new keystore file.")] = None,
    password_ref: Annotated[str | None, typer.Option(help="The keystore's password: file:PATH or env:NAME.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Mix entropy, make the key, split it, seal the shares, and prove that they bring it back.

    The phrase is shown to nobody. A rehearsal makes the same test key and the same shares each time.
    """
    from runtime import SystemClock
    from wallets.ceremony import CeremonyPlan, run_ceremony
    from wallets.hardening import harden_memory

    harden_memory()
    if keystore is not None and keystore.exists():
        raise InputError(f"{keystore} exists and is not overwritten", hint="choose another file name")
    kept = (keystore, read_secret(password_ref)) if keystore is not None and password_ref is not None else None
    if kept is None and (keystore is not None or password_ref is not None):
        raise InputError("--keystore and --password-ref belong together")
    made = run_ceremony(
        CeremonyPlan.load(plan),
        out,
        now_ns=SystemClock().now_ns,
        rehearsal=None if rehearsal_ref is None else read_secret(rehearsal_ref),
        keystore=kept,
    )
    _report(
        {
            "ceremony": made.ceremony,
            "address": made.address,
            "account_key": made.account_key,
            "rehearsal": made.is_rehearsal,
            "transcript": str(made.transcript),
            "shares": [str(path) for path in made.shares],
        },
        as_json,
    )


@app.command()
def sign(
    transcript: TranscriptArgument, folder: PersonArgument, password_ref: PasswordOption, as_json: JsonOption = False
) -> None:
    """Sign a transcript as a custodian, who opens the sealed share first, or as the witness."""
    from runtime import SystemClock
    from wallets.ceremony import open_person, sign_transcript

    signer = open_person(folder, read_secret(password_ref))
    role = sign_transcript(transcript, signer, now_ns=SystemClock().now_ns)
    _report({"signed_by": signer.card.name, "role": role}, as_json)


@app.command()
def verify(
    transcript: TranscriptArgument,
    card: Annotated[
        list[Path] | None, typer.Option(help="card.json of somebody who must have taken part; several times.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Check the chain, everybody's signature, the cards given, and the sealed shares that lie beside the transcript."""
    from wallets.ceremony import Card, Transcript, verify_transcript

    cards = [Card.load(path) for path in card or ()]
    found = verify_transcript(Transcript.load(transcript), cards=cards, folder=transcript.parent)
    _report(
        {
            "ok": True,
            "ceremony": found.ceremony,
            "name": found.name,
            "address": found.address,
            "account_key": found.account_key,
            "threshold": found.threshold,
            "custodians": [one.name for one in found.custodians],
            "witness": found.witness.name,
            "rehearsal": found.is_rehearsal,
            "head": found.head,
            "cards_compared": len(cards),
        },
        as_json,
    )


@app.command("open-share")
def open_own_share(
    transcript: TranscriptArgument,
    folder: PersonArgument,
    password_ref: PasswordOption,
    out: Annotated[Path, typer.Option(help="New file (mode 0600) for the share's words.")],
    as_json: JsonOption = False,
) -> None:
    """Open a custodian's sealed share, to bring the key back with `wallets backup combine --kind phrase`."""
    from wallets import write_private_file
    from wallets.ceremony import open_person, open_share

    owner = open_person(folder, read_secret(password_ref))
    write_private_file(out, open_share(transcript, owner).reveal() + "\n")
    _report({"custodian": owner.card.name, "share": str(out)}, as_json)


def _report(fields: dict[str, object], as_json: bool) -> None:
    if as_json:
        output.emit(fields)
    else:
        for name, value in fields.items():
            output.say(f"{name}: {', '.join(map(str, value)) if isinstance(value, list) else value}")
