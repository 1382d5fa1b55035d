"""Whose a strategy is: read from the database once a second, so that every process of an installation agrees."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from sqlmodel import Session, col, select

from api.auth.principal import Principal
from api.core.errors import Conflict, Forbidden, NotFound
from api.portfolios.tables import PortfolioRow, PortfolioStrategyRow
from runtime.database import Database

FRESH_NS: Final = 10**9


@dataclass(frozen=True, slots=True)
class Portfolio:
    """One portfolio and the strategies that were put into it."""

    id: str
    organisation: str
    name: str
    strategies: frozenset[str]
    has_rest: bool


class Directory:
    """All portfolios, as they were at most a second ago."""

    def __init__(self, database: Database, now_ns: Callable[[], int]) -> None:
        self._database = database
        self._now_ns = now_ns
        self._read_ns: int | None = None
        self._reading = asyncio.Lock()
        self._portfolios: dict[str, Portfolio] = {}
        self._by_strategy: dict[str, Portfolio] = {}
        self._rest: Portfolio | None = None
        self.version = 0
        """Counts up whenever something about a portfolio has changed."""

    async def refresh(self, *, now: bool = False) -> None:
        """Read the tables, unless that was done a moment ago."""
        if not now and self._is_fresh():
            return
        async with self._reading:
            if not now and self._is_fresh():
                return  # Somebody else has read it meanwhile.
            at = self._now_ns()
            self._take(await self._database.read(_read), at)

    def _is_fresh(self) -> bool:
        return self._read_ns is not None and self._now_ns() - self._read_ns < FRESH_NS

    def _take(self, portfolios: list[Portfolio], at: int) -> None:
        found = {portfolio.id: portfolio for portfolio in portfolios}
        if found != self._portfolios:
            self.version += 1
        self._portfolios = found
        self._by_strategy = {name: portfolio for portfolio in portfolios for name in portfolio.strategies}
        self._rest = next((portfolio for portfolio in portfolios if portfolio.has_rest), None)
        self._read_ns = at

    def of_strategy(self, strategy: str) -> Portfolio | None:
        """Whose a strategy is; None where it is nobody's."""
        return self._by_strategy.get(strategy, self._rest)

    def assigned(self) -> frozenset[str]:
        """Every strategy that was put into a portfolio."""
        return frozenset(self._by_strategy)

    @property
    def rest(self) -> Portfolio | None:
        """The portfolio that owns what is in no other, where there is one."""
        return self._rest

    def organisations(self) -> frozenset[str]:
        """Every organisation that has a portfolio."""
        return frozenset(portfolio.organisation for portfolio in self._portfolios.values())

    def is_house(self, who: Principal) -> bool:
        """Whether a caller is of the organisation whose installation this is, and of all its portfolios."""
        return self._rest is not None and self._rest.organisation == who.organisation and who.portfolios is None

    async def check_house(self, who: Principal) -> None:
        """Stop here whoever is not the house: what follows is about all tenants together.

        Raises:
            Forbidden: Code `house_only`.
        """
        await self.refresh()
        if not self.is_house(who):
            raise Forbidden("this is about the whole installation, for those who run it", code="house_only")

    def any(self, portfolio: str) -> Portfolio:
        """A portfolio, whosever it is.

        Raises:
            NotFound: There is none of that id.
        """
        found = self._portfolios.get(portfolio)
        if found is None:
            raise NotFound(f"no portfolio {portfolio[:64]!r}")
        return found

    def visible(self, who: Principal) -> list[Portfolio]:
        """The portfolios that a caller may see, by name."""
        mine = (p for p in self._portfolios.values() if p.organisation == who.organisation and who.sees(p.id))
        return sorted(mine, key=lambda portfolio: portfolio.name)

    def seen(self, who: Principal, portfolio: str) -> Portfolio:
        """One portfolio that a caller may see.

        Raises:
            NotFound: There is none of that id, or it is not the caller's.
        """
        found = self._portfolios.get(portfolio)
        if found is None or found.organisation != who.organisation or not who.sees(found.id):
            raise NotFound(f"no portfolio {portfolio[:64]!r}")
        return found

    def sees_strategy(self, who: Principal, strategy: str) -> bool:
        portfolio = self.of_strategy(strategy)
        return portfolio is not None and portfolio.organisation == who.organisation and who.sees(portfolio.id)

    def check_strategy(self, who: Principal, strategy: str) -> Portfolio:
        """The portfolio of a strategy that the caller may see.

        Raises:
            NotFound: It is nobody's, or not the caller's: the answer is the same.
        """
        portfolio = self.of_strategy(strategy)
        if portfolio is None or not self.sees_strategy(who, strategy):
            raise NotFound(f"no strategy {strategy[:64]!r}")
        return portfolio


def create(session: Session, organisation: str, name: str, now_ns: int, *, has_rest: bool = False) -> PortfolioRow:
    """Add a portfolio.

    Raises:
        Conflict: The organisation has one of that name, or the installation one that owns the rest.
    """
    query = select(PortfolioRow).where(PortfolioRow.organisation == organisation, PortfolioRow.name == name)
    if session.exec(query).first() is not None:
        raise Conflict(f"there is a portfolio {name!r}")
    if has_rest and session.exec(select(PortfolioRow).where(col(PortfolioRow.has_rest))).first() is not None:
        raise Conflict("there is a portfolio that owns the rest")
    row = PortfolioRow(
        id=f"pf_{secrets.token_hex(8)}", organisation=organisation, name=name, has_rest=has_rest, created_ns=now_ns
    )
    session.add(row)
    session.flush()
    return row


def assign(session: Session, strategy: str, portfolio: str) -> None:
    """Put a strategy into a portfolio, out of the one it was in."""
    row = session.get(PortfolioStrategyRow, strategy)
    if row is None:
        session.add(PortfolioStrategyRow(strategy=strategy, portfolio=portfolio))
    else:
        row.portfolio = portfolio
        session.add(row)
    session.flush()


def claim(session: Session, strategy: str, portfolio: str) -> None:
    """Put a strategy that is being made into a portfolio.

    Raises:
        Conflict: One of its id is, or was, another portfolio's, and so is what it traded.
    """
    row = session.get(PortfolioStrategyRow, strategy)
    if row is not None and row.portfolio != portfolio:
        raise Conflict(
            f"a strategy {strategy!r} is {row.portfolio}'s, with all that it traded",
            hint="choose another id; PUT /v1/strategies/{strategy}/portfolio is its owner's",
        )
    assign(session, strategy, portfolio)


def _read(session: Session) -> list[Portfolio]:
    inside: dict[str, set[str]] = {}
    for row in session.exec(select(PortfolioStrategyRow)):
        inside.setdefault(row.portfolio, set()).add(row.strategy)
    return [
        Portfolio(row.id, row.organisation, row.name, frozenset(inside.get(row.id, ())), row.has_rest)
        for row in session.exec(select(PortfolioRow))
    ]
