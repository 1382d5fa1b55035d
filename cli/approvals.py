"""`capstan approvals`: what waits for people, read and signed on the approver's own machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import output
from domain import InputError, Refused

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from custody.approvals import Approval, ApprovalRequest, DatabaseApprovals, Verdict
    from custody.policy import Policy

app = typer.Typer(no_args_is_help=True, help="What waits for people: read it, approve it, reject it.")

IntentArgument = Annotated[str, typer.Argument(help="The intent's id, as `capstan approvals list` shows it.")]
DataDirOption = Annotated[Path | None, typer.Option(help="An installation; its books are found by capstan.toml.")]
DatabaseOption = Annotated[str | None, typer.Option(help="Books by URL: sqlite:///file.db or postgresql://….")]
PolicyOption = Annotated[
    Path | None, typer.Option(help="Your own copy of the policy (YAML or signed bundle); words come from it.")
]
KeyOption = Annotated[str | None, typer.Option("--key-ref", help="Your key: file:PATH or env:NAME.")]
AssertionOption = Annotated[
    Path | None, typer.Option("--assertion", help="A passkey's answer instead: PublicKeyCredential.toJSON() in a file.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one line of JSON.")]
YesOption = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


@app.command()
def key(
    out: Annotated[Path, typer.Option(help="File for the private key (mode 0600); never overwritten.")],
    as_json: JsonOption = False,
) -> None:
    """Make an approver's key. Its public half goes into the policy, under `people`."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from custody.approvals import key_text
    from wallets import write_private_file

    if out.exists():
        raise InputError(f"{out} exists already")
    made = Ed25519PrivateKey.generate()
    write_private_file(out, made.private_bytes_raw().hex() + "\n")
    public = key_text(made.public_key())
    output.emit({"key": public, "file": str(out)}) if as_json else typer.echo(public)


@app.command("list")
def list_(
    data_dir: DataDirOption = None,
    database: DatabaseOption = None,
    policy: PolicyOption = None,
    everything: Annotated[bool, typer.Option("--all", help="Also what is decided or has ended.")] = False,
    as_json: JsonOption = False,
) -> None:
    """List what waits for approval, oldest first."""
    desk, _ = _desk(data_dir, database, policy)
    found = desk.list(pending_only=not everything)
    if as_json:
        output.emit([_summary(request) for request in found])
        return
    for request in found:
        first = request.text.splitlines()[0].partition(":")[2].strip()
        typer.echo(f"{request.intent.intent_id:32} {request.state:9} {request.intent.initiator:16} {first}")


@app.command()
def show(
    intent_id: IntentArgument,
    data_dir: DataDirOption = None,
    database: DatabaseOption = None,
    policy: PolicyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print what would be signed: its words, written here from the intent itself, and the digest."""
    desk, rules = _desk(data_dir, database, policy)
    request = desk.find(intent_id)
    text = _check(request, rules)
    if as_json:
        output.emit(_summary(request) | {"text": text, "evidence": desk.evidence(intent_id)})
        return
    typer.echo(text, nl=False)
    _tell_state(request)


@app.command()
def approve(
    intent_id: IntentArgument,
    key_ref: KeyOption = None,
    assertion: AssertionOption = None,
    data_dir: DataDirOption = None,
    database: DatabaseOption = None,
    policy: PolicyOption = None,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Show it once more, ask, and sign a yes."""
    from custody.approvals import Verdict

    _say(intent_id, Verdict.APPROVE, (key_ref, assertion), (data_dir, database, policy), yes=yes, as_json=as_json)


@app.command()
def reject(
    intent_id: IntentArgument,
    key_ref: KeyOption = None,
    assertion: AssertionOption = None,
    data_dir: DataDirOption = None,
    database: DatabaseOption = None,
    policy: PolicyOption = None,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Show it once more, ask, and sign a no, which is final."""
    from custody.approvals import Verdict

    _say(intent_id, Verdict.REJECT, (key_ref, assertion), (data_dir, database, policy), yes=yes, as_json=as_json)


def _say(
    intent_id: str,
    verdict: Verdict,
    by: tuple[str | None, Path | None],
    where: tuple[Path | None, str | None, Path | None],
    *,
    yes: bool,
    as_json: bool,
) -> None:
    key_ref, assertion = by
    if (key_ref is None) == (assertion is None):
        raise InputError("give either --key-ref or --assertion")
    desk, rules = _desk(*where)
    request = desk.find(intent_id)
    text = _check(request, rules)
    if not yes:
        output.say(text)
        output.say(f"Digest:        {request.digest}")
        typer.confirm(f"Do you {verdict.value} this?", abort=True, err=True)
    given = _sign(request, text, verdict, key_ref) if key_ref else _asserted(request, text, verdict, assertion, rules)
    state = desk.add(intent_id, given)
    if as_json:
        output.emit(_summary(desk.find(intent_id)))
    else:
        typer.echo(f"{intent_id}: {verdict.value} recorded, it is {state}")


def _check(request: ApprovalRequest, rules: Policy) -> str:
    """Write the words here, by the approver's own policy; what the books say is believed in nothing."""
    from custody.approvals import digest_of

    text = request.intent.render(rules.names)
    if text != request.text or digest_of(request.intent, text).hex() != request.digest:
        raise Refused(
            f"{request.intent.intent_id}: the books show other words than your policy gives",
            rule="approval-text",
            hint="either your policy is not the active one, or somebody has edited the books",
        )
    return text


def _sign(request: ApprovalRequest, text: str, verdict: Verdict, key_ref: str) -> Approval:
    from custody.approvals import approve as sign

    return sign(_key(key_ref), request.intent, text, verdict)


def _asserted(request: ApprovalRequest, text: str, verdict: Verdict, path: Path | None, rules: Policy) -> Approval:
    """Find whose passkey made an assertion, by trying those the policy lists."""
    from custody.approvals import Approval

    try:
        response = json.loads((path or Path()).read_text())["response"]
        proof = {
            "authenticator_data": response["authenticatorData"],
            "client_data": response["clientDataJSON"],
            "signature": response["signature"],
        }
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise InputError(f"{path} is not a passkey's answer: {type(exc).__name__}") from exc
    keys = {key for members in rules.groups.values() for keys in members.values() for key in keys}
    refusal: Refused | None = None
    for listed in sorted(key for key in keys if key.startswith("passkey:")):
        given = Approval(listed, verdict, proof)
        try:
            given.check(request.intent, text)
        except Refused as exc:
            refusal = exc
        else:
            return given
    raise refusal or InputError("the policy lists no passkeys")


def _key(reference: str) -> Ed25519PrivateKey:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from runtime.secrets import resolve_secret

    try:
        return Ed25519PrivateKey.from_private_bytes(bytes.fromhex(resolve_secret(reference).reveal().strip()))
    except ValueError as exc:
        raise InputError("an approver's key is 64 hex digits", hint="make one: capstan approvals key") from exc


def _desk(data_dir: Path | None, database: str | None, policy: Path | None) -> tuple[DatabaseApprovals, Policy]:
    """Open books that exist, with the policy the approver trusts."""
    from api.tables import open_tables
    from api.webhooks.events import tell_approval
    from custody import open_books
    from custody.approvals import DatabaseApprovals
    from runtime import SystemClock
    from runtime.database import Database

    if (data_dir is None) == (database is None):
        raise InputError("give either --data-dir or --database")
    root = (data_dir or Path()).resolve()
    rules = _policy(policy) if policy is not None else _installed_policy(data_dir)
    url = database or _books_of(root)
    if url.startswith("sqlite:") and not Path(url.removeprefix("sqlite:///")).is_file():
        raise InputError(f"there are no books at {url.removeprefix('sqlite:///')}")
    books = open_tables(open_books(Database(url)))
    now_ns = SystemClock().now_ns
    return DatabaseApprovals(books, rules=lambda: rules, now_ns=now_ns, observe=tell_approval), rules


def _policy(path: Path) -> Policy:
    from custody.policy import Policy, load_bundle, load_rulebook

    try:
        is_bundle = path.read_text(encoding="utf-8").lstrip().startswith("{")
    except (OSError, UnicodeDecodeError) as exc:
        raise InputError(f"{path} cannot be read: {type(exc).__name__}") from exc
    return Policy(load_bundle(path).rulebook if is_bundle else load_rulebook(path))


def _installed_policy(data_dir: Path | None) -> Policy:
    from cli.data_dir import DataDir
    from cli.settings import load_settings
    from custody.policy import Policy, load_admins, load_bundle
    from custody.policy.bundle import check_quorum

    if data_dir is None:
        raise InputError("give --policy, or --data-dir of an installation that has one")
    root = data_dir.resolve()
    custody = load_settings(DataDir(root).settings).custody
    if custody is None:
        raise InputError(f"{data_dir} has no custody, and so no policy")
    if custody.policy is not None:
        return Policy(custody.policy)
    bundle = load_bundle(root / custody.policy_bundle)
    check_quorum(bundle, load_admins(root / custody.policy_admins))
    return Policy(bundle.rulebook)


def _books_of(root: Path) -> str:
    from cli.data_dir import DataDir
    from cli.settings import load_settings

    custody = load_settings(DataDir(root).settings).custody
    if custody is None:
        raise InputError(f"{root} has no custody")
    is_file = custody.database.startswith("sqlite:")
    return f"sqlite:///{root / custody.database.removeprefix('sqlite:///')}" if is_file else custody.database


def _summary(request: ApprovalRequest) -> dict[str, Any]:
    return {
        "intent": request.intent.intent_id,
        "state": request.state.value,
        "reason": request.reason,
        "initiator": request.intent.initiator,
        "vault": request.intent.vault,
        "digest": request.digest,
        "expires_s": request.intent.expires_s,
        "requirements": [{"group": r.group, "count": r.count, "rule": r.rule} for r in request.requirements],
        "approvals": [{"by": name, "verdict": given.verdict.value} for name, given in request.approvals],
    }


def _tell_state(request: ApprovalRequest) -> None:
    typer.echo(f"Digest:        {request.digest}")
    for requirement in request.requirements:
        typer.echo(f"Needs:         {requirement.count} of {requirement.group} (rule {requirement.rule})")
    for name, given in request.approvals:
        typer.echo(f"So far:        {given.verdict.value} by {name}")
    typer.echo(f"State:         {request.state}: {request.reason}")
