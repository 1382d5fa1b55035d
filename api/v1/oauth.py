"""OAuth endpoints: where people let a client in, and where clients get their tokens."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Any, Final
from urllib.parse import parse_qsl, unquote_plus

import msgspec
from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from pydantic import BaseModel, ConfigDict, Field
from sqlmodel import Session

from api.auth.logins import Issued
from api.auth.oauth import Grant, OAuthError, check_secret, is_challenge, is_registered, with_parameters
from api.auth.principal import Principal, public, require
from api.auth.scopes import Scope, format_scopes, parse_scopes
from api.auth.standing import member_standing
from api.auth.tables import OAuthClientRow, OrganisationRow, SessionRow
from api.core.errors import ApiError, BadRequest, Forbidden, Unauthenticated
from api.problems import note_refusal
from api.services import Services, Use
from api.v1.consent import Asking, consent_page
from api.v1.logins import origin_of
from api.v1.organisation import branding_of
from api.v1.second_factors import check_is_there
from domain import InputError

router = APIRouter(tags=["oauth"])

_FORM_FIELDS_MAX: Final = 20
_TOKENS_A_MINUTE: Final = 600


class Authorize(BaseModel):
    """What a client asks for, as it stands in the query of `/v1/oauth/authorize`."""

    model_config = ConfigDict(extra="ignore")

    response_type: str = Field(max_length=20)
    client_id: str = Field(max_length=40)
    redirect_uri: str = Field(max_length=500)
    scope: str = Field(max_length=2_000)
    state: str = Field(default="", max_length=500)
    code_challenge: str = Field(max_length=128)
    code_challenge_method: str = Field(max_length=10)


class Redirect(BaseModel):
    """Where the person's browser goes next."""

    location: str


class Tokens(BaseModel):
    """RFC 6749, §5.1."""

    access_token: str
    token_type: str = "Bearer"
    expires_in: int
    scope: str
    refresh_token: str | None = Field(default=None, description="None for a client that acts for itself.")


class OAuthProblem(BaseModel):
    """RFC 6749, §5.2."""

    error: str = Field(examples=["invalid_grant"])
    error_description: str


class Nothing(BaseModel):
    """An empty object."""


_ANSWERS: Final[dict[int | str, dict[str, Any]]] = {
    400: {"model": OAuthProblem, "description": "What is wrong, in OAuth's words"},
    401: {"model": OAuthProblem, "description": "No such client, or not its secret"},
}
_BACK: Final[dict[int | str, dict[str, Any]]] = {303: {"description": "Back to the client, with a code or an error"}}


def _form(*fields: str) -> dict[str, Any]:
    """The OpenAPI description of a form body."""
    schema = {"type": "object", "properties": {field: {"type": "string", "maxLength": 2_000} for field in fields}}
    return {"requestBody": {"required": True, "content": {"application/x-www-form-urlencoded": {"schema": schema}}}}


_AUTHORIZE_FIELDS = tuple(Authorize.model_fields)


@router.get("/v1/oauth/authorize", dependencies=[public()], response_class=HTMLResponse, responses=_BACK)
async def authorize(
    services: Use,
    client_id: Annotated[str, Query(max_length=40)],
    redirect_uri: Annotated[str, Query(max_length=500)],
    response_type: Annotated[str, Query(max_length=20)] = "",
    scope: Annotated[str, Query(max_length=2_000)] = "",
    state: Annotated[str, Query(max_length=500)] = "",
    code_challenge: Annotated[str, Query(max_length=128)] = "",
    code_challenge_method: Annotated[str, Query(max_length=10)] = "",
) -> Response:
    """Show the page on which a person logs in and lets a client in. PKCE (S256) is needed always."""
    asked = Authorize(
        response_type=response_type, client_id=client_id, redirect_uri=redirect_uri, scope=scope, state=state,
        code_challenge=code_challenge, code_challenge_method=code_challenge_method,
    )  # fmt: skip
    asking = await _asking(services, asked)
    return _sent_back(services, asked, asking) if isinstance(asking, OAuthError) else consent_page(asking)


@router.post(
    "/v1/oauth/authorize",
    dependencies=[public()],
    response_class=HTMLResponse,
    responses=_BACK
    | {status: {"content": {"text/html": {"schema": {"type": "string"}}}} for status in (401, 403, 429)},
    openapi_extra=_form(*_AUTHORIZE_FIELDS, "email", "password", "code", "decision"),
)
async def decide(services: Use, request: Request) -> Response:
    """Take the person's decision, with password and code, and send the browser back to the client."""
    try:
        fields = _read_form(await request.body())
        asked = Authorize(**{name: fields.get(name, "") for name in _AUTHORIZE_FIELDS})
    except (OAuthError, ValueError) as exc:
        raise BadRequest("the form does not hold what the client asked for") from exc
    asking = await _asking(services, asked)
    if isinstance(asking, OAuthError):
        return _sent_back(services, asked, asking)
    if fields.get("decision") != "allow":
        return _sent_back(services, asked, OAuthError("access_denied", "the person said no"))
    email = fields.get("email", "")[:254]
    try:
        await origin_of(services, request, email)
        user, methods = await services.auth.logins.prove(email, fields.get("password", ""), fields.get("code", "")[:32])
        return RedirectResponse(await _grant(services, asked, user, methods), 303)
    except ApiError as exc:
        return consent_page(asking, email=email, trouble=str(exc), status=exc.status)


@router.post("/v1/oauth/grants", status_code=201)
async def grant(
    services: Use, request: Request, who: Annotated[Principal, require(weight=5)], body: Authorize
) -> Redirect:
    """Let a client in from a page of one's own: confirmed by who has a second factor, else soon after a login.

    A client stays for months, so an access token that somebody found does not let one in.
    """
    user = who.check_person()
    await check_is_there(services, request, who)
    asking = await _asking(services, body)
    if isinstance(asking, OAuthError):
        raise BadRequest(asking.description, code=asking.error)

    def read(session: Session) -> str:
        return session.get_one(SessionRow, who.session).methods

    return Redirect(location=await _grant(services, body, user, await services.database.read(read)))


@router.post(
    "/v1/oauth/token",
    dependencies=[public()],
    response_model=Tokens,
    responses=_ANSWERS,
    openapi_extra=_form(
        "grant_type", "code", "redirect_uri", "code_verifier", "refresh_token", "scope", "client_id", "client_secret"
    ),
)
async def token(services: Use, request: Request) -> JSONResponse:
    """Give tokens for a code, a refresh token, or a client's own secret. Errors are those of RFC 6749, §5.2."""
    address = await services.auth.gate.spend_by_address(request, "oauth-token", _TOKENS_A_MINUTE)
    try:
        fields = _read_form(await request.body())
        client = await _client(services, request, fields)
        answer = await _tokens(services, client, fields, address)
    except OAuthError as exc:
        return _refusal(request, exc)
    except (Unauthenticated, Forbidden) as exc:
        refusal = _refusal(request, OAuthError("invalid_grant", str(exc)))
        note_refusal(request.scope, exc.code, claimed=exc.claimed)
        return refusal
    return JSONResponse(answer)


@router.post(
    "/v1/oauth/revoke",
    dependencies=[public()],
    response_model=Nothing,
    responses=_ANSWERS,
    openapi_extra=_form("token", "client_id", "client_secret"),
)
async def revoke(services: Use, request: Request) -> JSONResponse:
    """End the session of a token (RFC 7009). A token that is none is answered alike."""
    await services.auth.gate.spend_by_address(request, "oauth-token", _TOKENS_A_MINUTE)
    auth = services.auth
    try:
        fields = _read_form(await request.body())
        client = await _client(services, request, fields)
    except OAuthError as exc:
        return _refusal(request, exc)
    text = fields.get("token", "")
    try:
        name = auth.sessions.name_of(text) if text.startswith("rt_") else (await auth.tokens.check(text)).sid
    except Unauthenticated:
        return JSONResponse({})

    def write(session: Session) -> None:
        row = session.get(SessionRow, name)
        if row is not None and row.client == client.id:
            auth.sessions.end(session, name, "revoked by the client")

    await services.database.run(write)
    auth.standings.forget()
    return JSONResponse({})


@router.get("/.well-known/jwks.json", dependencies=[public()])
async def key_set(services: Use) -> dict[str, Any]:
    """The keys that access tokens are signed with (RFC 7517)."""
    return await services.auth.tokens.key_set()


@router.get("/.well-known/oauth-authorization-server", dependencies=[public()])
async def metadata(services: Use) -> dict[str, Any]:
    """Where everything is (RFC 8414)."""
    url = services.auth.settings.url
    return {
        "issuer": url,
        "authorization_endpoint": f"{url}/v1/oauth/authorize",
        "token_endpoint": f"{url}/v1/oauth/token",
        "revocation_endpoint": f"{url}/v1/oauth/revoke",
        "jwks_uri": f"{url}/.well-known/jwks.json",
        "scopes_supported": sorted(Scope),
        "response_types_supported": ["code"],
        "grant_types_supported": ["authorization_code", "refresh_token", "client_credentials"],
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post", "none"],
        "authorization_response_iss_parameter_supported": True,
    }


async def _asking(services: Services, asked: Authorize) -> Asking | OAuthError:
    """Check a client's question.

    Returns:
        What the person is shown, or an error that may go back to the client.

    Raises:
        BadRequest: Client or redirect are not known: the browser goes nowhere.
    """

    def read(session: Session) -> tuple[OAuthClientRow, OrganisationRow] | None:
        row = session.get(OAuthClientRow, asked.client_id)
        if row is None or row.revoked_ns is not None:
            return None
        organisation = session.get_one(OrganisationRow, row.organisation)
        session.expunge_all()
        return row, organisation

    found = await services.database.read(read)
    if found is None:
        raise BadRequest("no such client", code="invalid_client")
    client, organisation = found
    if not is_registered(asked.redirect_uri, msgspec.json.decode(client.redirects, type=list[str])):
        raise BadRequest("this redirect is not one of the client's", code="invalid_redirect")
    if asked.response_type != "code":
        return OAuthError("unsupported_response_type", "only code")
    if asked.code_challenge_method != "S256" or not is_challenge(asked.code_challenge):
        return OAuthError("invalid_request", "PKCE with S256 is needed")
    try:
        scopes = parse_scopes(asked.scope)
    except InputError as exc:
        return OAuthError("invalid_scope", str(exc))
    if not scopes or not scopes <= parse_scopes(client.scopes):
        return OAuthError("invalid_scope", "more than the client was made with, or nothing")
    return Asking(client.name, branding_of(organisation), sorted(scopes), asked.redirect_uri, asked.model_dump())


async def _grant(services: Services, asked: Authorize, user: str, methods: str) -> str:
    """Write down that a person lets a client in; give where the browser goes.

    Raises:
        Forbidden: Code `no_membership`: the client is of another organisation.
    """

    def write(session: Session) -> str:
        client = session.get_one(OAuthClientRow, asked.client_id)
        if member_standing(session, client.organisation, user) is None:
            raise Forbidden("no member of the client's organisation", code="no_membership")
        grant = Grant(client.id, user, asked.redirect_uri, parse_scopes(asked.scope), methods, asked.code_challenge)
        services.auth.audit.append(
            session, "oauth.granted", f"user/{user}", {"client": client.id, "scopes": format_scopes(grant.scopes)}
        )
        return services.auth.codes.issue(session, grant)

    code = await services.database.run(write)
    state = {"state": asked.state} if asked.state else {}
    return with_parameters(asked.redirect_uri, code=code, iss=services.auth.settings.url, **state)


async def _tokens(services: Services, client: OAuthClientRow, fields: dict[str, str], address: str) -> dict[str, Any]:
    auth = services.auth
    match fields.get("grant_type"):
        case "authorization_code":
            found = await services.database.run(
                lambda session: auth.codes.redeem(
                    session, client, code=fields.get("code", ""), redirect=fields.get("redirect_uri", ""),
                    verifier=fields.get("code_verifier", ""), address=address,
                )
            )  # fmt: skip
            if isinstance(found, OAuthError):
                auth.standings.forget()
                raise found
            return _pair(await auth.logins.issue_for(*found))
        case "refresh_token":
            return _pair(await auth.logins.refresh(fields.get("refresh_token", ""), client=client.id))
        case "client_credentials":
            return await _alone(services, client, fields.get("scope", ""))
        case _:
            raise OAuthError("unsupported_grant_type", "authorization_code, refresh_token or client_credentials")


async def _alone(services: Services, client: OAuthClientRow, scope: str) -> dict[str, Any]:
    if not client.acts_alone:
        raise OAuthError("unauthorized_client", "this client acts for people only")
    own = parse_scopes(client.scopes)
    try:
        scopes = parse_scopes(scope) or own
    except InputError as exc:
        raise OAuthError("invalid_scope", str(exc)) from exc
    if not scopes <= own:
        raise OAuthError("invalid_scope", "more than the client was made with")
    access = await services.auth.tokens.issue(
        subject=f"client:{client.id}", organisation=client.organisation, scopes=scopes, client=client.id
    )
    lifetime = services.auth.tokens.lifetime_s
    return {"access_token": access, "token_type": "Bearer", "expires_in": lifetime, "scope": format_scopes(scopes)}


async def _client(services: Services, request: Request, fields: dict[str, str]) -> OAuthClientRow:
    """Find out which client asks: by the header, or by the form."""
    name, secret = fields.get("client_id", ""), fields.get("client_secret")
    scheme, _, encoded = request.headers.get("authorization", "").partition(" ")
    if scheme:
        if scheme.lower() != "basic" or secret is not None:
            raise OAuthError("invalid_request", "a client proves itself in one way")
        try:
            user, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
        except (binascii.Error, ValueError) as exc:
            raise OAuthError("invalid_client", "malformed", status=401) from exc
        name, secret = unquote_plus(user), unquote_plus(password)

    def read(session: Session) -> OAuthClientRow | None:
        row = session.get(OAuthClientRow, name[:40])
        session.expunge_all()
        return row

    return check_secret(await services.database.read(read), secret)


def _pair(issued: Issued) -> dict[str, Any]:
    return {
        "access_token": issued.access_token,
        "token_type": "Bearer",
        "expires_in": issued.expires_s,
        "refresh_token": issued.refresh_token,
        "scope": format_scopes(issued.scopes),
    }


def _read_form(body: bytes) -> dict[str, str]:
    try:
        pairs = parse_qsl(
            body.decode("ascii"), keep_blank_values=True, max_num_fields=_FORM_FIELDS_MAX, errors="strict"
        )
    except ValueError as exc:
        raise OAuthError("invalid_request", "not a form") from exc
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise OAuthError("invalid_request", "a field is there twice")
    return fields


def _refusal(request: Request, exc: OAuthError) -> JSONResponse:
    note_refusal(request.scope, exc.error)
    headers = {"www-authenticate": 'Basic realm="capstan"'} if exc.status == 401 else {}
    return JSONResponse({"error": exc.error, "error_description": exc.description}, exc.status, headers=headers)


def _sent_back(services: Services, asked: Authorize, error: OAuthError) -> RedirectResponse:
    state = {"state": asked.state} if asked.state else {}
    location = with_parameters(
        asked.redirect_uri, error=error.error, error_description=error.description,
        iss=services.auth.settings.url, **state,
    )  # fmt: skip
    return RedirectResponse(location, 303)
