"""`capstan custody contracts`, as a person types it."""

from __future__ import annotations

import json

import pytest

from chain.devnet import TEST_ADDRESSES, Devnet
from tests.cli.test_commands import assert_is_error, capstan

pytestmark = pytest.mark.anvil
DEPLOYER, ADMIN, OPERATOR, GUARDIAN = TEST_ADDRESSES[6:10]


def contracts(devnet: Devnet, *arguments: object):
    return capstan("custody", "contracts", *arguments, "--rpc-url", devnet.world.rpc_url)


async def test_deploy_prints_what_it_would_send_then_sends_it_and_check_agrees(devnet: Devnet) -> None:
    roles = ("--deployer", DEPLOYER, "--admin", ADMIN, "--operator", OPERATOR, "--guardian", GUARDIAN)
    limits = ("--limit", f"{devnet.world.tokens['USDC'].address}=5000000")
    plan = json.loads(contracts(devnet, "deploy", *roles, *limits, "--json").stdout)
    assert [row["name"] for row in plan["creations"]] == ["GuardedVault", "DepositForwarderFactory", "BatchSweeper"]
    async with devnet.client() as client:
        assert await client.code(plan["creations"][0]["address"]) == b""
    sent = json.loads(contracts(devnet, "deploy", *roles, *limits, "--send", "--json").stdout)
    assert list(sent.values()) == [row["address"] for row in plan["creations"]]
    named = [part for key, value in sent.items() for part in (f"--{key}", value)]
    assert json.loads(contracts(devnet, "check", *named, "--json").stdout) == sent
    swapped = ("--vault", ADMIN, *named[2:])
    assert_is_error(contracts(devnet, "check", *swapped), "the factory's vault should be")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--vault", ADMIN, "--admin", ADMIN), "either --vault"),
        (("--admin", ADMIN), "all of --admin"),
        (("--admin", ADMIN, "--operator", OPERATOR, "--guardian", GUARDIAN, "--limit", "x"), "ADDRESS=RAW"),
    ],
)
def test_half_a_vault_is_refused(devnet: Devnet, arguments: tuple[str, ...], words: str) -> None:
    done = contracts(devnet, "deploy", "--deployer", DEPLOYER, *arguments)
    assert done.returncode == 1
    assert words in done.stderr
