"""Sign-In with Ethereum: a wallet proves whose it is. It lets a person in; over funds it decides nothing."""

from __future__ import annotations

import secrets
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from sqlmodel import Session, select

from api.auth.account_signatures import SIGNATURE_BYTES_MAX, has_signed, is_key_of
from api.auth.principal import Principal, public, require
from api.auth.siwe import SignInMessage
from api.auth.tables import UserRow, WalletRow
from api.core.errors import Conflict, NotFound, Unauthenticated
from api.core.times import instant
from api.services import Services, Use
from api.v1.logins import SlugOrId, TokenPair, origin_of
from api.v1.second_factors import check_is_there
from chain.keccak import checksum
from domain import InputError

router = APIRouter(prefix="/v1/auth", tags=["auth"])

NONCE_S = 600
_KIND = "siwe"


class SignIn(BaseModel):
    """What the message has to name."""

    nonce: str = Field(description="For the line `Nonce:`; good once, for ten minutes.")
    domain: str
    uri: str
    chain_ids: list[int] = Field(description="Chains whose contract accounts can be asked; keys sign in on any.")
    expires_in: int
    message: str | None = Field(description="For the address that was named: the whole text that its wallet signs.")


class SignedMessage(BaseModel):
    """A message of EIP-4361 and the wallet's signature over it (`personal_sign`)."""

    model_config = ConfigDict(extra="forbid")

    message: str = Field(max_length=4_096)
    signature: str = Field(pattern=r"^0x([0-9a-fA-F]{2})*$", max_length=2 + 2 * SIGNATURE_BYTES_MAX)


class WalletLogin(SignedMessage):
    """A wallet at the door."""

    organisation: SlugOrId


class Wallet(BaseModel):
    """An account whose holder may sign in as the person."""

    address: str
    chain_id: int
    created_at: datetime


@router.post("/siwe/nonce", status_code=201, dependencies=[public()])
async def make_nonce(
    services: Use,
    request: Request,
    address: Annotated[str | None, Query(pattern=r"^0x[0-9a-fA-F]{40}$", description="In any case of letters.")] = None,
    chain_id: Annotated[int, Query(ge=1, lt=10**18)] = 1,
) -> SignIn:
    """Give what a sign-in message needs, and to who names its address the message itself."""
    auth = services.auth
    account = None if address is None else checksum(address)
    await auth.gate.spend_by_address(request, "siwe-nonces", 60)
    nonce = secrets.token_hex(16)

    def write(session: Session) -> None:
        auth.challenges.issue(session, _KIND, {}, ttl_s=NONCE_S, word=nonce)

    await services.database.run(write)
    # A wallet compares the domain with the page it is on.
    origin = request.headers.get("origin", "")
    uri = origin if origin in auth.settings.all_origins else auth.settings.url
    domain = uri.split("//")[1]
    text = None
    if account is not None:
        issued = instant(services.clock.now_ns()).strftime("%Y-%m-%dT%H:%M:%SZ")
        text = SignInMessage(domain, account, uri, chain_id, nonce, issued).format()
    return SignIn(nonce=nonce, domain=domain, uri=uri, chain_ids=sorted(auth.chains), expires_in=NONCE_S, message=text)


@router.post("/siwe", dependencies=[public()])
async def sign_in(services: Use, request: Request, body: WalletLogin) -> TokenPair:
    """Log in with a wallet that was linked to a person before; a contract account on the chain it was linked on."""
    origin = await origin_of(services, request, body.message[:300].partition("account:\n")[2][:42])
    message = await _prove(services, body)

    # On another chain the contract at the same address may be somebody else's; a key is its holder's on all of them.
    is_key = is_key_of(message.address, message.digest(), bytes.fromhex(body.signature[2:]))

    def read(session: Session) -> str | None:
        row = session.get(WalletRow, message.address)
        if row is None or not (is_key or row.chain_id == message.chain_id):
            return None
        user = session.get(UserRow, row.user)
        return None if user is None or user.disabled_ns is not None else user.id

    user = await services.database.read(read)
    if user is None:
        raise Unauthenticated(
            "this wallet is nobody's here", code="unknown_wallet", hint="log in another way and link it first",
            claimed=f"wallet:{message.address}",
        )  # fmt: skip
    return TokenPair.of(await services.auth.logins.begin(user, "swk", body.organisation, origin))


@router.post("/wallets", status_code=201)
async def link_wallet(
    services: Use, request: Request, who: Annotated[Principal, require(weight=5)], body: SignedMessage
) -> Wallet:
    """Let a wallet sign in as this person: it signs a message to prove that it is there."""
    user, auth = who.check_person(), services.auth
    await check_is_there(services, request, who)
    message = await _prove(services, body)

    def write(session: Session) -> Wallet:
        if session.get(WalletRow, message.address) is not None:
            raise Conflict("this wallet is linked already")
        row = WalletRow(
            address=message.address, user=user, chain_id=message.chain_id, created_ns=services.clock.now_ns()
        )
        session.add(row)
        detail = {"actor": who.actor, "address": message.address}
        auth.audit.append(session, "user.wallet-linked", f"user/{user}", detail)
        return _shown(row)

    return await services.database.run(write)


@router.get("/wallets")
async def list_wallets(services: Use, who: Annotated[Principal, require()]) -> list[Wallet]:
    """The person's wallets."""
    user = who.check_person()

    def read(session: Session) -> list[Wallet]:
        query = select(WalletRow).where(WalletRow.user == user).order_by(WalletRow.address)
        return [_shown(row) for row in session.exec(query)]

    return await services.database.read(read)


@router.delete("/wallets/{address}")
async def unlink_wallet(
    services: Use,
    who: Annotated[Principal, require()],
    address: Annotated[str, Path(pattern=r"^0x[0-9a-fA-F]{40}$")],
) -> Wallet:
    """Let a wallet sign in no more."""
    user, auth = who.check_person(), services.auth

    def write(session: Session) -> Wallet:
        row = session.get(WalletRow, address)
        if row is None or row.user != user:
            raise NotFound(f"no wallet {address} in this form")
        session.delete(row)
        auth.audit.append(session, "user.wallet-unlinked", f"user/{user}", {"actor": who.actor, "address": address})
        return _shown(row)

    return await services.database.run(write)


async def _prove(services: Services, body: SignedMessage) -> SignInMessage:
    """Check a message and its signature. Whatever comes of it, its nonce is used.

    Raises:
        Unauthenticated: Code `invalid_sign_in`, saying what does not hold.
    """
    auth = services.auth
    try:
        message = SignInMessage.parse(body.message)
    except InputError as exc:
        raise _invalid(str(exc)) from exc
    try:
        message.check(origins=auth.settings.all_origins, now=instant(services.clock.now_ns()))
    except InputError as exc:
        raise _invalid(str(exc), message) from exc

    def take(session: Session) -> Any:
        return auth.challenges.take(session, _KIND, message.nonce)

    if await services.database.run(take) is None:
        raise _invalid("its nonce was used, is over, or is not ours", message)
    signature = bytes.fromhex(body.signature[2:])
    try:
        is_signed = await has_signed(
            message.address, message.digest(), signature, chain_id=message.chain_id, chains=auth.chains
        )
    except InputError as exc:
        raise _invalid(str(exc), message) from exc
    if not is_signed:
        raise _invalid("the account did not sign it", message)
    return message


def _invalid(why: str, message: SignInMessage | None = None) -> Unauthenticated:
    claimed = "" if message is None else f"wallet:{message.address}"
    return Unauthenticated(f"this message signs nobody in: {why}", code="invalid_sign_in", claimed=claimed)


def _shown(row: WalletRow) -> Wallet:
    return Wallet(address=row.address, chain_id=row.chain_id, created_at=instant(row.created_ns))
