"""What `[chain]` says of private ways: opened when named, and never the same as a public one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from chain import ChainClient
from cli.private_ways import open_ways
from cli.settings import ChainSettings
from domain import InputError

NODE, HIDDEN, RELAY = "http://127.0.0.1:1", "http://127.0.0.1:2", "http://127.0.0.1:3"


def settings(**fields: Any) -> ChainSettings:
    return ChainSettings(chain_id=1337, endpoints=(NODE,), address_book="devnet.json", **fields)


def client() -> ChainClient:
    return ChainClient([NODE], 1337)


async def test_nothing_is_opened_where_nothing_is_named(tmp_path: Path) -> None:
    async with open_ways(settings(), client(), tmp_path) as ways:
        assert ways is None


@pytest.mark.parametrize(
    ("fields", "private", "bundle"),
    [
        ({"private_endpoints": (HIDDEN,)}, True, False),
        ({"private_relays": (RELAY,)}, True, False),
        ({"bundle_relays": (RELAY,)}, False, True),
    ],
)
async def test_what_is_named_is_offered(tmp_path: Path, fields: dict[str, Any], private: bool, bundle: bool) -> None:
    async with open_ways(settings(**fields), client(), tmp_path) as ways:
        assert ways is not None
        assert (ways.offers("private"), ways.offers("bundle"), ways.offers("public")) == (private, bundle, False)
        if not bundle:
            with pytest.raises(InputError, match="nothing is configured"):
                await ways.send("bundle", [(b"\x01", 0)])


async def test_a_relay_identity_is_a_key_and_no_message_shows_it(tmp_path: Path) -> None:
    (tmp_path / "identity").write_text("07" * 32 + "\n")
    named = settings(bundle_relays=(RELAY,), relay_identity="file:identity")
    async with open_ways(named, client(), tmp_path) as ways:
        assert ways is not None
    (tmp_path / "identity").write_text("swordfish\n")
    with pytest.raises(InputError, match="no private key") as told:
        async with open_ways(named, client(), tmp_path):
            pass
    assert "swordfish" not in str(told.value)


def test_an_endpoint_is_public_or_private_and_not_both() -> None:
    for field in ("private_endpoints", "private_relays", "bundle_relays"):
        with pytest.raises(ValidationError, match="not both"):
            settings(**{field: (NODE,)})
