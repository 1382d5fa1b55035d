"""`--config`: an installation's own signer process, policy and books carry a swap out."""

from __future__ import annotations

import asyncio
import json

import pytest
from sqlmodel import select

from api.swaps.tables import SwapRow
from api.tables import open_tables
from chain import parse_address
from chain.devnet import TEST_ADDRESSES
from cli.data_dir import DataDir
from cli.demo.installation import VAULT, prepare_keys, settings_toml
from cli.dex.desk import open_desk
from cli.dex.live_market import LiveMarket
from cli.dex.options import DeskPlace
from cli.dex.service import DexService
from cli.dex.swap_desk import SwapDesk
from cli.dex.swap_loop import carry_out_swaps
from cli.settings import load_settings
from cli.wiring import open_ledger
from custody import PolicyGuard
from custody.policy import Policy
from domain import InputError, Refused, VenueUnavailable
from runtime import Secret, SystemClock
from tests.cli.dex.test_swap_command import _run
from wallets import SignerService, SigningJournal, unlock_keystore

pytestmark = pytest.mark.anvil


@pytest.fixture
def house(devnet, tmp_path):
    data = DataDir(tmp_path)
    prepare_keys(data)
    data.address_book.write_bytes(devnet.world.to_json())
    data.settings.write_text(settings_toml(devnet.world, exchange_url="http://127.0.0.1:9"))
    return data


@pytest.fixture
async def signer(house, tmp_path):
    """The installation's signer, as `capstan signer serve` runs it."""
    settings = load_settings(house.settings)
    key = unlock_keystore(house.root / "keystore.json", Secret((house.root / "keystore.password").read_text().strip()))
    journal = SigningJournal(house.root / "signer-journal.db", now_ns=lambda: 1)
    service = SignerService([key], guard=PolicyGuard(Policy(settings.custody.policy)), journal=journal)
    stop, ready = asyncio.Event(), asyncio.Event()
    serving = asyncio.create_task(service.serve(house.root / "signer.sock", stop, ready=ready))
    await ready.wait()
    yield
    stop.set()
    await serving
    journal.close()


async def capstan(capsys, *words):
    code = await asyncio.to_thread(_run, ["dex", *words])
    said = capsys.readouterr()
    return code, said.out.strip().splitlines(), said.err.strip()


async def test_a_swap_goes_through_the_installations_own_custody(devnet, house, signer, capsys):
    await devnet.fund(VAULT, 0, {"WETH": 10 * 10**18})
    words = ("swap", "--config", str(house.settings), "--token-in", "WETH", "--token-out", "USDC")
    # What this policy allows: one swap on one V3 pool.
    words += ("--max-hops", "1", "--through", "swap-router-02", "--deadline-s", "1500")
    code, out, err = await capstan(capsys, *words, "--amount-in", str(10**16), "--send", "--yes", "--json")
    assert code == 0, err
    told = json.loads(out[-1])
    assert (told["status"], told["difference_bps"], told["account"]) == ("mined", 0.0, VAULT)
    code, out, _ = await capstan(capsys, "swaps", "--config", str(house.settings), "--json")
    assert [each["status"] for each in json.loads(out[-1])] == ["mined"]
    async with open_desk(DeskPlace(config=house.settings)) as desk:
        assert await desk.differences() == {}
        # While this process has the account, no other one may.
        code, _, err = await capstan(capsys, *words, "--amount-in", "1000000", "--send", "--yes", "--json")
        assert code == 1
        assert err.startswith("error: ")


async def test_what_the_installations_policy_does_not_allow_stays_refused(devnet, house, signer, capsys):
    await devnet.fund(VAULT, 0, {"WETH": 10 * 10**18})
    words = ("swap", "--config", str(house.settings), "--token-in", "WETH", "--token-out", "USDC")
    # The demo's policy knows no Permit2 and no UniversalRouter.
    more = ("--through", "universal-router", "--amount-in", str(10**16), "--send", "--yes", "--json")
    code, _, err = await capstan(capsys, *words, *more)
    assert code == 1
    assert "spender" in err


async def test_an_installation_says_what_it_misses(house, tmp_path):
    with pytest.raises(VenueUnavailable):  # No signer.
        async with open_desk(DeskPlace(config=house.settings)):
            pass
    text = house.settings.read_text()
    house.settings.write_text(text.replace('mode = "live"', 'mode = "paper"'))
    with pytest.raises(InputError, match="trades on paper"):
        async with open_desk(DeskPlace(config=house.settings)):
            pass
    house.settings.write_text(text.replace(VAULT, "0x00000000000000000000000000000000DeaDBeef"))
    with pytest.raises(Refused, match="not a test account"):
        async with open_desk(DeskPlace(config=house.settings)):
            pass
    assert TEST_ADDRESSES[5] == VAULT


async def test_the_apis_swaps_leave_their_own_account_through_its_signer(devnet, house, signer, monkeypatch):
    await devnet.fund(VAULT, 0, {"WETH": 10 * 10**18})
    text = house.settings.read_text().replace(f'account = "{VAULT}"', f'account = "{TEST_ADDRESSES[6]}"')
    house.settings.write_text(f'{text}\n[swaps]\naccount = "{VAULT}"\n')
    settings, clock = load_settings(house.settings), SystemClock()
    database, _ = open_ledger(settings, house)
    tokens = {name: devnet.world.tokens[name].address for name in ("WETH", "USDC")}
    with open_tables(database).transaction() as session:
        session.add(
            SwapRow(
                id="sw_1", organisation="org", actor="key:1", initiator="ann", state="requested", chain_id=1337,
                token_in=tokens["WETH"], token_out=tokens["USDC"], is_exact_out=False, amount_in=str(10**16),
                amount_out="1", amount_in_max=str(10**16), amount_out_min="1", max_hops=1, through="swap-router-02",
                slippage_bps=50, impact_bps_max=1_000, created_ns=1, deadline_ns=clock.now_ns() + 1_500 * 10**9,
            )
        )  # fmt: skip
    step, stepped = SwapDesk.step, asyncio.Event()

    async def noted(self):
        await step(self)
        stepped.set()

    monkeypatch.setattr(SwapDesk, "step", noted)
    market = LiveMarket(settings.chain.endpoints, settings.chain.chain_id, clock.now_ns)
    service = DexService(market, parse_address(VAULT))
    swapping = asyncio.create_task(carry_out_swaps(house.settings, settings.swaps, service, clock.now_ns))
    async with asyncio.timeout(60):
        await stepped.wait()
    swapping.cancel()
    await asyncio.wait([swapping])
    await market.close()
    with database.snapshot() as session:
        (row,) = session.exec(select(SwapRow))
        assert (row.state, row.reason, row.amount_in_settled) == ("mined", "", str(10**16))
    database.dispose()
