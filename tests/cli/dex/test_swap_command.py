"""`capstan dex swap` and `swaps` on a devnet: shown, sent, recorded."""

from __future__ import annotations

import json

import pytest

from chain.devnet import TEST_ADDRESSES
from cli.main import main

pytestmark = pytest.mark.anvil
TRADER = TEST_ADDRESSES[5]
ETHER = 10**18


@pytest.fixture
def capstan(devnet, tmp_path, capsys, run_cli):
    def run(verb, *words):
        where = ["--rpc-url", devnet.world.rpc_url, "--data", str(tmp_path / "desk")]
        # A slow machine must not let a deadline pass.
        where += ["--deadline-s", "1500"] if verb == "swap" else []
        code = run_cli(["dex", verb, *where, *words])
        said = capsys.readouterr()
        return code, said.out.strip(), said.err.strip()

    return run


@pytest.fixture
def run_cli():
    import concurrent.futures

    def run(words):
        # The command has an event loop of its own, the test's fixtures another.
        with concurrent.futures.ThreadPoolExecutor(1) as thread:
            return thread.submit(_run, words).result()

    return run


def _run(words):
    try:
        main(words)
    except SystemExit as left:
        return left.code
    return 0


async def nonce(client):
    return await client.nonce(TRADER)


async def test_a_dry_run_shows_everything_and_sends_nothing(capstan, chain_client):
    words = ("--token-in", "ETH", "--token-out", "USDC", "--amount-in", str(ETHER))
    code, out, _ = capstan("swap", *words, "--json")
    told = json.loads(out.splitlines()[-1])
    assert (code, told["sent"], told["is_ready"]) == (0, False, True)
    assert int(told["amount_out_min"]) == told["quote"]["amount_out"] * 9_950 // 10_000
    assert told["steps"][-1].startswith("swap through universal-router")
    assert await nonce(chain_client) == 0
    code, out, err = capstan("swap", *words)
    assert code == 0
    assert "at least, or nothing happens" in out
    assert "dry run" in err
    assert capstan("swaps")[0] == 1  # Nothing was sent: there are no books.


async def test_swaps_are_sent_through_custody_and_recorded_as_quoted(capstan, chain_client):
    sent = []
    for words in (
        ("--token-in", "ETH", "--token-out", "USDC", "--amount-in", str(10 * ETHER)),
        ("--token-in", "USDC", "--token-out", "WBTC", "--amount-in", str(5_000 * 10**6)),
        ("--token-in", "USDC", "--token-out", "WBTC", "--amount-in", "1000000", "--through", "swap-router-02"),
        ("--token-in", "USDC", "--token-out", "WETH", "--amount-out", str(ETHER)),
        ("--token-in", "USDC", "--token-out", "DAI", "--amount-in", "1000000", "--through", "balancer-vault"),
        ("--token-in", "USDC", "--token-out", "ETH", "--amount-in", "1000000000", "--through", "universal-router"),
    ):
        code, out, err = capstan("swap", *words, "--send", "--yes", "--json")
        assert code == 0, err
        sent.append(json.loads(out.splitlines()[-1]))
    for told in sent:
        assert (told["status"], told["difference_bps"]) == ("mined", 0.0)
        assert told["amount_out_settled"] == told["quote"]["amount_out"]
        assert told["amount_in_settled"] == told["quote"]["amount_in"]
    _, out, _ = capstan("swaps", "--json")
    listed = json.loads(out.splitlines()[-1])
    assert [each["expected"]["intent_id"] for each in listed] == [told["intent_id"] for told in sent]
    assert {each["status"] for each in listed} == {"mined"}
    assert [int(each["amount_out"]) for each in listed] == [told["amount_out_settled"] for told in sent]
    # What an exact output did not need was not left allowed.
    usdc, router = sent[3]["quote"]["token_in"]["address"], sent[3]["contract"]
    from chain.abi import address_word, selector

    data = selector("allowance(address,address)") + address_word(TRADER) + address_word(router)
    assert int.from_bytes(await chain_client.call(usdc, data), "big") == 0
    assert "5000 USDC" in capstan("swaps")[1]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--amount-in", "1000000"), "the account holds 0 raw USDC"),
        (("--amount-in", "1000000", "--through", "bridge"), "--through takes auto"),
        (("--amount-in", "1000000", "--max-impact-bps", "1"), "bps less than the mid price"),
        (("--amount-in", "x"), "--amount-in takes a positive whole number"),
    ],
)
async def test_what_cannot_go_is_one_line_with_a_cause(capstan, words, said):
    code, _, err = capstan("swap", "--token-in", "USDC", "--token-out", "WETH", *words, "--send", "--yes", "--json")
    assert code == 1
    assert err.startswith("error: ")
    assert said in err
    assert len(err.splitlines()) <= 2
