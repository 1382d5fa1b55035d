"""Histories in which the machine has found something wrong, as it found them."""

from __future__ import annotations

from pathlib import Path

import pytest

from chain import ChainClient
from chain.devnet import Devnet
from tests.custody.money.bank import Bank

pytestmark = pytest.mark.anvil


async def test_a_key_addresss_sweep_that_a_reorganisation_takes_back_is_undone_last_leg_first(
    devnet: Devnet, chain_client: ChainClient, tmp_path: Path
) -> None:
    """Undone in the order of booking, the value in flight would have come to less than nothing."""
    bank = await Bank.open(devnet, chain_client, tmp_path)
    await bank.sweep()
    assert await bank.lab.chain_balance(bank.lab.addresses.of_user("bea")[0].address, "ETH") < 10**18
    assert await bank.fork(0, {}, 3)
    await bank.finish()
    await bank.check_end()
    bank.lab.database.dispose()
