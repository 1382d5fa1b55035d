"""`capstan backup`: sealed archives of an installation, its signer and each cosigner; restoring; reconciling."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import output
from domain import InputError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from custody.backup import Manifest, Reconciled, Seen
    from custody.backup.manifest import Role
    from custody.backup.sealed import Lock
    from runtime import Secret
    from wallets.hsm import HsmToken

app = typer.Typer(no_args_is_help=True, help="Sealed backups of every trust zone, and putting them back.")

RecipientOption = Annotated[str, typer.Option(help="Who may open it: x25519:…, from `capstan backup keygen`.")]
PassphraseOption = Annotated[str, typer.Option(help="Or a passphrase: file:PATH or env:NAME.")]
IdentityOption = Annotated[str, typer.Option(help="The recipient's secret: file:PATH or env:NAME.")]
SignerOption = Annotated[str, typer.Option(help="Who must have made it: ed25519:…, as `create` printed it.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one line of JSON.")]
ModuleOption = Annotated[str, typer.Option(help="PKCS#11 library of the signer's HSM.")]
TokenOption = Annotated[str, typer.Option(help="Label of its token.")]
PinOption = Annotated[str, typer.Option(help="The user's PIN: file:PATH or env:NAME.")]
WrapOption = Annotated[str, typer.Option(help="Label of the trusted backup key in the token.")]
ArchiveArgument = Annotated[Path, typer.Argument(help="From `capstan backup create`.")]


@app.command()
def keygen(
    out: Annotated[Path, typer.Option(help="New file for the secret (mode 0600). Keep it offline.")],
    as_json: JsonOption = False,
) -> None:
    """Make a recipient: whoever makes backups needs its public half only, and cannot read them."""
    from custody.backup import generate_identity
    from wallets import write_private_file

    if out.exists():
        raise InputError(f"{out} exists and is not overwritten")
    secret, recipient = generate_identity()
    write_private_file(out, secret.reveal() + "\n")
    output.emit({"recipient": str(recipient), "file": str(out)}) if as_json else typer.echo(recipient)


@app.command()
def create(
    out: Annotated[Path, typer.Argument(help="Folder for the archives; made if needed. Existing ones stay.")],
    signing_key: Annotated[Path, typer.Option(help="Key that signs manifests; made when it is not there yet.")],
    data_dir: Annotated[
        Path | None, typer.Option(help="An installation: two archives, its own and its signer's.")
    ] = None,
    party: Annotated[
        list[Path] | None, typer.Option(help="A cosigner's folder: an archive of its own; repeatable.")
    ] = None,
    apart: Annotated[
        list[Path] | None, typer.Option(help="Folders inside --data-dir that are not the installation's; repeatable.")
    ] = None,
    recipient: RecipientOption = "",
    passphrase_ref: PassphraseOption = "",
    hsm_module: ModuleOption = "",
    hsm_token: TokenOption = "",
    hsm_key: Annotated[list[str] | None, typer.Option(help="Label of a wrappable key; repeatable.")] = None,
    pin_ref: PinOption = "",
    hsm_backup_key: WrapOption = "",
    as_json: JsonOption = False,
) -> None:
    """Copy everything consistently, while it runs, into one sealed archive per trust zone.

    An archive never holds files of two zones. Give each zone its own recipient by running this once for each.
    """
    from custody.backup import signer_text

    lock, key = _lock(recipient, passphrase_ref), _signing_key(signing_key)
    made: list[dict[str, Any]] = []
    if data_dir is not None:
        root, excluded = data_dir.resolve(), [*(apart or ()), *(party or ()), out, signing_key]
        hsm = _wrapped(hsm_module, hsm_token, hsm_key or (), pin_ref, hsm_backup_key)
        made += _installation(root, out, lock, key, [path.resolve() for path in excluded], hsm)
    for home in party or ():
        made.append(_party(home.resolve(), out, lock, key))
    if not made:
        raise InputError("give --data-dir, or --party")
    signer = signer_text(key.public_key())
    if as_json:
        output.emit({"signer": signer, "archives": made})
        return
    for archive in made:
        output.say(f"{archive['archive']}: {archive['files']} files of the {archive['zone']}")
    output.say(f"signed by {signer}")


@app.command()
def verify(
    archive: ArchiveArgument,
    signer: SignerOption,
    identity_ref: IdentityOption = "",
    passphrase_ref: PassphraseOption = "",
    as_json: JsonOption = False,
) -> None:
    """Open an archive and check every digest in it; nothing is written."""
    from custody.backup import verify_archive

    unlock, is_passphrase = _unlock(identity_ref, passphrase_ref)
    _tell(verify_archive(archive, unlock, is_passphrase=is_passphrase, signer=signer), as_json)


@app.command()
def restore(
    archive: ArchiveArgument,
    into: Annotated[Path, typer.Option(help="A new or empty folder.")],
    signer: SignerOption,
    identity_ref: IdentityOption = "",
    passphrase_ref: PassphraseOption = "",
    without_shares: Annotated[
        bool, typer.Option("--without-shares", help="Of a cosigner: leave its shares out, the others rebuild them.")
    ] = False,
    database_url: Annotated[str, typer.Option(help="Empty PostgreSQL database for the dump in the archive.")] = "",
    hsm_module: ModuleOption = "",
    hsm_token: TokenOption = "",
    pin_ref: PinOption = "",
    hsm_backup_key: WrapOption = "",
    as_json: JsonOption = False,
) -> None:
    """Put an archive back, whole or not at all, and make it safe before anybody uses it.

    Journals sign nothing new until `capstan backup reconcile`, and the books are frozen until two people have looked
    (`capstan custody unfreeze`).
    """
    from custody.backup import restore_archive
    from runtime import SystemClock

    unlock, is_passphrase = _unlock(identity_ref, passphrase_ref)
    manifest = restore_archive(
        archive,
        into,
        unlock,
        is_passphrase=is_passphrase,
        signer=signer,
        now_ns=SystemClock().now_ns(),
        without_shares=without_shares,
    )
    _restore_dump(manifest, into, database_url)
    if hsm_module:
        _restore_hsm(manifest, into, (hsm_module, hsm_token, pin_ref, hsm_backup_key))
    _tell(manifest, as_json)


@app.command()
def reconcile(
    data_dir: Annotated[
        Path | None, typer.Option(help="A restored installation; its own journal is opened too.")
    ] = None,
    journal: Annotated[
        list[Path] | None, typer.Option(help="A restored journal: a signer's, or a cosigner's; repeatable.")
    ] = None,
    account: Annotated[str, typer.Option(help="Without --data-dir: the account whose nonces these are,")] = "",
    rpc_url: Annotated[str, typer.Option(help="a node of its chain,")] = "",
    chain_id: Annotated[int, typer.Option(min=0, help="and the chain's id.")] = 0,
    margin: Annotated[
        int, typer.Option(min=0, max=1024, help="Nonces beyond what the chain has seen that may have been signed.")
    ] = 0,
    as_json: JsonOption = False,
) -> None:
    """Ask the chain what happened since the backup, take it over, and let restored journals sign again.

    Intents that the chain has already carried out get their transactions; value that left and that the books do not
    know is told (exit code 1): book it before anybody unfreezes. Nothing that uses these files may run.
    """
    found = asyncio.run(_reconcile(data_dir, journal or [], account, rpc_url, chain_id, margin))
    unknown = [
        {"nonce": each.tx.nonce, "hash": each.signed.hash, "to": each.tx.to, "value_wei": str(each.tx.value_wei)}
        for each in found.unknown
    ]
    if as_json:
        output.emit(
            {
                "account": found.account,
                "chain_id": found.chain_id,
                "chain_nonce": found.chain_nonce,
                "seen": len(found.seen),
                "adopted": dict(found.adopted),
                "unknown": unknown,
                "floors": dict(found.floors),
            }
        )
    else:
        output.say(f"{found.account}: the chain counts {found.chain_nonce}, {len(found.adopted)} intents taken over")
        for each in unknown:
            output.say(f"UNKNOWN to the books: nonce {each['nonce']}, {each['hash']} to {each['to']}")
        for path, floor in found.floors.items():
            output.say(f"{path} signs from nonce {floor} on")
    if unknown:
        raise typer.Exit(1)


async def _reconcile(
    data_dir: Path | None, journals: list[Path], account: str, rpc_url: str, chain_id: int, margin: int
) -> Reconciled:
    from chain import ChainClient, parse_address
    from custody.backup import Reconciled, adopt, first_unknown_nonce, look_at_chain, open_journals, skip_to
    from domain import ChainId
    from runtime import SystemClock

    now_ns = SystemClock().now_ns
    books = None
    endpoints, own = [rpc_url], list(journals)
    if data_dir is not None:
        settings, data = _settings(data_dir)
        if settings.chain is None or settings.custody is None:
            raise InputError(f"{data_dir} has no custody on a chain")
        from cli.wiring import open_ledger

        books = open_ledger(settings, data)
        endpoints, chain_id, account = list(settings.chain.endpoints), settings.chain.chain_id, settings.custody.account
        beside = (data.root / settings.custody.keystore).with_name("signer-journal.db")
        own += [beside] if beside.is_file() else []
    elif not (account and rpc_url and chain_id):
        raise InputError("give --data-dir, or --account, --rpc-url and --chain-id")
    address = parse_address(account)
    async with ChainClient(endpoints, ChainId(chain_id)) as client:
        first = first_unknown_nonce(books[0], chain_id, address) if books else await client.nonce(address)
        chain_nonce, seen = await look_at_chain(client, address, first)
    adopted: dict[str, str] = {}
    unknown: tuple[Seen, ...] = ()
    if books:
        adopted, unknown = adopt(*books, chain_id, address, seen, now_ns)
    floors = open_journals(own, address, chain_id, chain_nonce=chain_nonce, seen=seen, margin=margin, now_ns=now_ns)
    if books and floors:
        skip_to(*books, chain_id, address, max(floors.values()), now_ns)
    return Reconciled(
        account=address,
        chain_id=chain_id,
        chain_nonce=chain_nonce,
        seen=tuple(seen),
        adopted=adopted,
        unknown=unknown,
        floors=floors,
    )


def _installation(
    root: Path,
    out: Path,
    lock: Lock,
    key: Ed25519PrivateKey,
    excluded: list[Path],
    hsm: dict[str, tuple[Role, bytes]],
) -> list[dict[str, Any]]:
    """Two archives: what operators have, and what the signer has."""
    from custody.backup import Zone, zone_files

    settings, _ = _settings(root)
    signers = _signer_files(root, settings)
    url = settings.custody.database if settings.custody is not None else ""
    made = [
        _archive(
            out / "installation.cbk",
            Zone.INSTALLATION,
            root.name,
            root,
            zone_files(root, Zone.INSTALLATION, signer=signers, apart=excluded),
            lock,
            key,
            postgresql_url=url if url.startswith("postgresql") else "",
        )
    ]
    files = zone_files(root, Zone.SIGNER, signer=signers)
    if files or hsm:
        made.append(_archive(out / "signer.cbk", Zone.SIGNER, root.name, root, files, lock, key, extra=hsm))
    return made


def _signer_files(root: Path, settings: Any) -> list[Path]:
    """The signer's own: keystore and password, its journal, and what its guard remembers beside it."""
    if settings.custody is None:
        return []
    part = settings.custody
    scheme, _, password = part.password.partition(":")
    named = [root / part.keystore, *([root / password] if scheme == "file" else [])]
    return [*named, *root.glob("signer-journal*.db"), *root.glob("signer-journal-*.json")]


def _party(home: Path, out: Path, lock: Lock, key: Ed25519PrivateKey) -> dict[str, Any]:
    from custody.backup import Zone, zone_files
    from wallets.mpc import open_home

    number = open_home(home).party
    files = zone_files(home, Zone.COSIGNER)
    return _archive(out / f"cosigner-{number}.cbk", Zone.COSIGNER, str(number), home, files, lock, key)


def _archive(
    target: Path, zone: Any, name: str, root: Path, files: list[Path], lock: Lock, key: Ed25519PrivateKey, **more: Any
) -> dict[str, Any]:
    from custody.backup import create_archive
    from runtime import SystemClock

    manifest = create_archive(
        target,
        zone=zone,
        name=name,
        root=root,
        files=files,
        lock=lock,
        signing_key=key,
        now_ns=SystemClock().now_ns(),
        **more,
    )
    return {"archive": str(target), "zone": manifest.zone.value, "files": len(manifest.members)}


def _wrapped(module: str, token: str, keys: Any, pin_ref: str, backup_key: str) -> dict[str, tuple[Role, bytes]]:
    """Take keys out of a token as it lets them out: wrapped by the backup key that a second token has."""
    from custody.backup import Role

    if not module:
        return {}
    with _token(module, token, pin_ref, backup_key) as opened:
        found = {}
        for label in keys:
            known = opened.key(label)
            document = {
                "label": known.label,
                "public_key": known.public_key.hex(),
                "is_test_key": known.is_test_key,
                "wrapped": opened.back_up(label, backup_key=backup_key).hex(),
            }
            found[f"hsm/{label}.json"] = (Role.HSM_KEY, json.dumps(document).encode())
        return found


def _restore_hsm(manifest: Manifest, into: Path, where: tuple[str, str, str, str]) -> None:
    from custody.backup import Role
    from wallets.hsm import HsmKey

    with _token(*where) as opened:
        for member in manifest.members:
            if member.role is Role.HSM_KEY:
                document = json.loads((into / member.path).read_text())
                key = HsmKey(
                    document["label"],
                    bytes.fromhex(document["public_key"]),
                    is_test_key=bool(document["is_test_key"]),
                    is_wrappable=False,
                    is_born_here=False,
                )
                opened.restore(bytes.fromhex(document["wrapped"]), key, backup_key=where[3])


def _token(module: str, token: str, pin_ref: str, backup_key: str) -> HsmToken:
    from runtime.secrets import resolve_secret
    from wallets.hsm import HsmToken

    if not (token and pin_ref and backup_key):
        raise InputError("--hsm-module, --hsm-token, --pin-ref and --hsm-backup-key belong together")
    return HsmToken(module, token, resolve_secret(pin_ref))


def _restore_dump(manifest: Manifest, into: Path, url: str) -> None:
    from custody import open_books
    from custody.backup import Role, freeze_restored, restore_postgresql
    from runtime import SystemClock
    from runtime.database import Database

    dumps = [member for member in manifest.members if member.role is Role.DUMP]
    if not dumps:
        if url:
            raise InputError("this archive holds no dump of a PostgreSQL database")
        return
    if not url:
        output.say(f"{into / dumps[0].path} was not put into a database: give --database-url")
        return
    restore_postgresql(into / dumps[0].path, url)
    database = open_books(Database(url))
    freeze_restored(database, manifest.created_ns, SystemClock().now_ns())
    database.dispose()


def _settings(root: Path) -> tuple[Any, Any]:
    from cli.data_dir import DataDir
    from cli.settings import load_settings

    data = DataDir(root.resolve())
    return load_settings(data.settings), data


def _lock(recipient: str, passphrase_ref: str) -> Lock:
    from custody.backup import Recipient
    from runtime.secrets import resolve_secret

    if bool(recipient) == bool(passphrase_ref):
        raise InputError("give either --recipient or --passphrase-ref")
    return Recipient.parse(recipient) if recipient else resolve_secret(passphrase_ref)


def _unlock(identity_ref: str, passphrase_ref: str) -> tuple[Secret, bool]:
    from runtime.secrets import resolve_secret

    if bool(identity_ref) == bool(passphrase_ref):
        raise InputError("give either --identity-ref or --passphrase-ref")
    return resolve_secret(identity_ref or passphrase_ref), bool(passphrase_ref)


def _signing_key(path: Path) -> Ed25519PrivateKey:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from wallets import write_private_file

    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_private_file(path, Ed25519PrivateKey.generate().private_bytes_raw().hex() + "\n")
    try:
        return Ed25519PrivateKey.from_private_bytes(bytes.fromhex(path.read_text(encoding="ascii").strip()))
    except (OSError, ValueError) as exc:
        raise InputError(f"{path} holds no signing key: 64 hex digits are expected") from exc


def _tell(manifest: Manifest, as_json: bool) -> None:
    from datetime import UTC, datetime

    made = datetime.fromtimestamp(manifest.created_ns / 1e9, UTC).isoformat(timespec="seconds")
    fields = {
        "ok": True,
        "zone": manifest.zone.value,
        "name": manifest.name,
        "made": made,
        "files": len(manifest.members),
    }
    if as_json:
        output.emit(fields)
    else:
        output.say(f"{fields['zone']} {manifest.name!r} of {made}: {fields['files']} files, every digest holds")
