"""Fees for layer 1 equal the chains' own formulas; access lists are used when they pay."""

from __future__ import annotations

import json
import random
import shutil
import subprocess

import pytest
from eth_account.typed_transactions import TypedTransaction

from chain import ChainClient, checksum, keccak256
from chain.codec import function, parameters
from chain.devnet import DEPLOYER, TEST_ADDRESSES, Devnet
from chain.devnet.node import node_modules
from chain.fees import L1Facts, cheaper_access_list, flz_length, read_l1_facts, unsigned_bytes
from chain.fees.l1 import arbitrum_fee_wei, calldata_gas, fjord_size_millionths, operator_fee_wei
from domain import InputError

# op-geth, core/types/rollup_cost_test.go: the transaction of its FastLZ cases and their lengths.
CONTRACT_CALL = bytes.fromhex(
    "02f901550a758302df1483be21b88304743f94f80e51afb613d764fa61751affd3313c190a86bb870151bd62fd12adb8"
    "e41ef24f3f000000000000000000000000000000000000000000000000000000000000006e000000000000000000000000"
    "af88d065e77c8cc2239327c5edb3a432268e5831000000000000000000000000000000000000000000000000000000000003c1e5"
    "00000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000"
    "0000000000000000000000a000000000000000000000000000000000000000000000000000000000000000148c89ed219d02f1a5"
    "be012c689b4f5b731827bebe000000000000000000000000c001a033fd89cb37c31b2cba46b6466e040c61fc9b2a3675a7f5f493"
    "ebd5ad77c497f8a07cdf65680e238392693019b4092f610222e71b7cec06449cb922b93b6a12744e"
)
EMPTY_TX = bytes.fromhex("dd80808094095e7baea6a6c7c4c2dfeb977efac326af552d878080808080")


@pytest.mark.parametrize(
    ("data", "length"),
    [
        (b"", 0),
        (b"\x01" * 1000, 21),
        (b"\x00" * 1000, 21),
        (EMPTY_TX, 31),
        (CONTRACT_CALL, 202),
    ],
)
def test_fastlz_lengths_are_the_published_ones(data: bytes, length: int) -> None:
    assert flz_length(data) == length


def test_fastlz_lengths_equal_solady_s_compressor() -> None:
    node = shutil.which("node")
    try:
        library = node_modules() / "solady/js/solady.js"
    except InputError as exc:
        pytest.skip(f"{exc}. {exc.hint}")
    if node is None or not library.exists():
        pytest.skip("node or solady is missing: run `make install`")
    chance = random.Random(7)
    samples = [CONTRACT_CALL]
    for _ in range(60):
        words = [chance.randbytes(chance.choice([1, 4, 20, 32])) for _ in range(chance.randint(1, 6))]
        size = chance.choice([5, 13, 40, 300, 2_000, 20_000])
        samples.append(b"".join(chance.choice([*words, bytes(12), bytes(32)]) for _ in range(size // 8))[:size])
    script = (
        f"const {{LibZip}} = require({json.dumps(str(library))});"
        "const data = JSON.parse(require('fs').readFileSync(0));"
        "console.log(JSON.stringify(data.map(d => (LibZip.flzCompress(d).length - 2) / 2)))"
    )
    given = json.dumps(["0x" + sample.hex() for sample in samples])
    answer = subprocess.run([node, "-e", script], input=given, capture_output=True, text=True, timeout=60, check=True)
    assert [flz_length(sample) for sample in samples] == json.loads(answer.stdout)


def test_fees_equal_op_geth_s_cases() -> None:
    # op-geth's constants: 1 gwei and 10 Mwei, scalars 2 and 3; Fjord's fee of its empty transaction is 3,203,000.
    terms = {"l1_base_fee_wei": 10**9, "blob_base_fee_wei": 10**7, "base_scalar": 2, "blob_scalar": 3}
    scaled = 2 * 16 * 10**9 + 3 * 10**7
    assert fjord_size_millionths(31) == 100 * 10**6
    assert fjord_size_millionths(31) * scaled // 10**12 == 3_203_000
    assert fjord_size_millionths(202) == -42_585_600 + 836_500 * 202
    unsigned = b"\x01" * 10 + bytes(5)
    assert calldata_gas(unsigned) == 10 * 16 + 5 * 4 + 68 * 16
    ecotone = L1Facts("op-stack", **terms)
    assert ecotone.fee_wei(unsigned) == calldata_gas(unsigned) * scaled // (16 * 10**6)
    fjord = L1Facts("op-stack", **terms, is_fjord=True)
    assert fjord.fee_wei(CONTRACT_CALL) == (-42_585_600 + 836_500 * 270) * scaled // 10**12
    assert fjord.fee_wei(b"") == 3_203_000
    assert L1Facts("none").fee_wei(CONTRACT_CALL) == L1Facts("none").byte_wei == 0
    assert fjord.byte_wei == 836_500 * scaled // 10**12
    assert ecotone.byte_wei == scaled // 10**6


def test_unsigned_bytes_equal_eth_account_s() -> None:
    slots = (b"\x01" * 32, bytes(31) + b"\x02")
    theirs = TypedTransaction.from_dict(
        {
            "type": 2,
            "chainId": 8453,
            "nonce": 0,
            "maxPriorityFeePerGas": 5,
            "maxFeePerGas": 10**10,
            "gas": 210_000,
            "to": TEST_ADDRESSES[1],
            "value": 0,
            "data": "0x" + "ab" * 300,
            "accessList": [{"address": TEST_ADDRESSES[2], "storageKeys": ["0x" + slot.hex() for slot in slots]}],
        }
    )
    ours = unsigned_bytes(
        chain_id=8453,
        nonce=0,
        priority_wei=5,
        max_fee_wei=10**10,
        gas_limit=210_000,
        to=TEST_ADDRESSES[1],
        value_wei=0,
        data=b"\xab" * 300,
        access_list=((checksum(TEST_ADDRESSES[2]), slots),),
    )
    assert keccak256(ours) == bytes(theirs.hash())
    with pytest.raises(InputError):
        unsigned_bytes(chain_id=1, nonce=-1, priority_wei=0, max_fee_wei=0, gas_limit=0, to=None, value_wei=0, data=b"")


# --- asked of contracts


def answering(answers: dict[str, bytes]) -> str:
    """Write a contract that gives a fixed answer to each function and reverts to any other."""
    code = b"\x5f\x35\x60\xe0\x1c"  # PUSH0 CALLDATALOAD PUSH1 224 SHR
    bodies: list[bytes] = []
    head = len(code) + 11 * len(answers) + 3
    at = head
    for text, answer in answers.items():
        body = b"\x5b"
        for number in range(0, len(answer), 32):
            body += b"\x7f" + answer[number : number + 32] + b"\x61" + number.to_bytes(2, "big") + b"\x52"
        body += b"\x61" + len(answer).to_bytes(2, "big") + b"\x5f\xf3"
        code += b"\x80\x63" + function(text).selector + b"\x14\x61" + at.to_bytes(2, "big") + b"\x57"
        bodies.append(body)
        at += len(body)
    code += b"\x5f\x5f\xfd"
    assert len(code) == head
    return "0x" + (code + b"".join(bodies)).hex()


def number(value: int) -> bytes:
    return parameters("uint256").encode(value)


TERMS = {
    "isFjord()": number(1),
    "l1BaseFee()": number(10**9),
    "blobBaseFee()": number(10**7),
    "baseFeeScalar()": number(2),
    "blobBaseFeeScalar()": number(3),
}


@pytest.mark.anvil
async def test_an_op_stack_chain_s_terms_are_read_from_its_oracle(devnet: Devnet, chain_client: ChainClient) -> None:
    oracle = checksum("0x420000000000000000000000000000000000000f")

    async def deploy(answers: dict[str, bytes]) -> None:
        await chain_client.rpc.request("anvil_setCode", oracle, answering(answers))

    with pytest.raises(InputError, match="before Ecotone"):
        await read_l1_facts(chain_client, "op-stack")
    await deploy(TERMS)
    facts = await read_l1_facts(chain_client, "op-stack")
    assert facts == L1Facts("op-stack", 10**9, 10**7, 2, 3, is_fjord=True)
    assert await operator_fee_wei(chain_client, 100_000) == 0
    await deploy({**TERMS, "getOperatorFee(uint256)": number(77)})
    assert await operator_fee_wei(chain_client, 100_000) == 77
    ecotone = {**TERMS, "isFjord()": number(0), "isEcotone()": number(1)}
    await deploy(ecotone)
    assert not (await read_l1_facts(chain_client, "op-stack")).is_fjord
    del ecotone["baseFeeScalar()"]
    await deploy(ecotone)
    with pytest.raises(InputError, match="does not answer baseFeeScalar"):
        await read_l1_facts(chain_client, "op-stack")
    assert await read_l1_facts(chain_client, "none") == L1Facts("none")


@pytest.mark.anvil
async def test_arbitrum_s_price_of_a_byte_is_asked_of_its_node(devnet: Devnet, chain_client: ChainClient) -> None:
    interface = checksum("0x00000000000000000000000000000000000000c8")
    estimate = parameters("uint64,uint256,uint256").encode(51_000, 10**8, 10**9)
    code = answering({"gasEstimateL1Component(address,bool,bytes)": estimate})
    await chain_client.rpc.request("anvil_setCode", interface, code)
    facts = await read_l1_facts(chain_client, "arbitrum")
    assert facts.byte_wei == 51_000 * 10**8 // 1020
    assert facts.fee_wei(bytes(100)) == 168 * facts.byte_wei
    assert await arbitrum_fee_wei(chain_client, TEST_ADDRESSES[0], b"\x01") == 51_000 * 10**8


@pytest.mark.anvil
async def test_an_access_list_is_used_when_it_pays(devnet: Devnet, chain_client: ChainClient) -> None:
    usdc, weth = (devnet.world.tokens[symbol].address for symbol in ("USDC", "WETH"))
    router = devnet.world.contracts["UniswapV2Router02"]
    approve = function("approve(address,uint256)")
    mint = function("mint(address,uint256)")
    for data in (mint.encode(DEPLOYER, 10**12), approve.encode(router, 10**12)):
        request = {"from": DEPLOYER, "to": usdc, "data": "0x" + data.hex(), "gas": hex(200_000)}
        await chain_client.wait_receipt(await chain_client.rpc.request("eth_sendTransaction", request))
    swap = function("swapExactTokensForTokens(uint256,uint256,address[],address,uint256)")
    data = swap.encode(10**9, 1, [usdc, weth], DEPLOYER, 2**40)
    found = await cheaper_access_list(chain_client, DEPLOYER, router, data)
    assert found.access_list
    assert found.saved > 0
    assert router not in [address for address, _ in found.access_list]
    # A plain transfer touches too little: the list would cost more than it saves.
    transfer = function("transfer(address,uint256)").encode(TEST_ADDRESSES[1], 1)
    plain = await cheaper_access_list(chain_client, DEPLOYER, usdc, transfer)
    assert plain.access_list == ()
    assert plain.saved == 0
