"""The gate: who asks, from where, how often, and with whose confirmation. Every refusal is logged with its reason."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

import structlog
from starlette.requests import HTTPConnection, Request

from api.auth.networks import Address, caller_address, counted_as, is_within, parse_networks
from api.auth.nonces import Nonces
from api.auth.principal import Method, Principal, Requirement
from api.auth.rates import Rates
from api.auth.scopes import parse_scopes
from api.auth.settings import ApiSettings
from api.auth.signing import CREDENTIALS, Credentials, canonical, is_key_id, request_digest
from api.auth.standing import Standing, Standings
from api.auth.step_up import StepUps
from api.auth.tickets import Tickets
from api.auth.tokens import Tokens
from api.core.errors import ApiError, BadRequest, Forbidden, Unauthenticated

log = structlog.get_logger(__name__)

FAILURES_A_MINUTE: Final = 60
"""So often may one address be wrong."""
_READ: Final = frozenset(name.lower().encode() for name in ("Authorization", *CREDENTIALS))
_CHALLENGE: Final = {"www-authenticate": 'Bearer realm="capstan"'}


class RequestGate:
    """Admits signed requests and requests with access tokens."""

    def __init__(
        self,
        *,
        now_ns: Callable[[], int],
        settings: ApiSettings,
        standings: Standings,
        tokens: Tokens,
        nonces: Nonces,
        rates: Rates,
        step_ups: StepUps,
        tickets: Tickets,
        used: Callable[[str, int], None],
    ) -> None:
        self._now_ns = now_ns
        self._proxies = parse_networks(settings.trusted_proxies)
        self._standings = standings
        self._tokens = tokens
        self._nonces = nonces
        self._rates = rates
        self._step_ups = step_ups
        self._tickets = tickets
        self._used = used

    async def admit(self, request: Request, need: Requirement) -> Principal:
        """Find out who asks; see `Gate.admit`."""
        address = self.address_of(request)
        try:
            principal, standing = await self._identify(request)
            if not _may_come_from(standing, address):
                raise Forbidden(
                    "not from this address", code="foreign_address", hint="the allow-list does not have it",
                    claimed=principal.actor,
                )  # fmt: skip
        except (Unauthenticated, Forbidden) as exc:
            await self._count_failure(exc, address, exc.claimed or self.claimed_by(request))
            raise
        structlog.contextvars.bind_contextvars(actor=principal.actor, organisation=principal.organisation)
        await self.spend(request, principal.actor, need.weight, standing.rate_limit)
        return principal

    async def confirm(self, request: Request, principal: Principal) -> Principal:
        """Ask for the step-up of this request; see `Gate.confirm`."""
        word = request.headers.get("step-up", "")
        if not word:
            raise Forbidden(
                "a person must confirm this request with a passkey or a code",
                code="step_up_required",
                hint="POST /v1/auth/step-ups with this request's digest, then send it again with the header Step-Up",
            )
        digest = request_digest(request.method, target_of(request), await request.body())
        try:
            await self._step_ups.use(word, principal, digest)
        except Forbidden as exc:
            log.warning("auth.refused", code=exc.code, actor=principal.actor)
            raise
        return replace(principal, stepped_up=True)

    async def still(self, principal: Principal, connection: HTTPConnection) -> Principal | None:
        """The same caller as it stands now, for streams: None once it may not be here, or not from there, any more."""
        standing = await self._standing_of(principal)
        if standing is None or standing.organisation != principal.organisation:
            return None
        state = connection.scope.setdefault("state", {})
        known: tuple[Standing, Principal] | None = state.get("still")
        if known is not None and known[0] is standing and known[1] is principal:
            return principal  # Nor does its address change.
        if not _may_come_from(standing, self.address_of(connection)):
            return None
        scopes = (principal.scopes if principal.granted is None else principal.granted) & standing.scopes
        if scopes == principal.scopes and standing.portfolios == principal.portfolios:
            state["still"] = (standing, principal)
            return principal
        return replace(principal, scopes=scopes, portfolios=standing.portfolios)

    async def ticket(self, word: str, connection: HTTPConnection) -> Principal:
        """Take a stream's ticket and give its caller as it stands now.

        Raises:
            Unauthenticated: Code `invalid_ticket`: none, used, over, or its caller may not be here (any more).
        """
        try:
            found = await self._tickets.redeem(word)
            now = await self.still(found, connection)
            if now is None:
                raise Unauthenticated(
                    "this ticket's caller may not be here", code="invalid_ticket", claimed=found.actor
                )
        except Unauthenticated as exc:
            await self._count_failure(exc, self.address_of(connection), exc.claimed)
            raise
        return now

    async def spend(self, request: HTTPConnection, caller: str, weight: int, limit: int) -> None:
        """Count a call against a caller's rate.

        Raises:
            TooManyRequests: It is too much.
        """
        spent = await self._rates.spend(caller, weight, limit, self._now_ns())
        request.state.spent = spent
        spent.check(weight)

    async def spend_by_address(self, request: HTTPConnection, what: str, limit: int) -> str:
        """Count a call of somebody unknown by its address; give the address as text."""
        address = self.address_of(request)
        await self.spend(request, f"{what}:{counted_as(address)}", 1, limit)
        return str(address or "")

    def address_of(self, connection: HTTPConnection) -> Address | None:
        """Where a caller comes from; see `caller_address`."""
        return caller_address(connection, self._proxies)

    def claimed_by(self, connection: HTTPConnection) -> str:
        """The key that a caller says is its own, in the form of an actor; empty where it names none."""
        key = connection.headers.get("api-key", "")
        return f"key:{key}" if is_key_id(key) else ""

    async def _identify(self, request: Request) -> tuple[Principal, Standing]:
        # Read once: `request.headers` looks through all of them for each name. Of two with one name the first counts.
        headers = {
            name.decode(): value.decode("latin-1") for name, value in reversed(request.headers.raw) if name in _READ
        }
        authorization = headers.get("authorization", "")
        if "api-key" in headers:
            if authorization:
                raise BadRequest("a request is signed or carries a token, not both")
            return await self._by_signature(request, Credentials.read(headers))
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise Unauthenticated(
                "nobody said who asks", hint="sign the request, or send Authorization: Bearer …", headers=_CHALLENGE
            )
        return await self._by_token(token)

    async def _by_signature(self, request: Request, told: Credentials) -> tuple[Principal, Standing]:
        now_ms = self._now_ns() // 1_000_000
        told.check_time(now_ms)
        message = canonical(told.timestamp, request.method, target_of(request), await request.body(), told.nonce)
        standing = await self._standings.of_key(told.key)
        # An unknown key and a wrong signature are answered alike.
        if standing is None or standing.verifier is None or not standing.verifier.verifies(message, told.signature):
            raise Unauthenticated(
                "no such key, or not its signature over this request",
                code="invalid_signature",
                hint="docs/api/auth.md has the lines that are signed, and an example",
            )
        await self._nonces.take(
            told.key, told.nonce, made_ms=int(told.timestamp), until_ms=told.until_ms, now_ms=now_ms
        )
        self._used(told.key, now_ms)
        principal = Principal(
            standing.organisation, f"key:{told.key}", standing.scopes, Method.SIGNATURE, standing.portfolios,
            user=standing.user,
        )  # fmt: skip
        return principal, standing

    async def _by_token(self, token: str) -> tuple[Principal, Standing]:
        claims = await self._tokens.check(token)
        granted = parse_scopes(claims.scope)
        method = Method.TOKEN if claims.sid else Method.CLIENT
        user = claims.sub.removeprefix("user:") if claims.sid else None
        named = Principal(
            claims.org,
            claims.sub,
            granted,
            method,
            user=user,
            session=claims.sid or None,
            client=claims.client_id or None,
            granted=granted,
        )
        standing = await self._standing_of(named)
        if standing is None or standing.organisation != claims.org or (user and standing.user != user):
            raise Unauthenticated(
                "this session is over", code="session_over", headers=_CHALLENGE, hint="log in again",
                claimed=claims.holder,
            )  # fmt: skip
        return (
            replace(named, scopes=granted & standing.scopes, portfolios=standing.portfolios, user=standing.user),
            standing,
        )

    async def _standing_of(self, principal: Principal) -> Standing | None:
        kind, _, name = principal.actor.partition(":")
        if kind == "key":
            return await self._standings.of_key(name)
        if kind == "client":
            return await self._standings.of_client(name)
        return await self._standings.of_session(principal.session or "")

    async def _count_failure(self, exc: ApiError, address: Address | None, claimed: str) -> None:
        log.warning("auth.refused", code=exc.code, address=str(address), claimed=claimed)
        spent = await self._rates.spend(f"failures:{counted_as(address)}", 1, FAILURES_A_MINUTE, self._now_ns())
        spent.check(1)


def target_of(request: HTTPConnection) -> str:
    """The request's path?query as it was sent."""
    path = (request.scope.get("raw_path") or request.scope["path"].encode()).decode("latin-1")
    query = request.scope["query_string"].decode("latin-1")
    return f"{path}?{query}" if query else path


def _may_come_from(standing: Standing, address: Address | None) -> bool:
    return all(is_within(address, networks) for networks in standing.networks)
