"""The page on which a person logs in and lets a client in. No script, nothing from elsewhere but the logo."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from urllib.parse import urlsplit

from fastapi.responses import HTMLResponse

from api.v1.organisation import Branding


@dataclass(frozen=True, slots=True)
class Asking:
    """A client that asks to be let in."""

    client: str
    branding: Branding
    scopes: Sequence[str]
    redirect: str
    fields: Mapping[str, str]
    """What it sent, to be sent again with the person's answer."""


def consent_page(asking: Asking, *, email: str = "", trouble: str = "", status: int = 200) -> HTMLResponse:
    """Draw the page."""
    looks, nonce = asking.branding, secrets.token_urlsafe(16)
    hidden = "".join(
        f'<input type="hidden" name="{escape(name)}" value="{escape(value)}">' for name, value in asking.fields.items()
    )
    scopes = "".join(f"<li><code>{escape(scope)}</code></li>" for scope in asking.scopes)
    logo = f'<img src="{escape(looks.logo)}" alt="" height="40">' if looks.logo else ""
    alert = f'<p role="alert">{escape(trouble)}</p>' if trouble else ""
    page = f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{escape(looks.name)}</title>
<style nonce="{nonce}">
body {{ font: 16px system-ui, sans-serif; max-width: 26rem; margin: 3rem auto; padding: 0 1rem;
  background: {looks.background}; }}
main {{ background: #fff; color: #1c1c1c; padding: 1.5rem; border-top: 4px solid {looks.primary}; }}
label {{ display: block; margin: .8rem 0; }} input {{ width: 100%; padding: .5rem; box-sizing: border-box; }}
button {{ padding: .6rem 1.2rem; margin-right: .5rem; }} [role=alert] {{ color: #a00000; }}
</style></head><body><main>{logo}<h1>{escape(looks.name)}</h1>
<p><b>{escape(asking.client)}</b> asks to do this for you, and goes back to <b>{escape(_site(asking.redirect))}</b>:</p>
<ul>{scopes}</ul>{alert}
<form method="post" action="/v1/oauth/authorize">{hidden}
<label>E-mail <input type="email" name="email" value="{escape(email)}" autocomplete="username"></label>
<label>Password <input type="password" name="password" autocomplete="current-password"></label>
<label>Code <input name="code" inputmode="numeric" autocomplete="one-time-code"></label>
<button name="decision" value="allow">Allow</button><button name="decision" value="deny">Deny</button>
</form></main></body></html>"""
    parts = urlsplit(asking.redirect)
    # The browser applies form-action to where the form's answer sends it, too.
    back = f"{parts.scheme}://{parts.netloc}" if parts.netloc else f"{parts.scheme}:"
    policy = (
        f"default-src 'none'; style-src 'nonce-{nonce}'; img-src https:; base-uri 'none'; frame-ancestors 'none'; "
        f"form-action 'self' {back}"
    )
    headers = {
        "content-security-policy": policy,
        "x-frame-options": "DENY",
        "referrer-policy": "no-referrer",
        "cache-control": "no-store",
    }
    return HTMLResponse(page, status, headers=headers)


def _site(redirect: str) -> str:
    parts = urlsplit(redirect)
    return parts.netloc or parts.scheme
