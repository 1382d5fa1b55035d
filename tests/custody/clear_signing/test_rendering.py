"""What approvers read: complete, the same everywhere, and refused where there are no exact words."""

from __future__ import annotations

from dataclasses import replace

import pytest
from eth_abi.abi import encode

from chain import keccak256
from chain.keccak import checksum
from custody.calls.permit2 import PERMIT2
from custody.clear_signing import Names, TokenName, render_call, render_document
from domain import Refused
from tests.custody.calls.test_calls import batch, execute, permit_input, safe_call, v2, v3
from tests.custody.calls.test_typed_data import DOCUMENTS
from tests.support.approvers import NAMES, PARTNER, USDC, VAULT, address_of, transfer_data

ROUTER, WETH, SAFE = address_of("router"), address_of("weth"), address_of("safe")
BOOK = replace(
    NAMES,
    tokens={**NAMES.tokens, (1, WETH): TokenName("WETH", 18)},
    addresses={**NAMES.addresses, (0, ROUTER): "Router", (1, SAFE): "Treasury Safe", (0, PERMIT2): "Permit2"},
)


def call(name, types, *values):
    return keccak256(f"{name}({','.join(types)})".encode())[:4] + encode(types, values)


def lines(to, data=b"", *, value_wei=0, names=BOOK, chain_id=1):
    return list(render_call(chain_id=chain_id, sender=VAULT, to=to, value_wei=value_wei, data=data, names=names))


def rule_of(*arguments, **options):
    with pytest.raises(Refused) as refusal:
        lines(*arguments, **options)
    return refusal.value.rule


def test_coins():
    assert lines(PARTNER, value_wei=15 * 10**17) == [
        "Action:        Send coins",
        "Amount:        1.5 ETH",
        f"Recipient:     Partner Ltd ({PARTNER})",
    ]
    assert lines(VAULT)[0] == "Action:        Send nothing (a transfer of 0)"
    assert lines(VAULT)[2] == f"Recipient:     Hot vault ({VAULT}) = the sender itself"


def test_a_stranger_is_warned_of():
    stranger = address_of("stranger")
    assert lines(USDC, transfer_data(stranger, 1))[-1] == f"WARNING: {stranger} is not in the address book"


def test_an_unlimited_allowance_is_said_to_be_so():
    for to, data in (
        (USDC, call("approve", ("address", "uint256"), ROUTER, 2**256 - 1)),
        (PERMIT2, call("approve", ("address", "address", "uint160", "uint48"), USDC, ROUTER, 2**160 - 1, 1_000)),
    ):
        found = lines(to, data)
        assert f"Allowance:     UNLIMITED USDC ({USDC})" in found
        assert found[-1] == "WARNING: the allowance is unlimited: the spender may take everything, at any time"
    assert "up to 0.000005 USDC" in lines(USDC, call("approve", ("address", "uint256"), ROUTER, 5))[2]


def test_a_batch_is_indented_step_by_step():
    data = batch((0, USDC, 0, transfer_data(PARTNER, 5_000_000)), (0, PARTNER, 10**18, b""))
    found = lines(SAFE, safe_call(min(multi_sends()), data, operation=1))
    assert found == [
        "Action:        Let a Safe act",
        f"Contract:      Treasury Safe ({SAFE})",
        f"Safe:          Treasury Safe ({SAFE})",
        "Step 1 of 2:",
        "  Action:        Send tokens",
        f"  Contract:      USDC ({USDC})",
        f"  Amount:        5 USDC [{USDC}]",
        f"  Recipient:     Partner Ltd ({PARTNER})",
        "Step 2 of 2:",
        "  Action:        Send coins",
        f"  Contract:      Partner Ltd ({PARTNER})",
        "  Amount:        1 ETH",
        f"  Recipient:     Partner Ltd ({PARTNER})",
    ]


def multi_sends():
    from custody.calls.safe import MULTI_SENDS

    return MULTI_SENDS


def test_a_router_call_is_shown_swap_by_swap():
    found = lines(ROUTER, execute([0x0A, 0x08, 0x00], permit_input(), v2(), v3()))
    assert "  Receive:       at least 0.000000000000000009 WETH" in "\n".join(found)
    assert "  Pool fee:      0.05 %" in found
    assert f"  Spender:       Router ({ROUTER})" in found
    assert "Valid until:   1970-01-01 01:23:20 UTC" in found


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_document_has_words(name):
    names = replace(BOOK, tokens={**BOOK.tokens, (1, PARTNER): TokenName("PART", 2)})
    found = render_document(signer=VAULT, document=DOCUMENTS[name], names=names)
    assert found[0].startswith("Action:        Sign")
    assert any("0.000005 USDC" in line for line in found)


def test_a_token_nobody_listed_is_unreadable():
    unlisted = address_of("unlisted token")
    assert rule_of(unlisted, transfer_data(PARTNER, 1)) == "unreadable"
    assert rule_of(unlisted, call("approve", ("address", "uint256"), ROUTER, 2**256 - 1)) == "unreadable"
    assert rule_of(USDC, transfer_data(PARTNER, 1), chain_id=10) == "unreadable"


def test_coins_that_a_call_does_not_use_are_refused():
    assert rule_of(USDC, transfer_data(PARTNER, 1), value_wei=1) == "value"


def test_a_date_beyond_the_calendar_is_unreadable():
    data = call("approve", ("address", "address", "uint160", "uint48"), USDC, ROUTER, 5, 2**48 - 1)
    assert rule_of(PERMIT2, data) == "unreadable"


@pytest.mark.parametrize("where", ["recipient", "spender", "contract", "coins"])
def test_a_look_alike_of_a_known_address_is_refused(where):
    twin = checksum(PARTNER[:6] + "0" * 32 + PARTNER[-4:])
    found = {
        "recipient": lambda: rule_of(USDC, transfer_data(twin, 1)),
        "spender": lambda: rule_of(USDC, call("approve", ("address", "uint256"), twin, 5)),
        "contract": lambda: rule_of(twin, call("approve", ("address", "uint256"), ROUTER, 5)),
        "coins": lambda: rule_of(twin, value_wei=1),
    }[where]()
    assert found == "look-alike"


def test_a_look_alike_of_a_token_is_refused():
    twin = checksum(USDC[:6] + "0" * 32 + USDC[-4:])
    assert rule_of(twin, value_wei=1) == "look-alike"


def test_symbols_cannot_pretend():
    evil = Names(tokens={(1, USDC): TokenName("USD\u0421\nRecipient:     Partner Ltd", 6)})
    found = lines(USDC, transfer_data(PARTNER, 1_000_000), names=evil)
    assert found[2] == f"Amount:        1 USD\\u{{0421}}\\u{{000A}}Recipient:     Partner Ltd [{USDC}]"
    assert all(line.isascii() and "\n" not in line for line in found)


def test_rendering_is_deterministic():
    data = execute([0x0A, 0x08, 0x00], permit_input(), v2(), v3())
    assert len({tuple(lines(ROUTER, data)) for _ in range(5)}) == 1
