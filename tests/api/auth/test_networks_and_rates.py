"""Where callers come from, how much they may ask, and what was seen before."""

from __future__ import annotations

import os
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio import Redis
from starlette.requests import Request

from api.auth.networks import caller_address, counted_as, is_within, parse_networks
from api.auth.nonces import MemoryNonces, RedisNonces
from api.auth.rates import MemoryRates, RedisRates
from api.core.errors import BadRequest, TooManyRequests, Unauthenticated
from domain import InputError, VenueUnavailable

PROXIES = parse_networks(["10.0.0.0/8", "fd00::/8"])
SECOND_NS = 10**9


def request(peer, *forwarded):
    headers = [(b"x-forwarded-for", line.encode()) for line in forwarded]
    return Request({"type": "http", "client": None if peer is None else (peer, 1), "headers": headers})


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        ("203.0.113.7", [], "203.0.113.7"),
        ("203.0.113.7", ["198.51.100.1"], "203.0.113.7"),  # nobody vouches for the header
        ("10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["6.6.6.6, 198.51.100.1"], "198.51.100.1"),  # what the caller wrote itself means nothing
        ("10.0.0.1", ["6.6.6.6", "198.51.100.1, 10.0.0.2"], "198.51.100.1"),
        ("::ffff:10.0.0.1", ["::ffff:198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["10.0.0.2"], "10.0.0.1"),
        ("fd00::1", ["2001:db8::5"], "2001:db8::5"),
        (None, ["6.6.6.6"], None),
    ],
)
def test_the_callers_address_is_the_last_that_somebody_trusted_wrote(peer, forwarded, expected):
    found = caller_address(request(peer, *forwarded), PROXIES)
    assert found == (None if expected is None else ip_address(expected))


@pytest.mark.parametrize("hop", ["unknown", "", "198.51.100.1:80", "[::1]", "1.2.3"])
def test_a_trusted_proxy_that_writes_no_address_is_not_believed(hop):
    with pytest.raises(BadRequest):
        caller_address(request("10.0.0.1", hop), PROXIES)


@given(st.lists(st.ip_addresses().map(str), max_size=6))
def test_nobody_outside_writes_his_own_address(hops):
    assert caller_address(request("203.0.113.7", *hops), PROXIES) == ip_address("203.0.113.7")


def test_nobodys_address_is_in_no_network():
    assert not is_within(None, parse_networks(["0.0.0.0/0"]))
    assert not is_within(ip_address("::1"), parse_networks(["0.0.0.0/0"]))


def test_a_house_of_ipv6_is_counted_as_one_address():
    here, beside, elsewhere = (ip_address(f"2001:db8:0:{net}::{host}") for net, host in ((1, 1), (1, "ffff"), (2, 1)))
    assert counted_as(here) == counted_as(beside) != counted_as(elsewhere)
    assert counted_as(ip_address("203.0.113.7")) != counted_as(ip_address("203.0.113.8"))
    assert counted_as(None) not in (counted_as(here), counted_as(ip_address("0.0.0.0")))


@pytest.mark.parametrize("text", ["10.0.0.1/8", "10.0.0.0/33", "localhost", "", "1.2.3.4/24 "])
def test_blocks_with_bits_beyond_their_prefix_and_names_are_refused(text):
    with pytest.raises(InputError):
        parse_networks([text])


@pytest.fixture(params=["memory", "redis"])
async def redis(request):
    if request.param == "memory":
        yield None
        return
    url = os.environ.get("CAPSTAN_TEST_REDIS_URL")
    if not url:
        pytest.skip("CAPSTAN_TEST_REDIS_URL is not set")
    client = Redis.from_url(url)
    yield client
    async for name in client.scan_iter("capstan:*:test-auth-*"):
        await client.delete(name)
    await client.aclose()


async def test_a_nonce_is_taken_once_by_each_key(redis):
    nonces = RedisNonces(redis) if redis else MemoryNonces(0)
    key = f"test-auth-{os.getpid()}"
    times = {"made_ms": 1_000, "until_ms": 6_000, "now_ms": 1_000}
    await nonces.take(key, "n" * 16, **times)
    await nonces.take(key + "b", "n" * 16, **times)
    with pytest.raises(Unauthenticated) as caught:
        await nonces.take(key, "n" * 16, **times)
    assert caught.value.code == "replayed_request"


async def test_memory_forgets_what_is_over_and_takes_no_more_than_it_can_keep():
    nonces = MemoryNonces(0, kept_max=3)
    for name in "abc":
        await nonces.take("k", name, made_ms=0, until_ms=5_000, now_ms=0)
    with pytest.raises(TooManyRequests):
        await nonces.take("k", "d", made_ms=0, until_ms=5_000, now_ms=5_000)
    await nonces.take("k", "d", made_ms=5_001, until_ms=9_000, now_ms=5_001)
    await nonces.take("k", "a", made_ms=5_001, until_ms=9_000, now_ms=5_001)


async def test_while_the_shared_store_does_not_answer_nothing_passes():
    nobody = Redis(host="127.0.0.1", port=1, retry=None)
    with pytest.raises(VenueUnavailable):
        await RedisNonces(nobody).take("k", "n", made_ms=0, until_ms=5_000, now_ms=0)
    with pytest.raises(VenueUnavailable):
        await RedisRates(nobody).spend("k", 1, 60, 0)
    await nobody.aclose()


async def test_a_rate_flows_off_evenly(redis):
    rates = RedisRates(redis) if redis else MemoryRates()
    caller, now = f"test-auth-{os.getpid()}-flow", 1_800_000_000 * SECOND_NS
    spent = await rates.spend(caller, 50, 60, now)
    assert (spent.is_allowed, spent.remaining) == (True, 10)
    assert dict(spent.headers()) == {
        b"ratelimit-limit": b"60", b"ratelimit-remaining": b"10", b"ratelimit-reset": b"50",
    }  # fmt: skip
    refused = await rates.spend(caller, 11, 60, now)
    assert (refused.is_allowed, refused.remaining) == (False, 10)
    with pytest.raises(TooManyRequests) as caught:
        refused.check(11)
    assert caught.value.headers["retry-after"] == "1"
    assert (await rates.spend(caller, 11, 60, now + SECOND_NS)).is_allowed
    assert (await rates.spend(caller, 60, 60, now + 61 * SECOND_NS)).is_allowed


@given(st.lists(st.tuples(st.integers(0, 5_000), st.integers(1, 20)), max_size=60))
async def test_nobody_gets_more_than_a_full_minute_and_what_has_flowed_off(steps):
    rates, now, started, allowed = MemoryRates(), 0, 0, 0
    for wait_ms, weight in steps:
        now += wait_ms * 1_000_000
        if (await rates.spend("a", weight, 60, now)).is_allowed:
            allowed += weight
    assert allowed <= 60 + (now - started) // SECOND_NS


async def test_callers_that_were_here_longest_ago_are_forgotten_first():
    rates = MemoryRates(callers_max=2)
    for caller in "abc":
        await rates.spend(caller, 60, 60, 0)
    assert not (await rates.spend("c", 1, 60, 0)).is_allowed
    assert (await rates.spend("a", 1, 60, 0)).is_allowed
