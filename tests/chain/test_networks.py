"""Networks as data: what is in the files is checked, and what is missing is named."""

from __future__ import annotations

import json
from importlib.resources import files

import pytest
from typer.testing import CliRunner

from chain import parse_address
from chain.devnet import CANONICAL
from chain.networks import Network, network, network_of, networks
from chain.networks.reading import NAMES, parse_network
from cli.main import app
from domain import InputError


def test_the_six_networks_have_their_ids_coins_and_fees_for_layer_1() -> None:
    assert {found.name: (int(found.chain_id), found.coin.symbol, found.l1_fee) for found in networks()} == {
        "ethereum": (1, "ETH", "none"),
        "arbitrum": (42161, "ETH", "arbitrum"),
        "base": (8453, "ETH", "op-stack"),
        "optimism": (10, "ETH", "op-stack"),
        "polygon": (137, "POL", "none"),
        "bsc": (56, "BNB", "none"),
    }


@pytest.mark.parametrize("found", networks(), ids=NAMES)
def test_every_address_is_checked_and_every_network_can_trade(found: Network) -> None:
    for address in [*found.contracts.values(), *(token.address for token in found.tokens.values())]:
        assert parse_address(address) == address
    for name in ("UniswapV2Factory", "UniswapV3Factory", "PoolManager", "UniversalRouter", "Permit2", "Multicall3"):
        assert found.contract(name)
    assert found.wrapped.decimals == 18
    assert found.asset("usdc").symbol == "USDC"
    assert found.finality.final_depth >= found.finality.safe_depth


def test_ethereum_s_addresses_are_the_ones_the_devnet_builds_at() -> None:
    mainnet = network("ethereum")
    shared = set(CANONICAL) & set(mainnet.contracts)
    assert {"UniswapV2Factory", "UniswapV3Factory", "SwapRouter02", "QuoterV2"} <= shared
    assert {name: mainnet.contracts[name] for name in shared} == {name: CANONICAL[name] for name in shared}


def test_a_token_has_other_decimals_on_another_chain() -> None:
    assert network("bsc").asset("USDC").decimals == 18
    assert network("8453").asset("USDC").decimals == 6


def test_a_network_is_found_by_name_or_id_and_an_unknown_one_is_told() -> None:
    assert network("BASE") is network("8453") is network_of(8453)
    assert network_of(1337) is None
    with pytest.raises(InputError, match="no network 'solana'") as told:
        network("solana")
    assert "ethereum" in told.value.hint
    with pytest.raises(InputError, match="lists no token"):
        network("base").asset("DOGE")
    with pytest.raises(InputError, match="has no GasPriceOracle"):
        network("ethereum").contract("GasPriceOracle")


def test_endpoints_come_from_the_environment_and_a_missing_one_is_named() -> None:
    base = network("base")
    assert base.urls({"BASE_RPC_URL": "https://a.example, https://b.example"}) == [
        "https://a.example",
        "https://b.example",
    ]
    with pytest.raises(InputError, match="Base: no node is configured") as told:
        base.urls({})
    assert "BASE_RPC_URL" in told.value.hint
    assert base.private_urls({"BASE_PRIVATE_RPC_URL": "https://c.example"}) == ["https://c.example"]


AAVE_POOL = "0xA238Dd80C259a72e81d7e4664a9801593F98d1c5"
PERMIT2 = "0x000000000022D473030F116dDEE9F6B43aC78BA3"
USDC = "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913"


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        (USDC, USDC.lower(), "not in EIP-55 form"),
        (USDC, USDC[:-1] + "4", "fails its EIP-55 checksum"),
        ("chain_id = 8453", 'chain_id = "8453"', "chain_id"),
        ("chain_id = 8453", "chain_id = 0", "positive"),
        ('l1_fee = "op-stack"', 'l1_fee = "plasma"', "l1_fee"),
        ('l1_fee = "op-stack"', 'l1_fee = "arbitrum"', "NodeInterface"),
        ("safe_depth = 150", "safe_depth = 900", "safe depth"),
        ('wrapped = "WETH"', 'wrapped = "WBTC"', "wrapped coin"),
        ("block_time_s", "block_time", "block_time"),
        ("[coin]", "[coin", "network base"),
        ("decimals = 8 ", "decimals = 80 ", "decimals"),
        (
            "0xA238Dd80C259a72e81d7e4664a9801593F98d1c5",
            "0x000000000022D473030F116dDEE9F6B43aC78BA3",
            "share an address",
        ),
    ],
)
def test_a_damaged_file_is_refused_with_its_reason(old: str, new: str, complaint: str) -> None:
    text = (files("chain.networks") / "base.toml").read_text()
    assert old in text
    with pytest.raises(InputError, match=complaint):
        parse_network("base", text.replace(old, new, 1))


def test_the_command_lists_networks_and_shows_one() -> None:
    run = CliRunner().invoke
    listed = run(app, ["chain", "networks", "--json"])
    assert [entry["name"] for entry in json.loads(listed.stdout)] == list(NAMES)
    shown = json.loads(run(app, ["chain", "networks", "10", "--json"]).stdout)
    assert shown["contracts"]["GasPriceOracle"] == "0x420000000000000000000000000000000000000F"
    people = run(app, ["chain", "networks"])
    assert "op-stack" in people.stdout
    assert "PoolManager" in run(app, ["chain", "networks", "base"]).stdout
