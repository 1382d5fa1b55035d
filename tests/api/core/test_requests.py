"""Every answer has its id and its version."""

from __future__ import annotations

import json
import stat

import pytest

from api.core.keys import ServerKey
from api.core.requests import VERSION
from domain import InputError
from tests.api.lab import api_client


@pytest.fixture
def client(tmp_path):
    with api_client(tmp_path) as client:
        yield client


async def test_a_request_id_is_kept_or_made_and_stands_in_problems(client):
    answer = await client.full("GET", "/v1/nothing", headers={"x-request-id": "mine-0001"})
    assert answer.headers["x-request-id"] == "mine-0001"
    assert json.loads(answer.body)["request_id"] == "mine-0001"
    for unusable in ("short", "x" * 65, "new\x00line-0001"):
        made = (await client.full("GET", "/v1/health", headers={"x-request-id": unusable})).headers["x-request-id"]
        assert made != unusable
        assert len(made) == 24


async def test_the_version_is_told_and_an_unknown_one_refused(client):
    assert (await client.full("GET", "/v1/health")).headers["api-version"] == VERSION
    assert (await client.full("GET", "/v1/health", headers={"api-version": VERSION})).status == 200
    refused = await client.full("GET", "/v1/health", headers={"api-version": "1999-01-01"})
    assert (refused.status, json.loads(refused.body)["code"]) == (400, "unsupported_version")


def test_the_servers_key_is_made_once_and_only_its_user_reads_it(tmp_path):
    path = tmp_path / "data" / "api.key"
    key = ServerKey.at(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert ServerKey.at(path).derive("cursors") == key.derive("cursors") != key.derive("tickets")
    assert path.read_text().strip() not in repr(key)
    path.chmod(0o644)
    with pytest.raises(InputError, match="read by others"):
        ServerKey.at(path)
    path.chmod(0o600)
    path.write_text("no key")
    with pytest.raises(InputError, match="64 hex digits"):
        ServerKey.at(path)
