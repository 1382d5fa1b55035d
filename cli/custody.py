"""`capstan custody`: what custody keeps on a chain, and for whom."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli import custody_freezes, output
from cli.custody_deposits import app as deposits_app
from cli.custody_session_keys import app as session_keys_app
from domain import Address, InputError

if TYPE_CHECKING:
    from chain import ChainClient
    from custody.deposits.deployment import DepositContracts, VaultTerms

app = typer.Typer(
    no_args_is_help=True,
    help="Contracts, deposits, sweeps, session keys; reconciliation and freezes.",
)
contracts = typer.Typer(no_args_is_help=True, help="The deposit contracts: create them, check what stands.")
app.add_typer(contracts, name="contracts")
app.add_typer(deposits_app, name="deposits")
app.add_typer(session_keys_app, name="session-keys")
custody_freezes.add_to(app)

RpcOption = Annotated[str, typer.Option("--rpc-url", help="The chain's node.")]
ChainOption = Annotated[int, typer.Option(min=1, help="Its chain id.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one line of JSON.")]
_VAULT_HINT = "an account or a multi-signature that stands already, or a guarded vault to be built with three roles"


@contracts.command()
def deploy(
    deployer: Annotated[str, typer.Option(help="The account that creates them.")],
    vault: Annotated[str | None, typer.Option(help="Where deposits are swept to, for ever: an address.")] = None,
    admin: Annotated[str | None, typer.Option(help="Or build a guarded vault: who changes limits and roles,")] = None,
    operator: Annotated[str | None, typer.Option(help="who pays,")] = None,
    guardian: Annotated[str | None, typer.Option(help="who pauses and vetoes;")] = None,
    delay_hours: Annotated[int, typer.Option(min=1, max=720, help="how long proposals wait;")] = 48,
    limit: Annotated[
        list[str] | None, typer.Option(help="and what may leave in 24 hours: ADDRESS=RAW, the zero address for coins.")
    ] = None,
    send: Annotated[bool, typer.Option("--send", help="Create them now; on a devnet only.")] = False,
    rpc_url: RpcOption = "http://127.0.0.1:8545",
    chain_id: ChainOption = 1337,
    as_json: JsonOption = False,
) -> None:
    """Print the transactions that create forwarder factory, sweeper and (if asked) vault; send them on a devnet.

    Keys that custody guards deploy nothing: elsewhere than on a devnet, send what is printed from a wallet of yours, as
    the deployer's next transactions, in this order; then run `capstan custody contracts check`.
    """
    from chain import parse_address

    target = _vault(vault, (admin, operator, guardian), delay_hours * 3600, limit or [])
    asyncio.run(_deploy(rpc_url, chain_id, parse_address(deployer), target, send=send, as_json=as_json))


@contracts.command()
def check(
    vault: Annotated[str, typer.Option(help="Where the factory must pay to.")],
    factory: Annotated[str, typer.Option(help="The forwarder factory.")],
    sweeper: Annotated[str, typer.Option(help="The batch sweeper.")],
    rpc_url: RpcOption = "http://127.0.0.1:8545",
    chain_id: ChainOption = 1337,
    as_json: JsonOption = False,
) -> None:
    """See that the contracts at these addresses are ours, to the byte, and belong together."""
    from chain import parse_address
    from custody.deposits.deployment import DepositContracts, check_deposit_contracts

    named = DepositContracts(parse_address(vault), parse_address(factory), parse_address(sweeper))

    async def run() -> None:
        async with _client(rpc_url, chain_id) as client:
            await check_deposit_contracts(client, named)

    asyncio.run(run())
    _tell(named, as_json=as_json)


async def _deploy(
    rpc_url: str, chain_id: int, deployer: Address, vault: Address | VaultTerms, *, send: bool, as_json: bool
) -> None:
    from custody.deposits.deployment import deploy_on_devnet, plan_deployment

    async with _client(rpc_url, chain_id) as client:
        if send:
            _tell(await deploy_on_devnet(client, deployer, vault), as_json=as_json)
            return
        _, creations = plan_deployment(deployer, await client.nonce(deployer), vault)
    if as_json:
        rows = [
            {"name": c.name, "nonce": c.nonce, "address": c.address, "data": "0x" + c.code.hex()} for c in creations
        ]
        output.emit({"chain_id": chain_id, "from": deployer, "creations": rows})
        return
    for creation in creations:
        typer.echo(f"nonce {creation.nonce}: {creation.name} at {creation.address}\n  0x{creation.code.hex()}")


def _vault(
    address: str | None, roles: tuple[str | None, str | None, str | None], delay_s: int, limits: list[str]
) -> Address | VaultTerms:
    from chain import parse_address
    from custody.deposits.contracts import VaultRoles
    from custody.deposits.deployment import VaultTerms

    if address is not None:
        if any(roles) or limits:
            raise InputError("give either --vault, or the roles and limits of a new one", hint=_VAULT_HINT)
        return parse_address(address)
    admin, operator, guardian = roles
    if admin is None or operator is None or guardian is None:
        raise InputError("give --vault, or all of --admin, --operator and --guardian", hint=_VAULT_HINT)
    parsed = []
    for text in limits:
        asset, _, raw = text.partition("=")
        if not (raw.isascii() and raw.isdigit()):
            raise InputError(f"--limit {text}: expected ADDRESS=RAW", hint="raw units: 1 USDC is 1000000")
        parsed.append((parse_address(asset), int(raw)))
    holders = VaultRoles(parse_address(admin), parse_address(operator), parse_address(guardian))
    return VaultTerms(holders, delay_s, tuple(parsed))


def _tell(found: DepositContracts, *, as_json: bool) -> None:
    if as_json:
        output.emit({"vault": found.vault, "factory": found.factory, "sweeper": found.sweeper})
        return
    for name, address in (("vault", found.vault), ("factory", found.factory), ("sweeper", found.sweeper)):
        typer.echo(f"{name:<8} {address}")


def _client(rpc_url: str, chain_id: int) -> ChainClient:
    from chain import ChainClient

    return ChainClient([rpc_url], chain_id)


@app.command()
def drill(
    keep: Annotated[
        Path | None, typer.Option(help="Do it in this new folder and leave everything there; else it is deleted.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Prove the worst day on this machine: keys made, money moved, a cosigner lost, everything restored elsewhere.

    Real processes on a local chain with test keys: a ceremony, an HSM key (SoftHSM2), three cosigners, a deposit swept
    and withdrawn by two people, books and audit log verified, a cosigner destroyed and rebuilt, and the whole
    installation restored from its backups into empty folders, where it pays once more. Exits with 1 at the first step
    that fails, and names it.
    """
    from cli.drill.run import run

    run(keep, as_json=as_json)
