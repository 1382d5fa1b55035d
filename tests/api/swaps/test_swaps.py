"""Swaps over HTTP: shown, confirmed, carried out through custody once, whatever dies in between; and refusals."""

from __future__ import annotations

import json

import pytest
from sqlmodel import select

from api.swaps.quotes import Quoted
from api.swaps.settings import SwapSettings
from api.swaps.tables import SwapRow
from chain.abi import address_word, selector
from chain.devnet import TEST_ADDRESSES
from cli.dex.desk import open_desk
from cli.dex.live_market import LiveMarket
from cli.dex.options import DeskPlace
from cli.dex.service import DexService
from cli.dex.swap_desk import SwapDesk
from custody.transactions.tables import TransactionRow
from dex.execution.contracts import swap_contracts
from domain import VenueUnavailable
from runtime.control import serve_control
from tests.api.callers import Caller, Person
from tests.api.lab import ANYBODY, JSON, Client, api_services, application
from tests.api.swaps.test_quotes import FACTS, anybody

ACCOUNT = TEST_ADDRESSES[5]
ETHER = 10**18
SWAPS = SwapSettings(account=ACCOUNT)
ROUTER = "swap-router-02"


class House:
    """The API, and the process of `capstan dex serve`, over one database and one devnet."""

    def __init__(self, desk, devnet, client, service):
        self.desk, self.devnet, self.client, self.service = desk, devnet, client, service
        self.services = client.app.state.services
        self.swaps = self.another()
        self.keys = 0

    def another(self):
        """A process that was started anew."""
        return SwapDesk(self.desk, self.service, self.services.clock.now_ns)

    async def ask(self, method, path, body=None, key="", headers=None):
        content = b"" if body is None else json.dumps(body).encode()
        self.keys += 1
        given = JSON | {"idempotency-key": key or f"key-{self.keys:08}"} | (headers or {})
        answer = await self.client.full(method, f"/v1{path}", content, headers=given)
        return answer.status, json.loads(answer.body)

    async def quote(self, *ends, **more):
        status, quote = await self.ask("POST", "/quotes", {"token_in": ends[0], "token_out": ends[1], **more})
        assert status == 200, quote
        return quote

    async def swap(self, quote, **more):
        status, swap = await self.ask(
            "POST", "/swaps", {"quote": quote["id"], "deadline_s": 1_500, "dry_run": False, **more}
        )
        assert status == 201, swap
        return swap["id"]

    async def found(self, swap):
        return (await self.ask("GET", f"/swaps/{swap}"))[1]

    def sent(self):
        with self.desk.database.snapshot() as session:
            return {row.intent_id: row.initiator for row in session.exec(select(TransactionRow))}

    async def allowance(self, symbol, spender):
        data = selector("allowance(address,address)") + address_word(ACCOUNT) + address_word(spender)
        token = self.devnet.world.tokens[symbol].address
        return int.from_bytes(await self.desk.client.call(token, data), "big")


@pytest.fixture
async def house(devnet, tmp_path):
    await devnet.fund(ACCOUNT, 0, {"WETH": 10 * ETHER})
    async with open_desk(DeskPlace(rpc_url=devnet.world.rpc_url, data=tmp_path)) as desk:
        with api_services(tmp_path, url=f"sqlite:///{tmp_path / 'capstan.db'}", swaps=SWAPS) as services:
            client = anybody(services)
            market = LiveMarket([devnet.world.rpc_url], devnet.world.chain_id, services.clock.now_ns)
            service = DexService(market, desk.account)
            async with serve_control(tmp_path / "dex.sock", service.handle):
                yield House(desk, devnet, client, service)
            await market.close()


@pytest.mark.anvil
async def test_a_swap_is_shown_then_carried_out_once_and_gives_what_was_quoted(house):
    quote = await house.quote("WETH", "USDC", amount_in=str(ETHER), through=ROUTER)
    status, plan = await house.ask("POST", "/swaps", {"quote": quote["id"]})
    assert (status, plan["account"], plan["is_ready"], plan["through"]) == (200, ACCOUNT, True, ROUTER)
    assert plan["quote"]["amount_out"] == quote["amount_out"]
    assert plan["amount_out_min"] == str(int(quote["amount_out"]) * 9_950 // 10_000)
    assert [step.partition(" ")[0] for step in plan["steps"]] == ["let", "swap"]
    assert house.sent() == {}

    body = {"quote": quote["id"], "dry_run": False, "deadline_s": 1_500}
    status, made = await house.ask("POST", "/swaps", body, key="the-same-key")
    assert (status, made["state"], made["amount_out_min"]) == (201, "requested", plan["amount_out_min"])
    house.services.clock.advance(seconds=200)  # The quote is over by now, what came of it is not.
    assert (await house.ask("POST", "/swaps", body, key="the-same-key"))[1] == made

    await house.swaps.step()
    swap = await house.found(made["id"])
    assert (swap["state"], swap["attempts"], swap["rule"]) == ("mined", 1, "")
    assert (swap["amount_in_settled"], swap["amount_out_settled"]) == (quote["amount_in"], quote["amount_out"])
    assert swap["tx_hash"].startswith("0x")
    assert house.sent()[swap["intent"]] == "usr_anybody"
    assert await house.desk.differences() == {}
    sent = house.sent()
    await house.swaps.step()
    assert house.sent() == sent
    assert (await house.ask("GET", "/swaps?state=mined&limit=1"))[1] == {"data": [swap], "next": None}


@pytest.mark.anvil
async def test_permits_and_exact_outputs_go_too(house):
    for ends, more in (
        (("WETH", "USDC"), {"amount_in": str(ETHER), "through": "universal-router"}),
        (("USDC", "WBTC"), {"amount_out": "100000"}),
    ):
        quote = await house.quote(*ends, **more)
        swap = await house.swap(quote)
        await house.swaps.step()
        found = await house.found(swap)
        assert (found["state"], found["amount_out_settled"]) == ("mined", quote["amount_out"]), found
    assert await house.desk.differences() == {}
    contract = swap_contracts(house.devnet.world.contracts).swap_router
    assert await house.allowance("USDC", contract) == 0


@pytest.mark.anvil
async def test_what_got_worse_than_was_asked_for_is_refused_and_nothing_stays_allowed(house):
    quote = await house.quote("WETH", "USDC", amount_in=str(ETHER), through=ROUTER, max_hops=1)
    swap = await house.swap(quote, slippage_bps=0)
    other = await house.quote("WETH", "USDC", amount_in=str(5 * ETHER), through=ROUTER, max_hops=1)
    first = await house.swap(other)
    # The second one is carried out before the first: it takes what the first was quoted.
    with house.desk.database.transaction() as session:
        row = session.exec(select(SwapRow).where(SwapRow.id == swap)).one()
        row.number = 10_000
        session.add(row)
    await house.swaps.step()
    assert (await house.found(first))["state"] == "mined"
    found = await house.found(swap)
    assert (found["state"], found["rule"], found["tx_hash"]) == ("refused", "pool-moved", "")
    assert await house.allowance("WETH", swap_contracts(house.devnet.world.contracts).swap_router) == 0
    assert await house.desk.differences() == {}


@pytest.mark.anvil
async def test_after_a_death_before_the_swap_it_is_begun_again_and_after_it_only_told(house, monkeypatch):
    execute = type(house.desk).execute

    async def dies_before(self, plan, **more):
        if plan.purpose == "swap":
            raise VenueUnavailable("killed")
        return await execute(self, plan, **more)

    swap = await house.swap(await house.quote("WETH", "USDC", amount_in=str(ETHER), through=ROUTER))
    with monkeypatch.context() as patched:
        patched.setattr(type(house.desk), "execute", dies_before)
        await house.swaps.step()
    assert (await house.found(swap))["state"] == "running"
    await house.another().step()
    found = await house.found(swap)
    assert (found["state"], found["attempts"]) == ("mined", 2)

    async def dies_after(self, plan, **more):
        settled = await execute(self, plan, **more)
        if plan.purpose == "swap":
            raise VenueUnavailable("killed")
        return settled

    swap = await house.swap(await house.quote("WETH", "USDC", amount_in=str(ETHER), through=ROUTER))
    with monkeypatch.context() as patched:
        patched.setattr(type(house.desk), "execute", dies_after)
        await house.swaps.step()
    sent = house.sent()
    await house.another().step()
    found = await house.found(swap)
    assert (found["state"], found["attempts"], found["amount_in_settled"]) == ("mined", 1, str(ETHER))
    assert house.sent() == sent
    assert await house.desk.differences() == {}


@pytest.mark.anvil
async def test_what_could_not_be_sent_in_time_is_not_sent_and_a_dead_attempts_allowance_ends(house, monkeypatch):
    late = await house.swap(await house.quote("WETH", "USDC", amount_in=str(ETHER), through=ROUTER), deadline_s=10)
    begun = await house.swap(await house.quote("WETH", "USDC", amount_in=str(ETHER), through=ROUTER))
    behind = await house.swap(await house.quote("WETH", "USDC", amount_in=str(2 * ETHER), through=ROUTER))
    house.services.clock.advance(seconds=60)
    execute = type(house.desk).execute

    async def dies(self, plan, **more):
        if plan.purpose == "swap":
            raise VenueUnavailable("killed")
        return await execute(self, plan, **more)

    router = swap_contracts(house.devnet.world.contracts).swap_router
    with monkeypatch.context() as patched:
        patched.setattr(type(house.desk), "execute", dies)
        await house.swaps.step()
    found = await house.found(late)
    assert (found["state"], found["rule"], found["attempts"]) == ("refused", "deadline-passed", 0)
    found = await house.found(behind)  # It would take the other one's allowance.
    assert (found["state"], found["attempts"]) == ("requested", 0)
    assert await house.allowance("WETH", router) == ETHER
    house.services.clock.advance(seconds=2_000)
    await house.another().step()
    assert {(await house.found(swap))["rule"] for swap in (begun, behind)} == {"deadline-passed"}
    assert await house.allowance("WETH", router) == 0


async def test_a_person_confirms_what_is_not_small_and_only_the_house_swaps(tmp_path):
    quoted = FACTS | {"amount_in": "500", "amount_out": "900"}
    free = {quoted["token_in"]["address"]: "500"}

    async def answer(request):
        return quoted

    settings = SwapSettings(account=ACCOUNT, without_step_up=free, slippage_bps_max=100)
    with api_services(tmp_path, swaps=settings) as services:
        client = Client(application(services))
        owner = Caller.owner(client, services)
        other = Caller.owner(client, services, slug="other")
        person = await Person.owner(owner).log_in()

        async def ask(who, key, body, **headers):
            content = json.dumps(body).encode()
            if isinstance(who, Person):
                return await who.ask("POST", "/v1/swaps", body, idempotency_key=key, **headers)
            signed = who.headers("POST", "/v1/swaps", content) | {"idempotency-key": key}
            found = await client.full("POST", "/v1/swaps", content, headers=signed | headers)
            return found.status, json.loads(found.body)

        async with serve_control(tmp_path / "dex.sock", answer):
            body = {"token_in": "A", "token_out": "B", "amount_in": "500"}
            status, quote = await owner.ask("POST", "/v1/quotes", body)
            assert status == 200
            swap = {"quote": quote["id"], "dry_run": False}
            assert (await ask(owner, "key-free", swap))[0] == 201

            quoted["amount_in"] = "501"
            _, quote = await owner.ask("POST", "/v1/quotes", body)
            swap = {"quote": quote["id"], "dry_run": False}
            status, said = await ask(owner, "key-large", swap)
            assert (status, said["code"]) == (403, "step_up_required")
            word = await person.step_up("POST", "/v1/swaps", swap)
            status, made = await ask(person, "key-large", swap, step_up=word)
            assert (status, made["state"]) == (201, "requested"), made
            assert (await ask(person, "key-again", swap, step_up=word))[1]["code"] == "invalid_step_up"

            status, said = await ask(owner, "key-wide", swap | {"slippage_bps": 101})
            assert (status, said["rule"]) == (403, "slippage")
            assert (await ask(owner, "key-made-up", swap | {"quote": "qt_" + "A" * 40}))[0] == 404

            _, foreign = await other.ask("POST", "/v1/quotes", body)
            assert (await ask(other, "key-other", {"quote": foreign["id"]}))[1]["code"] == "house_only"
        assert (await owner.ask("GET", f"/v1/swaps/{made['id']}"))[1]["asked_by"] == f"user:{owner.user}"
        assert (await other.ask("GET", f"/v1/swaps/{made['id']}"))[0] == 404
        assert (await other.ask("GET", "/v1/swaps"))[1] == {"data": [], "next": None}
        with services.database.snapshot() as session:
            assert {row.initiator for row in session.exec(select(SwapRow))} == {"owner@acme.example"}


async def test_without_an_account_nothing_is_swapped(tmp_path):
    with api_services(tmp_path) as services:
        client = anybody(services)
        quoted = Quoted(1, "0x" + "a" * 40, "0x" + "b" * 40, "5", "9", False, 3, "auto", 7, 2 * 10**9)
        quote = services.quotes.seal(ANYBODY.organisation, quoted)
        headers = JSON | {"idempotency-key": "key-00000001"}
        for dry_run in (True, False):
            body = json.dumps({"quote": quote, "dry_run": dry_run}).encode()
            _, _, content = await client.ask("POST", "/v1/swaps", body, headers=headers)
            assert json.loads(content)["rule"] == "swaps-off"
