"""The documentation page: Swagger UI over the OpenAPI document, all of it served from here."""

from __future__ import annotations

from enum import StrEnum
from importlib.resources import files

from fastapi import APIRouter
from fastapi.responses import HTMLResponse, Response

from api.auth.principal import public

router = APIRouter(dependencies=[public()], include_in_schema=False)

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Capstan API</title>
<link rel="icon" href="/docs/favicon-32x32.png">
<link rel="stylesheet" href="/docs/swagger-ui.css">
</head>
<body>
<div id="ui"></div>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>
</body>
</html>
"""
_START = """SwaggerUIBundle({
  url: "/openapi.json", dom_id: "#ui", deepLinking: true, displayRequestDuration: true, docExpansion: "none",
  validatorUrl: null
});
"""
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
_HEADERS = {"content-security-policy": _POLICY}
_KEPT = {"cache-control": "public, max-age=86400"}


class Asset(StrEnum):
    """A file of Swagger UI's."""

    BUNDLE = "swagger-ui-bundle.js"
    STYLE = "swagger-ui.css"
    ICON = "favicon-32x32.png"


_TYPES = {Asset.BUNDLE: "text/javascript", Asset.STYLE: "text/css", Asset.ICON: "image/png"}


@router.get("/docs", response_class=HTMLResponse)
async def docs_page() -> HTMLResponse:
    """Every route, with its schemas and examples, to read and to try."""
    return HTMLResponse(_PAGE, headers=_HEADERS)


@router.get("/docs/start.js")
async def docs_start() -> Response:
    """What starts the page: no script stands in it."""
    return Response(_START, media_type="text/javascript", headers=_KEPT)


@router.get("/docs/{asset}")
def docs_asset(asset: Asset) -> Response:
    """A file of the page."""
    content = files("fastapi_swagger").joinpath("resources", asset.value).read_bytes()
    return Response(content, media_type=_TYPES[asset], headers=_KEPT)
