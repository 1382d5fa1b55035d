"""In a real Chromium: the documentation under its policy, passkeys of a virtual authenticator, wallets of EIP-6963."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlmodel import select

from api.auth.bootstrap import bootstrap
from api.auth.tables import PasskeyRow, SessionRow, WalletRow
from api.services import Services
from chain.devnet import TEST_ADDRESSES
from tests.api.browser.desk import PASSWORD, Browser, add_member, browsing, serving

pytestmark = pytest.mark.timeout(300)

# TEST ONLY: the first two of the public test accounts.
KEYS = (
    "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80",
    "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d",
)
OWN = {"name": "Own", "address": TEST_ADDRESSES[0].lower(), "key": KEYS[0]}
FORGER = {"name": "Forger", "address": TEST_ADDRESSES[0].lower(), "key": KEYS[1]}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with browsing() as browser:
        yield browser


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Services, str]]:
    """Origin, services, and the organisation of whoever signs in."""
    with serving(tmp_path_factory.mktemp("desk")) as (origin, services):
        made = bootstrap(services.auth, slug="acme", name="Acme", email="owner@acme.example")
        yield origin, services, made.organisation


def rows(services: Services, row: Any, user: str) -> list[Any]:
    with services.database.transaction() as session:
        found = session.exec(select(row).where(row.user == user).order_by(row.created_ns)).all()
        return [each.model_dump() for each in found]


def log_in(browser: Browser, email: str) -> None:
    assert browser.press("Log in", **{"E-mail": email, "Password": PASSWORD}) == f"signed in: {email}"


def test_the_documentation_works_under_its_own_policy(browser: Browser, desk: tuple[str, Services, str]) -> None:
    seen = browser.do("docs", origin=desk[0])
    assert seen["status"] == 200
    assert seen["sections"] > 10
    assert seen["told"].startswith("200"), "a route was tried from the page"
    assert (seen["violations"], seen["errors"], seen["elsewhere"]) == ([], [], [])
    assert seen["after"] == ["script-src-elem", False], "a script in the page does not run"


def test_a_passkey_is_made_and_logs_in_where_it_is(browser: Browser, desk: tuple[str, Services, str]) -> None:
    origin, services, organisation = desk
    email, user = add_member(services, organisation, "petra"), f"usr_{'petra':a<16}"
    browser.do("signin", origin=origin)
    log_in(browser, email)
    assert browser.press("Add a passkey") == "passkey added: this browser"
    [made] = rows(services, PasskeyRow, user)
    assert browser.press("Log out", "Log in with a passkey") == f"signed in: {email}"
    assert [session["methods"] for session in rows(services, SessionRow, user)] == ["pwd", "hwk user mfa"]
    [used] = rows(services, PasskeyRow, user)
    assert used["counter"] > made["counter"]

    browser.do("signin", origin=origin)  # On another device there is no passkey of this site.
    assert browser.press("Log in with a passkey") == "refused: NotAllowedError"
    assert len(rows(services, SessionRow, user)) == 2


def test_an_authenticator_that_does_not_verify_its_user_makes_no_passkey(
    browser: Browser, desk: tuple[str, Services, str]
) -> None:
    origin, services, organisation = desk
    email = add_member(services, organisation, "udo")
    browser.do("signin", origin=origin, verifies=False)
    log_in(browser, email)
    assert browser.press("Add a passkey") == "refused: NotAllowedError"
    assert rows(services, PasskeyRow, f"usr_{'udo':a<16}") == []


def test_a_wallet_signs_in_once_with_each_message(browser: Browser, desk: tuple[str, Services, str]) -> None:
    origin, services, organisation = desk
    email, user = add_member(services, organisation, "wanda"), f"usr_{'wanda':a<16}"
    browser.do("signin", origin=origin, wallets=[OWN, FORGER])
    assert browser.press("Log in with Own").startswith("refused: unknown_wallet")
    log_in(browser, email)
    # With a passkey, a wallet is linked by a confirmation: the page gets it from the authenticator.
    assert browser.press("Add a passkey", "Link Own") == f"wallet linked: {TEST_ADDRESSES[0]}"
    assert [row["address"] for row in rows(services, WalletRow, user)] == [TEST_ADDRESSES[0]]

    assert browser.press("Log out", "Log in with Own") == f"signed in: {email}"
    before = rows(services, SessionRow, user)
    assert [session["methods"] for session in before] == ["pwd", "swk"]
    again = browser.do("replay", path="/v1/auth/siwe")
    assert (again["status"], again["said"]["code"]) == (401, "invalid_sign_in")
    assert "nonce was used" in again["said"]["detail"]
    assert browser.press("Log out", "Log in with Forger").startswith("refused: invalid_sign_in")
    after = rows(services, SessionRow, user)
    assert [session["id"] for session in after] == [session["id"] for session in before]
