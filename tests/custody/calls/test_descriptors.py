"""ERC-7730: operators add words for further methods. The transactions here are published test vectors:

LedgerHQ/clear-signing-erc7730-registry, registry/aave/tests/calldata-lpv3.tests.json (raw transactions on mainnet and
the texts a device shows for them). The descriptor is our own, with the ABI inside.
"""

from __future__ import annotations

import copy

import pytest
from eth_abi.abi import encode

from chain import keccak256
from chain.keccak import checksum
from custody.calls import decode_call, load_descriptors
from custody.clear_signing import ChainName, Names, TokenName, render_call
from domain import InputError, Refused
from tests.support.approvers import PARTNER, USDC, VAULT, address_of

POOL = checksum("0x87870bca3f3fd6335c3f4ce8392d69350b4fa4e2")
WBTC = checksum("0x2260fac5e5542a773aa44fbcfedf7c193bc2c599")
DEBTOR = {"path": "onBehalfOf", "label": "Debtor", "format": "addressName"}
RATE = {
    "path": "#.interestRateMode",
    "label": "Rate",
    "format": "enum",
    "params": {"$ref": "$.metadata.enums.rate"},
}


def amount(label, **params):
    return {"path": "amount", "label": label, "format": "tokenAmount", "params": {"tokenPath": "asset"} | params}


DESCRIPTOR = {
    "context": {"contract": {"deployments": [{"chainId": 1, "address": POOL}], "abi": []}},
    "metadata": {"enums": {"rate": {"1": "stable", "2": "variable"}}, "constants": {"max": "0x" + "ff" * 32}},
    "display": {
        "formats": {
            "repay(address asset, uint256 amount, uint256 interestRateMode, address onBehalfOf)": {
                "intent": "Repay loan",
                "fields": [
                    amount("Repay", threshold="$.metadata.constants.max", message="All"),
                    RATE,
                    DEBTOR,
                ],
            },
            "setUserUseReserveAsCollateral(address asset, bool useAsCollateral)": {
                "intent": "Manage collateral",
                "fields": [
                    {"path": "asset", "label": "Asset", "format": "addressName"},
                    {"path": "useAsCollateral", "label": "Use as collateral"},
                ],
            },
            "borrow(address asset,uint256 amount,uint256 interestRateMode,uint16 referralCode,address onBehalfOf)": {
                "intent": "Borrow",
                "fields": [amount("Borrow"), RATE, DEBTOR],
                "excluded": ["referralCode"],
            },
        }
    },
}
NAMES = Names(
    chains={1: ChainName("Ethereum")},
    tokens={(1, USDC): TokenName("USDC", 6), (1, WBTC): TokenName("WBTC", 8)},
    descriptors=load_descriptors([DESCRIPTOR]),
)
PUBLISHED = {
    "Repay loan": (
        "0x02f8ae0181d8840f529242843c10015e830493e09487870bca3f3fd6335c3f4ce8392d69350b4fa4e280b884573ade81000000000000"
        "000000000000a0b86991c6218b36c1d19d4a2e9eb0ce3606eb48000000000000000000000000000000000000000000000000000000003b"
        "6d034000000000000000000000000000000000000000000000000000000000000000020000000000000000000000002c62c80ad86785dd"
        "3bfc7b616400a98e1903b672c0",
        ["997 USDC", "variable", "0x2c62C80aD86785DD3bfC7B616400A98E1903b672"],
    ),
    "Manage collateral": (
        "0x02f86d0120848f0d180084b96e17c0830200a39487870bca3f3fd6335c3f4ce8392d69350b4fa4e280b8445a3b74b900000000000000"
        "00000000009bf45ab47747f4b4dd09b3c2c73953484b4eb375000000000000000000000000000000000000000000000000000000000000"
        "0001c0",
        ["0x9Bf45ab47747F4B4dD09B3C2c73953484b4eB375", "true"],
    ),
    "Borrow": (
        "0x02f8cf01821750841dcd650084486b6dc08306f1139487870bca3f3fd6335c3f4ce8392d69350b4fa4e280b8a4a415bcad0000000000"
        "000000000000002260fac5e5542a773aa44fbcfedf7c193bc2c59900000000000000000000000000000000000000000000000000000000"
        "01d63b32000000000000000000000000000000000000000000000000000000000000000200000000000000000000000000000000000000"
        "0000000000000000000000000000000000000000000000000081ec2081dfb42c5291c55e6123d527eb744a5ffbc0",
        ["0.30817074 WBTC", "variable", "0x81EC2081dfb42C5291C55e6123D527EB744a5fFB"],
    ),
}


def read_unsigned(raw):
    """Field by field, from the unsigned type 2 envelope."""
    from wallets import rlp

    fields = rlp.decode(bytes.fromhex(raw[4:]))
    return checksum("0x" + fields[5].hex()), bytes(fields[7])


@pytest.mark.parametrize("intent", PUBLISHED)
def test_published_transactions_show_the_published_texts(intent):
    raw, texts = PUBLISHED[intent]
    to, data = read_unsigned(raw)
    shown = "\n".join(render_call(chain_id=1, sender=VAULT, to=to, value_wei=0, data=data, names=NAMES))
    assert f"Action:        {intent}\n" in shown
    for text in texts:
        assert text in shown


def test_what_a_descriptor_leaves_out_is_shown_all_the_same():
    to, data = read_unsigned(PUBLISHED["Borrow"][0])
    assert "Also referralCode: 0" in render_call(chain_id=1, sender=VAULT, to=to, value_wei=0, data=data, names=NAMES)


def test_a_descriptor_grants_words_and_no_permission():
    to, data = read_unsigned(PUBLISHED["Borrow"][0])
    found = decode_call(VAULT, to, data, chain_id=1, descriptors=NAMES.descriptors)
    assert found.is_described
    assert found.method == "described:borrow"
    assert not found.spends
    assert found.warnings


def test_a_descriptor_is_bound_to_its_contract_and_chain():
    to, data = read_unsigned(PUBLISHED["Borrow"][0])
    for where in ({"to": PARTNER, "chain_id": 1}, {"to": to, "chain_id": 10}):
        with pytest.raises(Refused, match="not known"):
            decode_call(VAULT, where["to"], data, chain_id=where["chain_id"], descriptors=NAMES.descriptors)


def test_dirty_calldata_is_refused_here_too():
    to, data = read_unsigned(PUBLISHED["Borrow"][0])
    with pytest.raises(Refused, match="not canonical"):
        decode_call(VAULT, to, data + b"\0", chain_id=1, descriptors=NAMES.descriptors)


def test_a_known_method_is_never_read_by_a_descriptor():
    lie = {"path": "#.spender", "label": "Nothing to see", "format": "addressName"}
    descriptor = describe("approve(address spender, uint256 raw)", [lie], address=USDC)
    data = keccak256(b"approve(address,uint256)")[:4] + encode(("address", "uint256"), (PARTNER, 5))
    found = decode_call(VAULT, USDC, data, chain_id=1, descriptors=load_descriptors([descriptor]))
    assert dict(found.approves) == {USDC: 5}


def describe(signature, fields, *, address=POOL, abi=(), **metadata):
    return {
        "context": {"contract": {"deployments": [{"chainId": 1, "address": address}], "abi": list(abi)}},
        "metadata": metadata,
        "display": {"formats": {signature: {"intent": "Do it", "fields": fields}}},
    }


def test_every_format():
    signature = (
        "all(uint256 raw, uint256 wei, uint256 until, uint256 long, uint256 bps, address token, int64 low, bytes4 tag,"
        " string memo, (address to, uint256 raw)[] parts)"
    )
    fields = [
        {"path": "raw", "label": "Raw"},
        {"path": "wei", "label": "Coins", "format": "amount"},
        {"path": "until", "label": "Until", "format": "date", "params": {"encoding": "timestamp"}},
        {"path": "long", "label": "For", "format": "duration"},
        {"path": "bps", "label": "Share", "format": "unit", "params": {"base": "%", "decimals": 2}},
        {"path": "token", "label": "Token", "format": "tokenTicker"},
        {"path": "parts.[].raw", "label": "Part", "format": "tokenAmount", "params": {"token": USDC}},
        {"path": "parts[0].to", "label": "First", "format": "addressName"},
        {"path": "@.value", "label": "Sent along", "format": "amount"},
    ]
    names = Names(NAMES.chains, NAMES.tokens, {}, load_descriptors([describe(signature, fields)]))
    types = ("uint256", "uint256", "uint256", "uint256", "uint256", "address", "int64", "bytes4", "string")
    types += ("(address,uint256)[]",)
    selector = keccak256(f"all({','.join(types)})".encode())[:4]
    other = address_of("other")
    values = (7, 10**18, 0, 90_061, 1_250, USDC, -3, b"tag!", "a\u202eb\n", [(PARTNER, 1_500_000), (other, 2)])
    shown = render_call(
        chain_id=1, sender=VAULT, to=POOL, value_wei=5 * 10**17, data=selector + encode(types, values), names=names
    )
    assert [line for line in shown if not line.startswith(("WARNING", "Action", "Contract"))] == [
        "Raw:           7",
        "Coins:         1 ETH",
        "Until:         1970-01-01 00:00:00 UTC",
        "For:           1 d 1 h 1 min 1 s",
        "Share:         12.5 %",
        f"Token:         USDC ({USDC})",
        f"Part:          1.5 USDC [{USDC}]",
        f"Part:          0.000002 USDC [{USDC}]",
        f"First:         {PARTNER}",
        "Sent along:    0.5 ETH",
        "Also low:      -3",
        "Also tag:      0x74616721",
        'Also memo:     "a\\u{202E}b\\u{000A}"',
        f"Also parts.[].to: {PARTNER}",
        f"Also parts.[].to: {other}",
    ]


def test_names_may_come_from_the_abi_inside():
    abi = [{"type": "function", "name": "go", "inputs": [{"name": "far", "type": "uint256"}], "outputs": []}]
    assert load_descriptors([describe("go(uint256)", [{"path": "far", "label": "Far"}], abi=abi)])
    with pytest.raises(InputError, match="not in the descriptor's ABI"):
        load_descriptors([describe("stay(uint256 far)", [{"path": "far", "label": "Far"}], abi=abi)])


@pytest.mark.parametrize(
    ("signature", "field"),
    [
        ("go(uint256)", {"path": "far", "label": "Far"}),  # no names anywhere
        ("go(uint256 far)", {"path": "near", "label": "Near"}),
        ("go(uint256 far)", {"path": "far", "label": "Far", "format": "calldata"}),
        ("go(uint256 far)", {"path": "far", "label": "Far", "format": "tokenAmount"}),
        ("go(uint256 far)", {"path": "far", "label": "Far", "format": "enum"}),
        ("go(uint256 far)", {"path": "far", "label": "Far", "format": "date", "params": {"encoding": "blockheight"}}),
        ("go(uint256 far)", {"path": "far", "label": "Far", "format": "unit"}),
        ("go(uint256 far)", {"path": "far", "label": "Far", "params": {"x": "$.metadata.nowhere"}}),
        ("go(uint256 far)", {"path": "far"}),
        ("go(uint256 far)", {"fields": []}),
        ("go(bytes far)", {"path": "far.[0:4]", "label": "Far"}),
        ("go(uint far)", {"path": "far", "label": "Far", "format": "raw", "params": []}),
        ("go uint256 far", {"path": "far", "label": "Far"}),
        ("go((uint256 far)", {"path": "far", "label": "Far"}),
    ],
)
def test_descriptors_that_cannot_be_read_completely_are_refused(signature, field):
    with pytest.raises(InputError):
        load_descriptors([describe(signature, [field])])


def test_a_link_in_place_of_the_abi_is_refused():
    linked = copy.deepcopy(DESCRIPTOR)
    linked["context"]["contract"]["abi"] = "https://example.org/abi"
    with pytest.raises(InputError, match="inside the descriptor"):
        load_descriptors([linked])


def test_a_method_is_described_once():
    with pytest.raises(InputError, match="twice"):
        load_descriptors([DESCRIPTOR, DESCRIPTOR])


def test_a_value_without_a_name_is_unreadable():
    to, data = read_unsigned(PUBLISHED["Borrow"][0])
    stable_at = 4 + 32 * 3 - 1
    changed = data[:stable_at] + b"\x09" + data[stable_at + 1 :]
    with pytest.raises(Refused) as refusal:
        render_call(chain_id=1, sender=VAULT, to=to, value_wei=0, data=changed, names=NAMES)
    assert refusal.value.rule == "unreadable"
