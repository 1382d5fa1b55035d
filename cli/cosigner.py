"""`capstan cosigner`: the parties of an MPC committee, one process each."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from cli import output
from cli.guards import AdminsOption, BundleOption, open_guard
from domain import InputError

if TYPE_CHECKING:
    from custody import PolicySettings
    from wallets.mpc import PartyLink

app = typer.Typer(no_args_is_help=True, help="The parties of an MPC committee, one process each.")

T = TypeVar("T")
Json = Annotated[bool, typer.Option("--json", help="Print one line of JSON.")]


@app.command()
def init(
    root: Annotated[Path, typer.Argument(help="New folder; gets party-1 … party-n and coordinator.")],
    threshold: Annotated[int, typer.Option(help="How many parties sign together.")] = 2,
    endpoint: Annotated[
        list[str] | None, typer.Option(help="HOST:PORT of a party, once for each, in order.", show_default=False)
    ] = None,
    test_keys: Annotated[bool, typer.Option("--test-keys", help="All keys are for devnets only.")] = False,
    as_json: Json = False,
) -> None:
    """Make a committee: a private CA (its key is forgotten), and for each party TLS, envelope and encryption keys.

    Move each folder to its own machine; the encryption key `kek` is the one file to replace by something better.
    """
    from wallets.hardening import harden_memory
    from wallets.mpc import init_committee

    harden_memory()

    endpoints = [_endpoint(text) for text in endpoint or ["127.0.0.1:7101", "127.0.0.1:7102", "127.0.0.1:7103"]]
    committee = init_committee(root, threshold=threshold, endpoints=endpoints, is_test=test_keys)
    if as_json:
        output.emit({"root": str(root), "threshold": committee.threshold, "parties": len(committee.cards)})
    else:
        output.say(f"{committee.threshold} of {len(committee.cards)} parties in {root}")


@app.command()
def serve(
    home: Annotated[Path, typer.Argument(help="The party's folder, from `capstan cosigner init`.")],
    policy: Annotated[
        Path | None, typer.Option(help="File whose [policy] this party obeys; keys as in [custody.policy].")
    ] = None,
    policy_bundle: BundleOption = None,
    policy_admins: AdminsOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one line of JSON when ready.")] = False,
) -> None:
    """Be one party, for the pinned coordinators, until SIGTERM or SIGINT.

    Every payload is parsed again, judged by this party's own policy, and journalled before the share is used. Without
    a policy nothing is signed.
    """
    if policy is not None and policy_bundle is not None:
        raise InputError("give --policy or --policy-bundle, not both")
    asyncio.run(_serve(home, _policy(policy), policy_bundle, policy_admins, as_json=as_json))


@app.command()
def generate(
    coordinator: Annotated[Path, typer.Argument(help="The coordinator's folder.")],
    wallet: Annotated[str, typer.Argument(help="A name for the key.")],
    kind: Annotated[
        str, typer.Option(help="secp256k1 (ECDSA, for transactions) or ed25519 (EdDSA, for statements).")
    ] = "secp256k1",
    as_json: Json = False,
) -> None:
    """Have all parties make a new key together; no one ever holds it."""
    from wallets.mpc import generate_wallet

    async def run(links: list[PartyLink], threshold: int) -> str:
        return await generate_wallet(links, wallet, threshold=threshold, kind=kind)

    address = _coordinate(coordinator, run)
    if as_json:
        output.emit({"wallet": wallet, "kind": kind, "address": address})
    else:
        output.say(f"{wallet}: {address}")


@app.command()
def refresh(
    coordinator: Annotated[Path, typer.Argument(help="The coordinator's folder.")],
    wallet: Annotated[str, typer.Argument(help="The key's name.")],
    as_json: Json = False,
) -> None:
    """Give all parties new shares of the same key, and destroy the old ones."""
    from wallets.mpc import refresh_wallet

    async def run(links: list[PartyLink], threshold: int) -> int:
        return await refresh_wallet(links, wallet, threshold=threshold)

    epoch = _coordinate(coordinator, run)
    if as_json:
        output.emit({"wallet": wallet, "epoch": epoch})
    else:
        output.say(f"{wallet} is in epoch {epoch}")


@app.command()
def recover(
    coordinator: Annotated[Path, typer.Argument(help="The coordinator's folder.")],
    wallet: Annotated[str, typer.Argument(help="The key's name.")],
    party: Annotated[int, typer.Argument(help="The party that lost its share; it runs with its old folder's keys.")],
    as_json: Json = False,
) -> None:
    """Rebuild the share a party has lost, then refresh all: the lost one is worthless wherever it is."""
    from wallets.mpc import recover_party

    async def run(links: list[PartyLink], threshold: int) -> int:
        return await recover_party(links, wallet, target=party, threshold=threshold)

    epoch = _coordinate(coordinator, run)
    if as_json:
        output.emit({"wallet": wallet, "epoch": epoch})
    else:
        output.say(f"party {party} has a share again; {wallet} is in epoch {epoch}")


@app.command()
def state(
    coordinator: Annotated[Path, typer.Argument(help="The coordinator's folder.")],
    wallet: Annotated[str, typer.Argument(help="An ed25519 key's name.")],
    purpose: Annotated[str, typer.Argument(help="What it is for; the parties' policies list what they allow.")],
    content: Annotated[Path, typer.Argument(help="File whose bytes are signed, after the purpose.")],
    network: Annotated[str, typer.Option(help="devnet, testnet or live. Test keys need devnet.")] = "live",
    as_json: Json = False,
) -> None:
    """Have a statement signed: a file's bytes for a purpose, by an Ed25519 key (FROST)."""
    from wallets import Network, StatementToSign
    from wallets.mpc import MpcStatementSigner, PartyLink, read_coordinator

    try:
        statement, meant = StatementToSign(purpose, content.read_bytes()), Network(network)
    except (OSError, ValueError) as exc:
        raise InputError(f"cannot state that: {exc}") from exc

    async def run() -> tuple[str, bytes]:
        committee, tls = read_coordinator(coordinator)
        links = [PartyLink(card, tls) for card in committee.cards]
        try:
            signer = await MpcStatementSigner.connect(links, committee, wallet=wallet)
            return signer.address, await signer.sign_statement(statement, network=meant)
        finally:
            for link in links:
                await link.close()

    key, signature = asyncio.run(run())
    if as_json:
        output.emit({"key": key, "purpose": purpose, "signature": signature.hex()})
    else:
        output.say(f"{signature.hex()} by {key}")


def _coordinate(root: Path, run: Callable[[list[PartyLink], int], Awaitable[T]]) -> T:
    from wallets.mpc import PartyLink, read_coordinator

    async def connected() -> T:
        committee, tls = read_coordinator(root)
        links = [PartyLink(card, tls, timeout_s=60) for card in committee.cards]
        try:
            return await run(links, committee.threshold)
        finally:
            for link in links:
                await link.close()

    return asyncio.run(connected())


async def _serve(
    root: Path, policy: PolicySettings | None, bundle: Path | None, admins: Path | None, *, as_json: bool
) -> None:
    from runtime import SystemClock, configure_logging
    from runtime.processes import stop_on_signals
    from wallets import SigningJournal
    from wallets.hardening import harden_memory
    from wallets.mpc import Cosigner, PartyStore, open_home
    from wallets.mpc import serve as listen

    configure_logging()
    harden_memory()
    stop, ready, now_ns = asyncio.Event(), asyncio.Event(), SystemClock().now_ns
    stop_on_signals(stop)
    home = open_home(root)
    async with AsyncExitStack() as opened:
        guard = open_guard(policy, bundle, admins, beside=root / "journal.db", opened=opened)
        store = opened.enter_context(PartyStore(root / "party.db", now_ns=now_ns))
        journal = opened.enter_context(SigningJournal(root / "journal.db", now_ns=now_ns))
        cosigner = Cosigner(home, store=store, journal=journal, guard=guard)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(listen(cosigner, home, stop, ready=ready), name="cosigner.serve")
            await ready.wait()
            if as_json:
                output.emit({"ready": True, "party": home.party, "port": home.card.port})
            else:
                output.say(f"party {home.party} at {home.card.host}:{home.card.port}")


def _endpoint(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 1 << 16:
        raise InputError(f"not an endpoint: {text!r}", hint="write it like 127.0.0.1:7101")
    return host, int(port)


def _policy(path: Path | None) -> PolicySettings | None:
    """Read a party's own file: it runs on a machine of its own and has no installation."""
    if path is None:
        return None
    import tomllib

    from pydantic import ValidationError

    from custody import PolicySettings

    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
        if set(document) != {"policy"}:
            raise KeyError("policy")
        return PolicySettings.model_validate(document["policy"])
    except (OSError, ValueError, KeyError) as exc:
        problem = type(exc).__name__
        if isinstance(exc, ValidationError):
            problem = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in exc.errors())
        raise InputError(f"{path} has no usable [policy]: {problem}", hint="keys as in [custody.policy]") from exc
