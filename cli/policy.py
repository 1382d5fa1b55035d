"""`capstan policy`: write a policy, look at it from all sides, have it signed, and put it in force."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import output
from cli.books import DatabaseOption, DataDirOption, JsonOption, open_existing
from domain import InputError, Refused

if TYPE_CHECKING:
    from custody.policy import Bundle, Policy, Rulebook
    from custody.policy.explain import RuleTrace
    from custody.policy.history import Accepted
    from custody.policy.request import Request

app = typer.Typer(no_args_is_help=True, help="What may leave: lint, explain, try, sign and activate policies.")

FileArgument = Annotated[Path, typer.Argument(help="Policy document (YAML) or signed bundle.")]
KeyOption = Annotated[str, typer.Option("--key-ref", help="Your key: file:PATH or env:NAME.")]
AdminsOption = Annotated[Path, typer.Option("--admins", help="YAML with `threshold` and `admins` (name: key).")]


@app.command()
def lint(
    file: FileArgument,
    strict: Annotated[bool, typer.Option("--strict", help="Fail on warnings too.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Find what is probably not meant. Exits with 1 when something cannot work as written."""
    from custody.policy.lint import Severity
    from custody.policy.lint import lint as find

    rulebook = _rulebook(file)
    found = find(rulebook.document)
    bad = {Severity.ERROR, Severity.WARNING} if strict else {Severity.ERROR}
    failed = any(finding.severity in bad for finding in found)
    if as_json:
        findings = [{"code": f.code, "severity": f.severity.value, "where": f.where, "text": f.text} for f in found]
        output.emit({"ok": not failed, "rules": len(rulebook.document.rules), "findings": findings})
    else:
        _table(("", "code", "where", "what"), [(f.severity.value, f.code, f.where, f.text) for f in found])
        count = len(rulebook.document.rules)
        typer.echo(
            f"version {rulebook.version}, {count} rules, {len(found)} findings: {'not ' if failed else ''}fit to sign"
        )
    if failed:
        raise typer.Exit(1)


@app.command()
def explain(
    file: FileArgument,
    subject: Annotated[
        str, typer.Argument(help="JSON file of a transaction with facts (- for stdin), or an intent id.")
    ],
    data_dir: DataDirOption = None,
    database: DatabaseOption = None,
    everything: Annotated[bool, typer.Option("--all", help="Also rules that do not match.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Say what the policy answers to one transaction, which rules match, and why. Exits with 1 when it is refused."""
    from custody.policy import Policy

    policy = Policy(_rulebook(file))
    answer, traces = _explain(policy, subject, data_dir, database)
    shown = [t for t in traces if everything or t.matches is not False]
    if as_json:
        rules = [
            {
                "rule": t.rule,
                "effect": t.effect,
                "matches": t.matches,
                "conditions": dict(t.conditions),
                "limit": t.limit,
            }
            for t in shown
        ]
        output.emit({**answer, "version": policy.version, "digest": policy.digest, "trace": rules})
    else:
        _tell_answer(answer, shown)
    if not answer["allowed"]:
        raise typer.Exit(1)


@app.command("dry-run")
def dry_run(
    file: FileArgument,
    since: Annotated[str, typer.Option(help="Since when: 7d, 24h, 2026-11-01 or 2026-11-01T09:00:00Z.")],
    data_dir: DataDirOption = None,
    database: DatabaseOption = None,
    everything: Annotated[bool, typer.Option("--all", help="Also what would have been answered the same.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Ask a draft about everything custody was asked since then, and show where it would have answered otherwise."""
    from custody.policy import Policy
    from custody.replay import replay

    found = replay(open_existing(data_dir, database), Policy(_rulebook(file)), since_s=_since(since))
    shown = [each for each in found if everything or each.differs]
    differing = sum(each.differs for each in found)
    if as_json:
        rows = [
            {
                "intent": each.intent_id,
                "time_s": each.time_s,
                "purpose": each.purpose,
                "to": each.to,
                "amounts": {asset: str(raw) for asset, raw in each.amounts},
                "then": each.then.text(),
                "draft": each.draft.text(),
                "differs": each.differs,
            }
            for each in shown
        ]
        output.emit({"intents": len(found), "differing": differing, "rows": rows})
        return
    lines = [
        (
            each.intent_id,
            _instant(each.time_s),
            each.purpose,
            ", ".join(f"{raw} {asset.rpartition('/')[2][-10:]}" for asset, raw in each.amounts),
            each.then.text(),
            each.draft.text(),
        )
        for each in shown
    ]
    _table(("intent", "when", "purpose", "amounts", "then", "under the draft"), lines)
    typer.echo(f"{len(found)} intents, {differing} would have been answered otherwise")


@app.command()
def keygen(
    out: Annotated[Path, typer.Option(help="File for the private key (mode 0600); never overwritten.")],
    as_json: JsonOption = False,
) -> None:
    """Make an administrator's or attester's key; prints its public half."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from custody.approvals import key_text
    from wallets import write_private_file

    if out.exists():
        raise InputError(f"{out} exists already")
    made = Ed25519PrivateKey.generate()
    write_private_file(out, made.private_bytes_raw().hex() + "\n")
    public = key_text(made.public_key())
    output.emit({"key": public, "file": str(out)}) if as_json else typer.echo(public)


@app.command()
def sign(
    file: FileArgument,
    key_ref: KeyOption,
    out: Annotated[Path, typer.Option(help="Bundle to write: the document with the signatures so far.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Add your signature to a document, or to a bundle that others have signed. Nothing with errors is signed."""
    from custody.policy import Bundle
    from custody.policy.bundle import sign_bundle
    from custody.policy.lint import Severity
    from custody.policy.lint import lint as find
    from custody.policy.source import write_durably

    key = _key(key_ref)
    bundle = _bundle(file) if _is_bundle(file) else Bundle(_rulebook(file), ())
    errors = [f for f in find(bundle.rulebook.document) if f.severity is Severity.ERROR]
    if errors:
        raise InputError(f"{errors[0].where}: {errors[0].text}", hint="capstan policy lint says all that is wrong")
    if not yes:
        _tell_bundle(bundle)
        typer.confirm("Do you sign this?", abort=True, err=True)
    signed = sign_bundle(bundle, key, now_s=int(time.time()))
    write_durably(out, signed.to_json() + "\n")
    if as_json:
        output.emit(_summary(signed))
    else:
        typer.echo(f"version {signed.rulebook.version}, {len(signed.signatures)} signatures: {out}")


@app.command()
def activate(
    file: Annotated[Path, typer.Argument(help="Signed bundle.")],
    admins: AdminsOption,
    data_dir: DataDirOption = None,
    database: DatabaseOption = None,
    install: Annotated[
        Path | None, typer.Option(help="Also put it here, where signers, cosigners or the engine look.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Verify a bundle's quorum and succession, record it in the books and the audit log, and hand it to the processes.

    Each process verifies it again by its own list of administrators, and counts the delay for itself.
    """
    from custody.policy import load_admins
    from custody.policy.history import PolicyHistory
    from custody.policy.source import write_durably
    from runtime import SystemClock

    bundle = _bundle(file)
    if not yes:
        _tell_bundle(bundle)
        typer.confirm("Activate it?", abort=True, err=True)
    history = PolicyHistory(open_existing(data_dir, database), load_admins(admins), now_ns=SystemClock().now_ns)
    accepted = history.accept(bundle)
    if install is not None:
        write_durably(install, bundle.to_json() + "\n")
    if as_json:
        output.emit(_summary(bundle) | {"effective": _instant(accepted.effective_s)})
    else:
        typer.echo(f"version {bundle.rulebook.version} is active from {_instant(accepted.effective_s)}")


@app.command()
def show(
    file: Annotated[Path | None, typer.Argument(help="Policy document or bundle; else the books' history.")] = None,
    data_dir: DataDirOption = None,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show a policy and who has signed it, or every policy the books have accepted and which is active."""
    if file is not None:
        from custody.policy import Bundle

        bundle = _bundle(file) if _is_bundle(file) else Bundle(_rulebook(file), ())
        output.emit(_summary(bundle)) if as_json else _tell_bundle(bundle)
        return
    from custody.policy import Admins
    from custody.policy.history import PolicyHistory, active_of

    history = PolicyHistory(open_existing(data_dir, database), Admins(1, {}), now_ns=time.time_ns)
    accepted = history.all()
    active = active_of(accepted, int(time.time()))
    if as_json:
        output.emit({"active": active and active.bundle.rulebook.version, "policies": list(map(_accepted, accepted))})
        return
    rows = [
        ("active" if each is active else "", str(each.bundle.rulebook.version), each.bundle.rulebook.digest[:16],
         _instant(each.signed_s), _instant(each.effective_s))
        for each in accepted
    ]  # fmt: skip
    _table(("", "version", "digest", "signed", "active from"), rows)


def _rulebook(path: Path) -> Rulebook:
    from custody.policy import load_rulebook

    return _bundle(path).rulebook if _is_bundle(path) else load_rulebook(path)


def _bundle(path: Path) -> Bundle:
    from custody.policy import load_bundle

    return load_bundle(path)


def _is_bundle(path: Path) -> bool:
    try:
        return path.read_text(encoding="utf-8").lstrip().startswith("{")
    except (OSError, UnicodeDecodeError) as exc:
        raise InputError(f"cannot read {path}: {exc}") from exc


def _key(reference: str) -> Any:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from runtime.secrets import resolve_secret

    try:
        return Ed25519PrivateKey.from_private_bytes(bytes.fromhex(resolve_secret(reference).reveal().strip()))
    except ValueError as exc:
        raise InputError("a key is 64 hex digits", hint="make one: capstan policy keygen --out FILE") from exc


def _request(subject: str, policy: Policy, data_dir: Path | None, database: str | None) -> Request:
    from custody.policy.request import read_request

    now_s = int(time.time())
    if data_dir is not None or database is not None:
        from custody.replay import recorded_request

        return recorded_request(open_existing(data_dir, database), policy, subject)
    try:
        text = typer.get_text_stream("stdin").read() if subject == "-" else Path(subject).read_text(encoding="utf-8")
        data = json.loads(text)
    except (OSError, ValueError) as exc:
        raise InputError(
            f"{subject} is no JSON file", hint="for a recorded intent give --data-dir or --database"
        ) from exc
    return read_request(data, policy, now_s=now_s)


def _explain(
    policy: Policy, subject: str, data_dir: Path | None, database: str | None
) -> tuple[dict[str, Any], tuple[RuleTrace, ...]]:
    from custody.policy.explain import trace

    traces: tuple[RuleTrace, ...] = ()
    try:
        request = _request(subject, policy, data_dir, database)
        traces = trace(policy.compiled, request.action, request.facts, request.spent)
        decision = policy.judge(request.action, spent=request.spent, facts=request.facts)
    except Refused as exc:
        return {"allowed": False, "rule": exc.rule, "reason": str(exc)}, traces
    return {
        "allowed": True,
        "rules": list(decision.rules),
        "requirements": [{"group": r.group, "count": r.count, "rule": r.rule} for r in decision.requirements],
        "delay_s": decision.delay_s,
        "counts": {counter: str(raw) for counter, raw in decision.counts.items()},
    }, traces


def _since(text: str) -> int:
    from custody.policy.words import duration_s

    try:
        return int(time.time()) - duration_s(text)
    except ValueError:
        pass
    try:
        found = datetime.fromisoformat(text)
    except ValueError as exc:
        raise InputError(f"not a time: {text!r}", hint="7d, 24h, 2026-11-01 or 2026-11-01T09:00:00Z") from exc
    return int((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp())


def _tell_answer(answer: dict[str, Any], shown: list[Any]) -> None:
    if not answer["allowed"]:
        typer.echo(f"refused by {answer['rule']}: {answer['reason']}")
    else:
        typer.echo(f"allowed by {', '.join(answer['rules'])}")
        for each in answer["requirements"]:
            typer.echo(f"needs {each['count']} of {each['group']} (rule {each['rule']})")
        if answer["delay_s"]:
            typer.echo(f"rests for {answer['delay_s']} s")
    words = {True: "matches", False: "does not match", None: "needs an unknown fact"}
    rows = [
        (t.rule, t.effect, words[t.matches], "; ".join(f"{name} {truth}" for name, truth in t.conditions), t.limit)
        for t in shown
    ]
    _table(("rule", "effect", "", "conditions", "limit that does not hold"), rows)


def _tell_bundle(bundle: Bundle) -> None:
    document = bundle.rulebook.document
    typer.echo(f"Version:    {document.version}", err=True)
    typer.echo(f"Digest:     {bundle.rulebook.digest}", err=True)
    typer.echo(f"Activates:  {document.activates_at or 'at once'}", err=True)
    typer.echo(
        f"Rules:      {len(document.rules)}, {len(document.groups)} groups, {len(document.people)} people", err=True
    )
    for signature in bundle.signatures:
        typer.echo(f"Signed:     {signature.admin} at {_instant(signature.signed_s)}", err=True)


def _summary(bundle: Bundle) -> dict[str, Any]:
    document = bundle.rulebook.document
    return {
        "version": document.version,
        "digest": bundle.rulebook.digest,
        "activates_at": document.activates_at,
        "rules": len(document.rules),
        "signatures": [{"admin": s.admin, "signed_s": s.signed_s} for s in bundle.signatures],
    }


def _accepted(each: Accepted) -> dict[str, Any]:
    times = {"signed_s": each.signed_s, "seen_s": each.seen_s, "effective_s": each.effective_s}
    return {"version": each.bundle.rulebook.version, "digest": each.bundle.rulebook.digest, **times}


def _instant(time_s: int) -> str:
    return datetime.fromtimestamp(time_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _table(titles: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    if not rows:
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(*titles, box=None, pad_edge=False)
    for row in rows:
        table.add_row(*row)
    # Ids and rule names are no markup.
    Console(markup=False).print(table)
