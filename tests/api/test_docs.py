"""The documentation page comes whole from here, and its document is one that tools can read."""

from __future__ import annotations

import json
import re

import pytest

from tests.api.lab import api_client


@pytest.fixture
def client(tmp_path):
    with api_client(tmp_path) as client:
        yield client


async def test_the_page_and_all_it_loads_come_from_here(client):
    page = await client.full("GET", "/docs")
    assert page.status == 200
    assert "script-src 'self'" in page.headers["content-security-policy"]
    loaded = re.findall(r'(?:src|href)="([^"]+)"', page.body.decode())
    assert len(loaded) == 4
    for path in loaded:
        assert path.startswith("/docs/"), "nothing comes from another host"
        asset = await client.full("GET", path)
        assert (asset.status, bool(asset.body)) == (200, True)
    assert b"<script>" not in page.body
    for outside in ("/docs/secrets.txt", "/docs/..%2f__init__.py", "/docs/main.py"):
        assert (await client.full("GET", outside)).status in (404, 422)


async def test_every_operation_has_a_name_of_its_own_a_summary_and_answers(client):
    document = json.loads((await client.full("GET", "/openapi.json")).body)
    assert document["openapi"].startswith("3.1")
    operations = [
        (path, verb, operation) for path, verbs in document["paths"].items() for verb, operation in verbs.items()
    ]
    names = [operation["operationId"] for _, _, operation in operations]
    assert len(set(names)) == len(names) > 60
    for path, verb, operation in operations:
        assert operation.get("summary"), (path, verb)
        assert operation.get("description"), (path, verb)
        assert {"422", "500"} <= set(operation["responses"]), (path, verb)
    assert not [path for path in document["paths"] if path.startswith("/docs")]
