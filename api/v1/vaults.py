"""The accounts that custody pays from: what they hold, whose they are, and whether anything may leave."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final

from fastapi import APIRouter, Path
from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict
from sqlmodel import Session

from api.auth.principal import Principal, require
from api.auth.scopes import Scope
from api.auth.tables import OrganisationRow
from api.core.amounts import RawText
from api.core.errors import NotFound
from api.core.times import instant
from api.custody.tables import VaultRow
from api.custody.whose import organisation_of_vault, whose
from api.services import Use
from custody import freeze
from custody.counter import Counter
from custody.ledger import vault_account
from custody.ledger.ledger import balances_in

router = APIRouter(prefix="/v1/vaults", tags=["vaults"])

Reader = Annotated[Principal, require(Scope.VAULTS_READ)]
Confirmed = Annotated[Principal, require(Scope.VAULTS_WRITE, step_up=True, weight=5)]
VaultName = Annotated[str, Path(pattern=r"^[A-Za-z0-9:._@\-]{1,64}$")]

_EXAMPLE: Final[JsonDict] = {"organisation": "org_0123456789abcdef"}


class Holding(BaseModel):
    """What the books say that a vault holds of an asset."""

    asset: str
    symbol: str | None
    raw: RawText
    amount: str | None


class Freeze(BaseModel):
    """Nothing leaves until two people lift it."""

    id: int
    scope: str = Field(description="`all`, or the chain or vault that is frozen.")
    reason: str
    since: datetime


class Vault(BaseModel):
    """An account of custody's on a chain."""

    name: str = Field(description="As the policy names it.")
    organisation: str | None = Field(description="Whose it is; its people sign for what leaves it.")
    chain_id: int
    address: str
    balances: list[Holding]
    freezes: list[Freeze]


class Vaults(BaseModel):
    """Those that are yours."""

    data: list[Vault]


class Owner(BaseModel):
    """Who it is given to."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [_EXAMPLE]})

    organisation: str = Field(min_length=1, max_length=40)


@router.get("")
async def list_vaults(services: Use, who: Reader) -> Vaults:
    """Your vaults, with what they hold by the books."""
    custody, mine = services.custody, await whose(services.directory, who)

    def read(session: Session) -> list[Vault]:
        return [_shown(session, custody)] if mine.owns_vault(session, custody.vault.name) else []

    return Vaults(data=await services.database.read(read))


@router.get("/{vault}")
async def get_vault(services: Use, who: Reader, vault: VaultName) -> Vault:
    """One of your vaults."""
    custody, mine = services.custody, await whose(services.directory, who)

    def read(session: Session) -> Vault:
        if vault != custody.vault.name or not mine.owns_vault(session, vault):
            raise NotFound(f"no vault {vault}")
        return _shown(session, custody)

    return await services.database.read(read)


@router.put("/{vault}/owner")
async def give_vault(services: Use, who: Confirmed, vault: VaultName, body: Owner) -> Vault:
    """Give a vault to an organisation, or back to the house: from then on its approvals and transactions are theirs.

    For the house. Who may sign is still said by the policy.
    """
    await services.directory.check_house(who)
    custody, now = services.custody, services.clock.now_ns()

    def write(session: Session) -> Vault:
        services.database.serialize(session, f"vault/{vault}")
        if vault != custody.vault.name:
            raise NotFound(f"no vault {vault}")
        if session.get(OrganisationRow, body.organisation) is None:
            raise NotFound(f"no organisation {body.organisation[:64]!r}")
        before = organisation_of_vault(session, vault)
        row = session.get(VaultRow, vault)
        if row is None:
            row = VaultRow(name=vault, organisation=body.organisation, changed_ns=now)
        row.organisation, row.changed_ns = body.organisation, now
        session.add(row)
        session.flush()
        detail = {"actor": who.actor, "before": before, "organisation": body.organisation}
        services.auth.audit.append(session, "vault.given", f"vault/{vault}", detail)
        return _shown(session, custody)

    return await services.database.run(write)


def _shown(session: Session, custody: Counter) -> Vault:
    vault = custody.vault
    account = vault_account(vault.chain_id, vault.address)
    held = balances_in(session, accounts=[account]).get(account, {})
    scopes = (freeze.ALL, freeze.chain_scope(vault.chain_id), freeze.vault_scope(vault.name))
    standing = freeze.standing(session, *scopes, freeze.vault_scope(vault.address))
    names = custody.assets
    holdings = [
        Holding(asset=asset, symbol=names.symbol(asset), raw=str(raw), amount=names.amount(asset, raw))
        for asset, raw in sorted(held.items())
    ]
    return Vault(
        name=vault.name, organisation=organisation_of_vault(session, vault.name), chain_id=vault.chain_id,
        address=vault.address, balances=holdings,
        freezes=[Freeze(id=f.id, scope=f.scope, reason=f.reason, since=instant(f.time_ns)) for f in standing],
    )  # fmt: skip
