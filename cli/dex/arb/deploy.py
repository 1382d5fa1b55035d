"""`capstan dex arb deploy`: put an executor onto the chain, through custody."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from cli import output
from cli.dex.options import (
    ACCOUNT,
    AccountOption,
    ConfigOption,
    DataOption,
    DeskPlace,
    JsonOption,
    RpcUrlOption,
    YesOption,
)

if TYPE_CHECKING:
    from cli.dex.desk import DexDesk
    from dex.arbitrage.deployment import Roles
    from domain import Address
    from domain.events import SwapSettled

RoleOption = typer.Option(help="An address; the account itself unless given.")


def deploy(
    config: ConfigOption = None,
    rpc_url: RpcUrlOption = "",
    data: DataOption = None,
    account: AccountOption = ACCOUNT,
    owner: Annotated[str, RoleOption] = "",
    pauser: Annotated[str, RoleOption] = "",
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Deploy the arbitrage executor. Operator and beneficiary are the account, so that its books see every profit.

    Its address follows from code and roles: deploying the same again does nothing.
    """
    place = DeskPlace(config=config, rpc_url=rpc_url, data=data, account=account)
    result = asyncio.run(_deploy(place, owner, pauser, yes=yes))
    output.table(result, as_json=as_json)


async def _deploy(place: DeskPlace, owner: str, pauser: str, *, yes: bool) -> dict[str, object]:
    from chain import parse_address
    from cli.dex.arb.place import DEPLOYMENT, open_place
    from cli.dex.desk import open_desk
    from dex.arbitrage.deployment import Roles, deployed_address, with_roles

    async with open_desk(place, DEPLOYMENT) as desk:
        where = await open_place(desk.client, desk.network, desk.account)
        roles = Roles(
            owner=parse_address(owner) if owner else desk.account,
            operator=desk.account,
            pauser=parse_address(pauser) if pauser else desk.account,
            beneficiary=desk.account,
        )
        call = with_roles(where.deployment, roles)
        if not yes and not await desk.client.code(deployed_address(call)):
            _ask(deployed_address(call), roles.owner)
        settled = await ensure_deployed(desk, roles, call)
        return {
            "executor": deployed_address(call),
            "owner": roles.owner,
            "operator": roles.operator,
            "pauser": roles.pauser,
            "beneficiary": roles.beneficiary,
            "status": "deployed" if settled else "stands already",
            "tx_hash": settled.tx_hash if settled else None,
            "gas_cost_wei": settled.gas_cost_wei if settled else "0",
        }


async def ensure_deployed(desk: DexDesk, roles: Roles, call: bytes) -> SwapSettled | None:
    """Deploy an executor unless it stands; give the outcome, or None when nothing was to be done.

    Raises:
        InputError: The chain lacks the deployment proxy, or the transaction came to nothing.
        Refused: By custody or its policy.
    """
    from dex.arbitrage.deployment import DEPLOYER, deployed_address, plan_deployment
    from domain import InputError

    executor = deployed_address(call)
    if await desk.client.code(executor):
        return None
    if not await desk.client.code(DEPLOYER):
        raise InputError(f"chain {desk.chain_id} has no deployment proxy at {DEPLOYER}")
    plan = plan_deployment(
        intent_id=f"arb-deploy-{executor.lower()}",
        strategy="arbitrage",
        chain_id=desk.chain_id,
        sender=desk.account,
        roles=roles,
        data=call,
    )
    settled = await desk.execute(plan)
    if settled.status != "mined" or not await desk.client.code(executor):
        raise InputError(f"the deployment {settled.tx_hash} came to nothing: {settled.reason or settled.status}")
    return settled


def _ask(executor: Address, owner: Address) -> None:
    output.say(f"deploys an arbitrage executor at {executor}, owned by {owner}")
    typer.confirm("Deploy it?", abort=True, err=True)
