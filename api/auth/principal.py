"""Who asks, and what a route wants of them. Routes are written against this file and know nothing else of `api.auth`.

    @router.post("/orders")
    async def place(body: NewOrder, who: Annotated[Principal, require(Scope.ORDERS_WRITE, weight=1)]) -> Order:
        who.check_portfolio(body.portfolio)
        …

`require` lets nobody pass whom the application's gate has not admitted, and an application without a gate admits
nobody. A route that needs no caller says so with `public()`; one that says neither does not start (`check_routes`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Set
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, Protocol

from fastapi import Depends, FastAPI, Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute, APIWebSocketRoute, RouteContext, iter_route_contexts

from api.auth.portfolio_limits import Limit
from api.auth.scopes import Scope
from api.core.errors import Forbidden
from domain import InvariantError

_SCHEMES: Final = {
    "access_token": {
        "type": "http",
        "description": "An access token, from a login or OAuth.",
        "scheme": "bearer",
    },
    "signed_request": {
        "type": "apiKey",
        "description": "Id of an API key; `API-Timestamp`, `API-Nonce` and `API-Signature` go with it.",
        "in": "header",
        "name": "API-Key",
    },
}
"""The two ways in which a caller says who it is, as OpenAPI has them."""


class Method(StrEnum):
    """How a caller proved who it is."""

    SIGNATURE = "signature"
    """A request signed with an API key."""
    TOKEN = "token"
    """An access token of a person's session."""
    CLIENT = "client"
    """An access token of an OAuth client that acts for itself."""
    TICKET = "ticket"
    """A single-use ticket, for streams."""


@dataclass(frozen=True, slots=True)
class Principal:
    """A caller that was admitted: of one organisation, with the scopes it has right now."""

    organisation: str
    """Id of the organisation. Every query of a route is bound to it; another organisation's row is one that is not."""
    actor: str
    """For logs, audit and "who did it": `user:usr_…`, `key:key_…` or `client:app_…`."""
    scopes: frozenset[Scope]
    method: Method
    portfolios: Limit = None
    """The portfolios it may see and trade; None are all of the organisation."""
    user: str | None = None
    """The person's id: of a session, or of whoever made the key."""
    session: str | None = None
    """The refresh family of a person's session."""
    client: str | None = None
    """The OAuth client that acts for the person; None: nobody stands between."""
    stepped_up: bool = False
    """This request was confirmed by a person with a passkey or a TOTP code."""
    granted: frozenset[Scope] | None = field(default=None, repr=False)
    """What its token or key was made with, which its role may have narrowed since; None is "as `scopes`"."""

    def may(self, scope: Scope) -> bool:
        return scope in self.scopes

    def check(self, scope: Scope) -> None:
        """Stop here unless the caller has a scope (one that only some bodies of a route need).

        Raises:
            Forbidden: Code `missing_scope`.
        """
        if scope not in self.scopes:
            raise Forbidden(
                f"this needs the scope {scope}", code="missing_scope", hint="ask an administrator for a role with it"
            )

    def check_person(self) -> str:
        """Stop here unless this is a person's own session: for passwords, passkeys, seeds. Give the person's id.

        Raises:
            Forbidden: Code `person_required`.
        """
        if self.method is not Method.TOKEN or self.client is not None or self.user is None:
            raise Forbidden("this is for a person's own session, not for keys and clients", code="person_required")
        return self.user

    def check_whole(self, why: str) -> None:
        """Stop here unless the caller has all portfolios of its organisation: for what is of all of them.

        Raises:
            Forbidden: Code `all_portfolios_only`, in the words given.
        """
        if self.portfolios is not None:
            raise Forbidden(why, code="all_portfolios_only")

    def sees(self, portfolio: str) -> bool:
        """Whether a portfolio of its organisation is one of its own; for filters of lists."""
        return self.portfolios is None or portfolio in self.portfolios

    def check_portfolio(self, portfolio: str) -> None:
        """Stop here unless the caller may act in a portfolio.

        Raises:
            Forbidden: Code `foreign_portfolio`.
        """
        if not self.sees(portfolio):
            raise Forbidden(f"not one of this caller's portfolios: {portfolio[:64]!r}", code="foreign_portfolio")

    def check_gives(self, scopes: Set[Scope], portfolios: Iterable[str] | None) -> Limit:
        """Stop here unless the caller has all that it gives to another (a key, a client, a member).

        Args:
            scopes: What the other is to have.
            portfolios: What the other is to be limited to; None is as the caller itself.

        Returns:
            The other's portfolios.

        Raises:
            Forbidden: Code `missing_scope` or `foreign_portfolio`.
        """
        if beyond := sorted(scopes - self.scopes):
            raise Forbidden(f"you do not have {', '.join(beyond[:5])} yourself", code="missing_scope")
        if portfolios is None:
            return self.portfolios
        given = frozenset(portfolios)
        for portfolio in sorted(given):
            self.check_portfolio(portfolio)
        return given


@dataclass(frozen=True, slots=True)
class Requirement:
    """What a route wants of its caller."""

    scopes: tuple[Scope, ...]
    """All of them. Empty: anybody who was admitted."""
    step_up: bool = False
    """A person has confirmed exactly this request, within two minutes, for one use."""
    weight: int = 1
    """What the call costs of the caller's rate."""


class Gate(Protocol):
    """Admits callers: `app.state.gate`."""

    async def admit(self, request: Request, need: Requirement) -> Principal:
        """Find out who asks; what is logged from then on says so.

        Raises:
            Unauthenticated: Nobody, or not who they say they are.
            Forbidden: Known, and not allowed to.
            TooManyRequests: Beyond its rate.
        """
        ...

    async def confirm(self, request: Request, principal: Principal) -> Principal:
        """Ask for the step-up now: for a route whose body decides whether one is needed (loosening a limit).

        Raises:
            Forbidden: Code `step_up_required`, or what is wrong with the one that came.
        """
        ...


class Declared(Protocol):
    """A route as far as this file goes: `APIRoute`, `APIWebSocketRoute`, or what stands for one that was included."""

    @property
    def path(self) -> str: ...

    @property
    def dependant(self) -> Dependant: ...


class _Require:
    """The dependency of one route."""

    def __init__(self, need: Requirement) -> None:
        self.need = need

    async def __call__(self, request: Request) -> Principal:
        # No parameters for the document's sake (`describe_callers`): each costs every request a tenth of a millisecond.
        principal = await gate_of(request).admit(request, self.need)
        for scope in self.need.scopes:
            principal.check(scope)
        if self.need.step_up and not principal.stepped_up:
            principal = await gate_of(request).confirm(request, principal)
        request.state.principal = principal
        return principal


class _Public:
    """Marks a route that anybody may call."""

    async def __call__(self) -> None:
        return None


def require(*scopes: Scope, step_up: bool = False, weight: int = 1) -> Any:
    """The dependency that admits a caller with all of `scopes`; none of them named is anybody who has a key or session.

    Args:
        scopes: Each is needed.
        step_up: A fresh passkey or TOTP confirmation of this very request is needed too. Where the body decides (a
            limit that is loosened, not tightened), leave it out and call `confirm_step_up`.
        weight: What the call costs of the caller's rate, 1 for a plain read.
    """
    return Depends(_Require(Requirement(scopes, step_up, weight)))


def public() -> Any:
    """The dependency that says: no caller is needed here. `dependencies=[public()]`."""
    return Depends(_Public())


async def confirm_step_up(request: Request, principal: Principal) -> Principal:
    """Stop here unless a person has confirmed exactly this request.

    Raises:
        Forbidden: Code `step_up_required`.
    """
    return principal if principal.stepped_up else await gate_of(request).confirm(request, principal)


def gate_of(request: Request) -> Gate:
    """The application's gate.

    Raises:
        InvariantError: It has none.
    """
    gate: Gate | None = getattr(request.app.state, "gate", None)
    if gate is None:
        raise InvariantError("this application admits nobody: it was built without a gate")
    return gate


def requirement_of(route: Declared) -> Requirement | None:
    """What a route wants; None for a public one.

    Raises:
        InvariantError: It does not say.
    """
    for call in _calls(route.dependant):
        if isinstance(call, _Require):
            return call.need
        if isinstance(call, _Public):
            return None
    raise InvariantError(f"{route.path} says neither require(…) nor public()")


def declared_routes(app: FastAPI) -> Iterator[RouteContext]:
    """Every route of the application, of the routers it includes too, with its whole path and its dependencies."""
    for context in iter_route_contexts(app.routes):
        if isinstance(context.original_route, APIRoute | APIWebSocketRoute):
            yield context


def describe_callers(app: FastAPI, document: dict[str, Any]) -> dict[str, Any]:
    """Say in an OpenAPI document of the application which operations want a caller, and how one says who it is."""
    document.setdefault("components", {})["securitySchemes"] = _SCHEMES
    for route in declared_routes(app):
        for method in getattr(route, "methods", None) or ():
            operation = document["paths"].get(route.path_format, {}).get(method.lower())
            if operation is not None and requirement_of(route) is not None:  # type: ignore[arg-type]
                operation["security"] = [{name: []} for name in _SCHEMES]
    return document


def check_routes(app: FastAPI, *, open_paths: Collection[str] = ()) -> None:
    """Refuse to start with a route that does not say whom it admits.

    Args:
        app: The application, with all its routes.
        open_paths: Paths of what is no route of FastAPI's and may be seen by anybody: documents, mounted files.

    Raises:
        InvariantError: There is one.
    """
    for context in iter_route_contexts(app.routes):
        if isinstance(context.original_route, APIRoute | APIWebSocketRoute):
            requirement_of(context)  # type: ignore[arg-type]  # It hands on the attributes of the route it stands for.
        elif context.path not in (app.openapi_url, *open_paths):
            raise InvariantError(f"{context.path} is no route that can say whom it admits")


def _calls(dependant: Dependant) -> Iterator[object]:
    for child in dependant.dependencies:
        yield child.call
        yield from _calls(child)
