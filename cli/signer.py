"""`capstan signer`: the process that holds the keys."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import structlog
import typer

from cli import output, signer_freezes
from cli.guards import AdminsOption, BundleOption, open_guard
from cli.references import take_secret
from cli.signer_hsm import app as hsm_app
from cli.signer_mpc import MpcKeys, mpc_keys, open_mpc_keys
from cli.signer_remote import RemoteKey, open_remote_key, remote_key
from domain import InputError

if TYPE_CHECKING:
    from custody import PolicySettings
    from wallets import LocalSigner, SignerService

app = typer.Typer(no_args_is_help=True, help="The process that holds the keys.")


app.add_typer(hsm_app, name="hsm")
signer_freezes.add_to(app)


@dataclass(frozen=True, slots=True)
class _Keystore:
    path: Path
    password: str


@dataclass(frozen=True, slots=True)
class _Hsm:
    module: str
    token: str
    keys: tuple[str, ...]
    pin: str
    workers: int


@dataclass(frozen=True, slots=True)
class _Parts:
    """What a signer process is made of. Without a policy it signs nothing."""

    socket: Path
    journal: Path
    keystore: _Keystore | None = None
    hsm: _Hsm | None = None
    mpc: MpcKeys | None = None
    remote: RemoteKey | None = None
    policy: PolicySettings | None = None
    bundle: Path | None = None
    admins: Path | None = None
    base_dir: Path | None = None
    operators: Mapping[str, str] = field(default_factory=dict)
    """Whose signatures lift the signer's freezes."""


@dataclass(frozen=True, slots=True)
class _Front:
    """Where JSON-RPC is spoken besides the socket's own protocol."""

    socket: Path | None
    tls_listen: str
    tls_files: tuple[Path, Path, Path, Path] | None
    """Certificate, key, the clients' authority, the list of clients."""
    dev_port: int
    upstream: str
    network: str

    @property
    def is_wanted(self) -> bool:
        return self.socket is not None or bool(self.tls_listen) or bool(self.dev_port)


@app.command()
def serve(
    data_dir: Annotated[
        Path | None, typer.Option(help="An installation: its capstan.toml names everything below.")
    ] = None,
    socket: Annotated[Path | None, typer.Option(help="Unix socket to listen on.")] = None,
    keystore: Annotated[Path | None, typer.Option(help="Keystore v3 file of the key.")] = None,
    password_ref: Annotated[
        str | None, typer.Option(help="Where its password is: file:PATH or env:NAME. Never the password itself.")
    ] = None,
    config: Annotated[Path | None, typer.Option(help="Settings file whose [custody.policy] the signer obeys.")] = None,
    policy_bundle: BundleOption = None,
    policy_admins: AdminsOption = None,
    journal: Annotated[
        Path | None, typer.Option(help="What was ever signed; beside the keystore unless given. Never delete it.")
    ] = None,
    hsm_module: Annotated[str, typer.Option(help="PKCS#11 library of an HSM whose keys are served as well.")] = "",
    hsm_token: Annotated[str, typer.Option(help="Label of its token.")] = "",
    hsm_key: Annotated[list[str] | None, typer.Option(help="Label of a key in it; may be given several times.")] = None,
    pin_ref: Annotated[str, typer.Option(help="Where the user's PIN is: file:PATH or env:NAME.")] = "",
    hsm_workers: Annotated[int, typer.Option(min=1, max=32, help="Signer processes before the token.")] = 2,
    committee: Annotated[
        Path | None, typer.Option(help="Coordinator's folder of an MPC committee whose keys are served as well.")
    ] = None,
    mpc_wallet: Annotated[
        list[str] | None, typer.Option(help="Name of a key of the committee; may be given several times.")
    ] = None,
    mpc_presign: Annotated[
        int, typer.Option(min=0, max=32, help="Presignatures to keep ready for each key of the committee.")
    ] = 0,
    remote: Annotated[str, typer.Option(help="URL of a remote signer (JSON-RPC) one of whose keys is served.")] = "",
    remote_address: Annotated[str, typer.Option(help="That key's address: no other signature is accepted.")] = "",
    remote_dialect: Annotated[str, typer.Option(help="How it names its methods: node or web3signer.")] = "node",
    remote_test_key: Annotated[bool, typer.Option("--remote-test-key", help="The key is for devnets only.")] = False,
    remote_ca: Annotated[Path | None, typer.Option(help="Authority of the remote signer's certificate (PEM).")] = None,
    remote_cert: Annotated[Path | None, typer.Option(help="The certificate shown to it (PEM).")] = None,
    remote_tls_key: Annotated[Path | None, typer.Option("--remote-key", help="Its private key (PEM).")] = None,
    rpc_socket: Annotated[Path | None, typer.Option(help="Unix socket for JSON-RPC over HTTP.")] = None,
    rpc_tls: Annotated[str, typer.Option(help="HOST:PORT for JSON-RPC over mutual TLS.")] = "",
    tls_cert: Annotated[Path | None, typer.Option(help="The signer's certificate (PEM).")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="Its private key (PEM).")] = None,
    tls_client_ca: Annotated[Path | None, typer.Option(help="Authority of the clients' certificates (PEM).")] = None,
    tls_clients: Annotated[Path | None, typer.Option(help="TOML list of clients, their keys and purposes.")] = None,
    dev_http: Annotated[
        int, typer.Option(min=0, max=65535, help="Development only: plain HTTP JSON-RPC on this loopback port.")
    ] = 0,
    upstream: Annotated[str, typer.Option(help="Node that JSON-RPC is passed on to, by its HTTP URL.")] = "",
    network: Annotated[
        str, typer.Option(help="What JSON-RPC callers sign for: devnet, testnet or live. Test keys need devnet.")
    ] = "live",
    as_json: Annotated[bool, typer.Option("--json", help="Print one line of JSON when ready.")] = False,
) -> None:
    """Sign what the policy allows, for processes of this user, until SIGTERM or SIGINT.

    Every request is parsed again, judged by this process's own policy, and journalled before the key is used: one
    (key, chain, nonce) is signed once. Without a policy nothing is signed. With --rpc-socket, --rpc-tls or --dev-http
    it also speaks the JSON-RPC of remote signers, so that cast and web3.py use it as they use a node.
    """
    hsm = _hsm(hsm_module, hsm_token, tuple(hsm_key or ()), pin_ref, hsm_workers)
    mpc = mpc_keys(committee, mpc_wallet or (), mpc_presign)
    far = remote_key(
        remote,
        remote_address,
        remote_dialect,
        is_test_key=remote_test_key,
        tls=(remote_ca, remote_cert, remote_tls_key),
    )
    front = _Front(
        rpc_socket,
        rpc_tls,
        _tls_files(rpc_tls, (tls_cert, tls_key, tls_client_ca, tls_clients)),
        dev_http,
        upstream,
        network,
    )
    if data_dir is not None:
        if socket or keystore or password_ref or config:
            raise InputError("--data-dir brings its own socket, keystore, password and config; give one or the other")
        parts = replace(_from_installation(data_dir.resolve()), hsm=hsm, mpc=mpc, remote=far)
    else:
        parts = _from_options(socket, keystore, password_ref, config, journal, hsm, mpc, far)
    if policy_bundle or policy_admins:
        parts = replace(parts, policy=None, bundle=policy_bundle, admins=policy_admins)
    asyncio.run(_serve(replace(parts, journal=journal or parts.journal), front, as_json=as_json))


async def _serve(parts: _Parts, front: _Front, *, as_json: bool) -> None:
    from runtime import SystemClock, configure_logging
    from runtime.processes import stop_on_signals
    from wallets import SignerService, SigningJournal
    from wallets.hardening import harden_memory

    configure_logging()
    if not harden_memory().is_locked:
        structlog.get_logger(__name__).warning("signer.memory_may_be_swapped", needs="CAP_IPC_LOCK")
    stop = asyncio.Event()
    stop_on_signals(stop)
    async with AsyncExitStack() as opened:
        guard = open_guard(parts.policy, parts.bundle, parts.admins, beside=parts.journal, opened=opened)
        keys = await _open_keys(parts, opened)
        signed = opened.enter_context(
            SigningJournal(parts.journal, now_ns=SystemClock().now_ns, operators=parts.operators)
        )
        service = SignerService(keys, guard=guard, journal=signed)
        ready = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(service.serve(parts.socket, stop, ready=ready), name="signer.serve")
            await ready.wait()
            if front.is_wanted:
                await _open_front(service, front, opened)
            if as_json:
                output.emit({"ready": True, "socket": str(parts.socket), "addresses": service.addresses})
            else:
                output.say(f"signing for {', '.join(service.addresses)} at {parts.socket}")


async def _open_keys(parts: _Parts, opened: AsyncExitStack) -> list[LocalSigner]:
    from wallets import unlock_keystore

    keys: list[LocalSigner] = []
    if (stored := parts.keystore) is not None:
        password = take_secret(stored.password, base_dir=parts.base_dir)
        keys.append(await asyncio.to_thread(unlock_keystore, stored.path, password))
    if (hsm := parts.hsm) is not None:
        from wallets.hsm import HsmPool

        pin = take_secret(hsm.pin, base_dir=parts.base_dir)
        pool = HsmPool(hsm.module, hsm.token, pin, hsm.keys, workers=hsm.workers)
        keys.extend((await opened.enter_async_context(pool)).signers)
    if parts.mpc is not None:
        keys.extend(await open_mpc_keys(parts.mpc, opened))
    if parts.remote is not None:
        keys.append(await open_remote_key(parts.remote, opened))
    return keys


async def _open_front(service: SignerService, front: _Front, opened: AsyncExitStack) -> None:
    from wallets import Network
    from wallets.rpc import ClientList, MutualTls, RpcMethods, RpcServer, Upstream

    try:
        network = Network(front.network)
    except ValueError as exc:
        raise InputError("--network must be devnet, testnet or live") from exc
    node = await opened.enter_async_context(Upstream(front.upstream)) if front.upstream else None
    server = await opened.enter_async_context(RpcServer(RpcMethods(service, network=network, upstream=node)))
    if front.socket is not None:
        await server.listen_unix(front.socket)
    if front.tls_files is not None:
        certificate, key, authority, clients = front.tls_files
        host, _, port = front.tls_listen.rpartition(":")
        if not host or not port.isdigit():
            raise InputError(f"--rpc-tls must be HOST:PORT, found {front.tls_listen!r}")
        await server.listen_tls(MutualTls(host, int(port), certificate, key, authority, ClientList.load(clients)))
    if front.dev_port:
        await server.listen_dev_http(front.dev_port)


def _from_options(
    socket: Path | None,
    keystore: Path | None,
    password_ref: str | None,
    config: Path | None,
    journal: Path | None,
    hsm: _Hsm | None,
    mpc: MpcKeys | None,
    remote: RemoteKey | None,
) -> _Parts:
    if socket is None or (keystore is None) != (password_ref is None) or not (keystore or hsm or mpc or remote):
        raise InputError(
            "--data-dir, or --socket and a key (--keystore, --hsm-module, --committee or --remote) are needed"
        )
    if keystore is None and journal is None:
        raise InputError("--journal is needed when there is no keystore to keep it beside")
    stored = _Keystore(keystore, password_ref) if keystore is not None and password_ref is not None else None
    return _Parts(
        socket,
        journal or _journal_of(keystore or socket),
        keystore=stored,
        hsm=hsm,
        mpc=mpc,
        remote=remote,
        policy=_policy(config) if config is not None else None,
        operators=_operators(config) if config is not None else {},
    )


def _hsm(module: str, token: str, keys: tuple[str, ...], pin_ref: str, workers: int) -> _Hsm | None:
    if not (module or token or keys or pin_ref):
        return None
    if not (module and token and keys and pin_ref):
        raise InputError("--hsm-module, --hsm-token, --hsm-key and --pin-ref belong together")
    return _Hsm(module, token, keys, pin_ref, workers)


def _tls_files(listen: str, files: tuple[Path | None, ...]) -> tuple[Path, Path, Path, Path] | None:
    given = tuple(file for file in files if file is not None)
    if not listen and not given:
        return None
    if not listen or len(given) != 4:
        raise InputError("--rpc-tls, --tls-cert, --tls-key, --tls-client-ca and --tls-clients belong together")
    return given[0], given[1], given[2], given[3]


def _from_installation(root: Path) -> _Parts:
    from cli.data_dir import DataDir
    from cli.settings import load_settings

    custody = load_settings(DataDir(root).settings).custody
    if custody is None:
        raise InputError(f"{root} has no [custody] section: there is nothing to sign for")
    keystore = root / custody.keystore
    return _Parts(
        root / custody.signer_socket,
        _journal_of(keystore),
        keystore=_Keystore(keystore, custody.password),
        policy=custody.policy,
        bundle=root / custody.policy_bundle if custody.policy_bundle else None,
        admins=root / custody.policy_admins if custody.policy_admins else None,
        base_dir=root,
        operators=custody.operators,
    )


def _policy(config: Path) -> PolicySettings:
    from cli.settings import load_settings

    custody = load_settings(config).custody
    if custody is None or custody.policy is None:
        raise InputError(f"{config} has no [custody.policy]", hint="without --config the signer refuses everything")
    return custody.policy


def _operators(config: Path) -> Mapping[str, str]:
    from cli.settings import load_settings

    custody = load_settings(config).custody
    return {} if custody is None else custody.operators


def _journal_of(keystore: Path) -> Path:
    return keystore.with_name("signer-journal.db")
