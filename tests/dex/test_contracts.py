"""What our contracts are built with, and where factories put their pools: mainnet's published addresses."""

from __future__ import annotations

import pytest
from eth_abi import decode

from chain import parse_address
from dex.contracts import (
    V2_INIT_CODE_HASH,
    V3_INIT_CODE_HASH,
    ExecutorRoles,
    ExecutorVenues,
    contract_code,
    executor_creation,
    pair_address_v2,
    pool_address_v3,
)
from domain import InputError
from domain.ids import Address

USDC = parse_address("0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48")
WETH = parse_address("0xC02aaA39b223FE8D0A0e5C4F27eAD9083C756Cc2")
V2_FACTORY = parse_address("0x5C69bEe701ef814a2B6a3EDD4B1652CB9cc5aA6f")
V3_FACTORY = parse_address("0x1F98431c8aD98523631AE4a59f267346ea31F984")
NOBODY = Address("0x0000000000000000000000000000000000000000")


def test_derived_pools_are_where_mainnet_has_them() -> None:
    for a, b in ((USDC, WETH), (WETH, USDC)):
        pair = pair_address_v2(V2_FACTORY, a, b, init_code_hash=V2_INIT_CODE_HASH)
        assert pair == "0xB4e16d0168e52d35CaCD2c6185b44281Ec28C9Dc"
        pool = pool_address_v3(V3_FACTORY, a, b, 500, init_code_hash=V3_INIT_CODE_HASH)
        assert pool == "0x88e6A0c2dDD26FEEb64F039a2c41296FcB3f5640"


def test_an_executors_creation_reads_back_as_what_it_was_made_of() -> None:
    owner, operator, pauser, beneficiary, manager = (parse_address("0x" + f"{n:02x}" * 20) for n in range(1, 6))
    venues = ExecutorVenues(weth=WETH, v2_factory=V2_FACTORY, v3_factory=V3_FACTORY, pool_manager=manager)
    creation = executor_creation(ExecutorRoles(owner, operator, beneficiary, pauser), venues)
    code = contract_code("ArbExecutor")
    assert creation.startswith(code)
    kinds = ["address"] * 4 + ["(address,address,bytes32,address,bytes32,address,address,address)"]
    people = [name.lower() for name in (owner, operator, pauser, beneficiary)]
    assert list(decode(kinds, creation[len(code) :])) == [
        *people,
        (
            WETH.lower(),
            V2_FACTORY.lower(),
            V2_INIT_CODE_HASH,
            V3_FACTORY.lower(),
            V3_INIT_CODE_HASH,
            manager.lower(),
            NOBODY,
            NOBODY,
        ),
    ]


@pytest.mark.parametrize("missing", ["owner", "operator", "beneficiary"])
def test_an_executor_without_its_people_is_refused(missing: str) -> None:
    people = {"owner": WETH, "operator": WETH, "beneficiary": WETH, missing: NOBODY}
    with pytest.raises(InputError, match=f"needs its {missing}"):
        executor_creation(ExecutorRoles(**people), ExecutorVenues(weth=WETH))
