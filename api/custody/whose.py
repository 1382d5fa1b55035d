"""What of custody a caller's organisation may see: its own clients and vaults, and of the house the rest.

    client   its withdrawals, deposits, addresses and balances are its organisation's, and nobody else's
    vault    its transactions and what waits for approval are its organisation's, whoever's client is paid from it

A withdrawal is a client's and leaves a vault: the client's organisation follows it as a withdrawal, and reads what is
approved about it; the vault's organisation sees it among transactions and approvals, because its people sign.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ColumnElement, and_, exists, or_, true
from sqlalchemy.orm import aliased
from sqlmodel import Session, col, select

from api.auth.principal import Principal
from api.core.errors import NotFound
from api.custody.tables import ClientRow, VaultRow
from api.portfolios import Directory
from api.portfolios.tables import PortfolioRow
from custody.transactions.tables import TransactionRow
from custody.withdrawals.tables import WithdrawalRow

_FOREIGN: Final = r"org\_%:%"
"""How clients of tenants are called: the house has none of that name, whether it is in the table or not."""

_PARTS: Final = ("available", "pending", "held")
_RESULTS: Final = ("trading", "fees", "gas", "liquidity")


@dataclass(frozen=True, slots=True)
class Whose:
    """A caller's part of custody, as conditions on the columns that name clients, vaults and intents."""

    organisation: str
    is_house: bool

    def client(self, column: Any) -> ColumnElement[bool]:
        """The rows of the organisation's clients."""
        if self.is_house:
            others = exists().where(ClientRow.id == column, col(ClientRow.organisation) != self.organisation)
            return and_(~others, column.not_like(_FOREIGN, escape="\\"))
        return column.in_(select(ClientRow.id).where(ClientRow.organisation == self.organisation))  # type: ignore[no-any-return]

    def vault(self, column: Any) -> ColumnElement[bool]:
        """The rows of the organisation's vaults."""
        if self.is_house:
            others = select(VaultRow.name).where(VaultRow.organisation != self.organisation)
            return column.not_in(others)  # type: ignore[no-any-return]
        return column.in_(select(VaultRow.name).where(VaultRow.organisation == self.organisation))  # type: ignore[no-any-return]

    def intent(self, column: Any) -> ColumnElement[bool]:
        """The rows about intents that leave the organisation's vaults, or are withdrawals of its clients.

        Looked up for each row by its intent: gathering all intents first costs by how many there have ever been.
        """
        sent, drawn = aliased(TransactionRow), aliased(WithdrawalRow)
        paid = exists().where(drawn.withdrawal_id == column, self.client(drawn.user))
        leaves = ((sent.intent_id, sent.vault), (drawn.withdrawal_id, drawn.vault))
        if not self.is_house:
            return or_(*(exists().where(intent == column, self.vault(vault)) for intent, vault in leaves), paid)
        return or_(and_(*(~exists().where(intent == column, ~self.vault(vault)) for intent, vault in leaves)), paid)

    def transaction(self) -> ColumnElement[bool]:
        """Of the transactions those that leave the organisation's vaults, or are withdrawals of its clients."""
        paid = select(WithdrawalRow.withdrawal_id).where(self.client(col(WithdrawalRow.user)))
        return or_(self.vault(col(TransactionRow.vault)), col(TransactionRow.intent_id).in_(paid))

    def account(self, column: Any, strategies: Collection[str]) -> ColumnElement[bool]:
        """The rows of the books' accounts: of the house all, else its clients' and these strategies'."""
        if self.is_house:
            return true()
        mine = ClientRow.organisation == self.organisation
        owed = [select("user/" + col(ClientRow.id) + f"/{part}").where(mine) for part in _PARTS]
        made = [f"{kind}/{strategy}" for strategy in strategies for kind in _RESULTS]
        return or_(column.in_(made), *(column.in_(names) for names in owed))

    def check_client(self, session: Session, client: str) -> None:
        """Stop here unless a client is the organisation's.

        Raises:
            NotFound: It is another's, or nobody's: the answer is the same.
        """
        row = session.get(ClientRow, client)
        is_mine = row.organisation == self.organisation if row is not None else self._is_rest(client)
        if not is_mine:
            raise NotFound(f"no client {client[:64]!r}")

    def owns_vault(self, session: Session, vault: str) -> bool:
        row = session.get(VaultRow, vault)
        return self.is_house if row is None else row.organisation == self.organisation

    def _is_rest(self, client: str) -> bool:
        return self.is_house and not (client.startswith("org_") and ":" in client)


async def whose(directory: Directory, who: Principal) -> Whose:
    """A caller's part of custody.

    Raises:
        Forbidden: Code `all_portfolios_only`: custody is the whole organisation's, not a portfolio's.
    """
    who.check_whole("custody is not for a caller of some portfolios")
    await directory.refresh()
    return Whose(who.organisation, directory.is_house(who))


def organisation_of(session: Session, client: str) -> str | None:
    """Whose client one is; of the rest, the house; None where there is no house yet."""
    row = session.get(ClientRow, client)
    if row is not None:
        return row.organisation
    return session.exec(select(PortfolioRow.organisation).where(col(PortfolioRow.has_rest))).first()


def organisation_of_vault(session: Session, vault: str) -> str | None:
    """Whose a vault is; see `organisation_of`."""
    row = session.get(VaultRow, vault)
    if row is not None:
        return row.organisation
    return session.exec(select(PortfolioRow.organisation).where(col(PortfolioRow.has_rest))).first()
