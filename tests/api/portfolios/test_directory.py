"""Whose a strategy is, and that nobody sees another's."""

from __future__ import annotations

import pytest

from api.auth.principal import Method, Principal
from api.core.errors import Conflict, NotFound
from api.portfolios import Directory
from api.portfolios.directory import assign, create
from tests.api.lab import api_services


def caller(organisation: str, portfolios: frozenset[str] | None = None) -> Principal:
    return Principal(organisation, "key:k", frozenset(), Method.SIGNATURE, portfolios)


@pytest.fixture
def services(tmp_path, database_url):
    with api_services(tmp_path, url=database_url) as services:
        yield services


@pytest.fixture
def ids(services):
    with services.database.transaction() as session:
        house = create(session, "house", "main", 1, has_rest=True)
        desk = create(session, "acme", "desk", 1)
        other = create(session, "acme", "other", 1)
        assign(session, "mm", desk.id)
        assign(session, "arb", other.id)
        return house.id, desk.id, other.id


async def test_each_sees_its_own_and_the_house_the_rest(services, ids):
    house, desk, other = ids
    directory = Directory(services.database, services.clock.now_ns)
    await directory.refresh()
    assert directory.of_strategy("mm").id == desk
    assert directory.of_strategy("unassigned").id == house
    assert [p.id for p in directory.visible(caller("acme"))] == [desk, other]
    assert [p.id for p in directory.visible(caller("acme", frozenset({other, house})))] == [other]
    assert directory.check_strategy(caller("acme"), "mm").id == desk
    for who, strategy in (
        (caller("acme"), "unassigned"),
        (caller("house"), "mm"),
        (caller("nobody"), "mm"),
        (caller("acme", frozenset({other})), "mm"),
    ):
        with pytest.raises(NotFound):
            directory.check_strategy(who, strategy)
        assert not directory.sees_strategy(who, strategy)
    for who, portfolio in ((caller("acme"), house), (caller("house"), desk), (caller("acme", frozenset()), desk)):
        with pytest.raises(NotFound):
            directory.seen(who, portfolio)
    assert directory.seen(caller("acme"), desk).strategies == {"mm"}


async def test_without_a_portfolio_for_the_rest_a_strategy_is_nobodys(services):
    directory = Directory(services.database, services.clock.now_ns)
    await directory.refresh()
    assert directory.of_strategy("mm") is None
    with pytest.raises(NotFound):
        directory.check_strategy(caller("house"), "mm")


async def test_changes_are_seen_after_a_second_at_most(services, ids):
    _, desk, other = ids
    directory = Directory(services.database, services.clock.now_ns)
    await directory.refresh()
    with services.database.transaction() as session:
        assign(session, "mm", other)
    await directory.refresh()
    assert directory.of_strategy("mm").id == desk
    services.clock.advance(seconds=1)
    await directory.refresh()
    assert directory.of_strategy("mm").id == other


def test_names_are_given_once_and_the_rest_has_one_owner(services, ids):
    for organisation, name, has_rest in (("acme", "desk", False), ("new", "x", True)):
        with pytest.raises(Conflict), services.database.transaction() as session:
            create(session, organisation, name, 1, has_rest=has_rest)
