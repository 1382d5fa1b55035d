"""Sign-In with Ethereum: the examples of EIP-4361, every letter of a message, and accounts of both kinds."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from eth_account import Account
from eth_account.messages import encode_defunct, encode_typed_data
from hypothesis import given, settings
from hypothesis import strategies as st

from api.auth.account_signatures import has_signed, is_key_of
from api.auth.settings import ApiSettings
from api.auth.siwe import SignInMessage, instant_of
from chain.codec import function, parameters
from chain.keccak import checksum
from chain.paths import safe as safes
from domain import InputError
from tests.api.callers import Caller, Person

# The three examples of the EIP's text.
EXAMPLES = [
    """example.com wants you to sign in with your Ethereum account:
0xC02aaA39b223FE8D0A0e5C4F27eAD9083C756Cc2

I accept the ExampleOrg Terms of Service: https://example.com/tos

URI: https://example.com/login
Version: 1
Chain ID: 1
Nonce: 32891756
Issued At: 2021-09-30T16:25:24Z
Resources:
- ipfs://bafybeiemxf5abjwjbikoz4mc3a3dla6ual3jsgpdr4cjr3oz3evfyavhwq/
- https://example.com/my-web2-claim.json""",
    """example.com:3388 wants you to sign in with your Ethereum account:
0xC02aaA39b223FE8D0A0e5C4F27eAD9083C756Cc2

I accept the ExampleOrg Terms of Service: https://example.com/tos

URI: https://example.com/login
Version: 1
Chain ID: 1
Nonce: 32891756
Issued At: 2021-09-30T16:25:24Z
Resources:
- ipfs://bafybeiemxf5abjwjbikoz4mc3a3dla6ual3jsgpdr4cjr3oz3evfyavhwq/
- https://example.com/my-web2-claim.json""",
    """https://example.com wants you to sign in with your Ethereum account:
0xC02aaA39b223FE8D0A0e5C4F27eAD9083C756Cc2

I accept the ExampleOrg Terms of Service: https://example.com/tos

URI: https://example.com/login
Version: 1
Chain ID: 1
Nonce: 32891756
Issued At: 2021-09-30T16:25:24Z
Resources:
- ipfs://bafybeiemxf5abjwjbikoz4mc3a3dla6ual3jsgpdr4cjr3oz3evfyavhwq/
- https://example.com/my-web2-claim.json""",
]
KEY = Account.from_key(b"\x31" * 32)
ISSUED = "2027-01-15T08:00:00Z"
NOW = datetime(2027, 1, 15, 8, 0, 5, tzinfo=UTC)
PLAIN = SignInMessage("localhost:8460", KEY.address, "http://localhost:8460", 1, "abcdefgh", ISSUED)
ORIGINS = ("http://localhost:8460", "https://desk.example.com")


@pytest.mark.parametrize("text", EXAMPLES)
def test_the_examples_of_the_eip_are_read_and_written_to_the_letter(text):
    message = SignInMessage.parse(text)
    assert message.format() == text
    assert message.chain_id == 1
    assert message.nonce == "32891756"
    assert message.resources is not None
    assert message.resources[1] == "https://example.com/my-web2-claim.json"


def test_the_digest_is_what_wallets_sign():
    text = EXAMPLES[0]
    signed = KEY.sign_message(encode_defunct(text=text))
    assert signed.message_hash == SignInMessage.parse(text).digest()


URI = st.from_regex(r"https://[a-z]{1,8}\.example(/[A-Za-z0-9._~%-]{0,8}){0,3}", fullmatch=True)
TIMES = st.integers(0, 4 * 10**15).map(
    lambda us: (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=us)).isoformat().replace("+00:00", "Z")
)
MESSAGES = st.builds(
    SignInMessage,
    domain=st.from_regex(r"[a-z]{1,8}\.example(:[0-9]{2,5})?", fullmatch=True),
    address=st.binary(min_size=20, max_size=20).map(lambda raw: checksum("0x" + raw.hex())),
    uri=URI,
    chain_id=st.integers(1, 10**18),
    nonce=st.from_regex(r"[A-Za-z0-9]{8,40}", fullmatch=True),
    issued_at=TIMES,
    scheme=st.sampled_from([None, "https", "http"]),
    statement=st.none() | st.from_regex(r"[A-Za-z0-9 .,:/!?()-]{1,60}", fullmatch=True),
    expiration_time=st.none() | TIMES,
    not_before=st.none() | TIMES,
    request_id=st.none() | st.from_regex(r"[A-Za-z0-9-]{0,12}", fullmatch=True),
    resources=st.none() | st.lists(URI, max_size=3).map(tuple),
)


@settings(max_examples=40)
@given(MESSAGES)
def test_a_message_reads_as_it_was_written(message):
    assert SignInMessage.parse(message.format()) == message


@settings(max_examples=60)
@given(MESSAGES, st.data())
def test_a_text_that_was_changed_is_no_message_or_another_one(message, data):
    text = message.format()
    at = data.draw(st.integers(0, len(text) - 1))
    letter = data.draw(st.sampled_from(["\n", "\r", "\t", " ", "\0", "a", "A", "0", ":", "é", "\u202e", ""]))
    changed = text[:at] + letter + text[at + 1 :]
    try:
        found = SignInMessage.parse(changed)
    except InputError:
        return
    assert found.format() == changed
    assert (found == message) == (changed == text)


@given(st.text(max_size=300))
def test_what_is_no_message_is_refused(text):
    with pytest.raises(InputError):
        SignInMessage.parse(text)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Version: 1", "Version: 2"), ("Nonce: abcdefgh", "Nonce: short"), ("Chain ID: 1", "Chain ID: 0"),
        ("Chain ID: 1", "Chain ID: 01"), ("\n\n\n", "\n\n"), (ISSUED, "2027-13-15T08:00:00Z"),
        (ISSUED, "2027-01-15T08:00:00"), (ISSUED, "2027-01-15 08:00:00Z"), (ISSUED, ISSUED + "\n"),
        (KEY.address, KEY.address.lower()), (KEY.address, KEY.address.upper().replace("X", "x")),
        (" wants you", "\nevil.example wants you"),
    ],
)  # fmt: skip
def test_one_wrong_letter_is_enough(old, new):
    text = PLAIN.format()
    assert old in text
    with pytest.raises(InputError):
        SignInMessage.parse(text.replace(old, new))


@pytest.mark.parametrize(
    "change",
    [
        {"domain": "evil.example"}, {"domain": "localhost"}, {"scheme": "https"}, {"uri": "https://evil.example"},
        {"uri": "https://desk.example.com"}, {"issued_at": "2027-01-15T07:49:00Z"},
        {"issued_at": "2027-01-15T08:02:00Z"}, {"expiration_time": "2027-01-15T08:00:05Z"},
        {"not_before": "2027-01-15T08:00:06Z"},
    ],
)  # fmt: skip
def test_for_another_site_or_another_time_is_refused(change):
    PLAIN.check(origins=ORIGINS, now=NOW)
    with pytest.raises(InputError):
        replace(PLAIN, **change).check(origins=ORIGINS, now=NOW)


@pytest.mark.parametrize("text", ["2027-01-15T10:00:00+02:00", "2027-01-15T08:00:00.000000000Z", ISSUED])
def test_times_are_read_in_every_form_of_rfc_3339(text):
    assert instant_of(text) == datetime(2027, 1, 15, 8, tzinfo=UTC)


# --- whose a signature is


def test_a_keys_signature_is_its_own_with_low_s_only():
    digest = PLAIN.digest()
    good = bytes(KEY.sign_message(encode_defunct(text=PLAIN.format())).signature)
    order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
    flipped = good[:32] + (order - int.from_bytes(good[32:64], "big")).to_bytes(32, "big") + bytes([55 - good[64]])
    assert is_key_of(KEY.address, digest, good)
    assert is_key_of(KEY.address, digest, good[:64] + bytes([good[64] - 27]))
    for bad in (flipped, good[:64], good + b"\0", bytes(65), good[:64] + b"\x25", b""):
        assert not is_key_of(KEY.address, digest, bad)
    assert not is_key_of(KEY.address, bytes(32), good)
    assert not is_key_of(Account.from_key(b"\x32" * 32).address, digest, good)


@given(st.binary(max_size=70))
async def test_any_bytes_are_a_no(signature):
    assert not is_key_of(KEY.address, PLAIN.digest(), signature)


WRAPPED = parameters("address factory, bytes factoryCalldata, bytes signature")
MAGIC_END = bytes.fromhex("6492" * 16)


class House:
    """A genuine Safe of one owner at its future address."""

    def __init__(self, devnet, client, salt):
        contracts = devnet.world.contracts
        self.factory = contracts["SafeProxyFactory"]
        setup = safes.setup([KEY.address], 1, contracts["SafeFallbackHandler"])
        self.deploy = safes.creation(contracts["SafeL2"], setup, salt)
        self._address = safes.future_address(client, self.factory, contracts["SafeL2"], setup, salt)

    async def find(self):
        self.address = await self._address
        return self

    def sign(self, digest, key=KEY):
        """What the Safe's fallback handler wants: its own typed message around the hash."""
        typed = {
            "types": {
                "EIP712Domain": [
                    {"name": "chainId", "type": "uint256"}, {"name": "verifyingContract", "type": "address"}
                ],
                "SafeMessage": [{"name": "message", "type": "bytes"}],
            },
            "primaryType": "SafeMessage",
            "domain": {"chainId": 1337, "verifyingContract": self.address},
            "message": {"message": digest},
        }  # fmt: skip
        return bytes(key.sign_message(encode_typed_data(full_message=typed)).signature)

    def wrap(self, signature, factory=None, deploy=None):
        return WRAPPED.encode(factory or self.factory, self.deploy if deploy is None else deploy, signature) + MAGIC_END


@pytest.mark.anvil
async def test_a_safe_signs_before_and_after_it_is_deployed(devnet, chain_client):
    house = await House(devnet, chain_client, 7).find()
    digest, chains = PLAIN.digest(), {1337: chain_client}

    async def asks(signature, address=house.address, chain_id=1337):
        return await has_signed(address, digest, signature, chain_id=chain_id, chains=chains)

    good = house.sign(digest)
    assert await asks(house.wrap(good))
    assert not await chain_client.code(house.address)  # nothing happened on the chain
    assert not await asks(good)  # unwrapped, it is taken for a key's
    assert not await asks(house.wrap(house.sign(digest, Account.from_key(b"\x32" * 32))))
    assert not await asks(house.wrap(house.sign(bytes(32))))
    assert not await asks(house.wrap(good, deploy=b""))
    assert not await asks(house.wrap(good, factory="0x" + "11" * 20))
    assert not await asks(b"\x01" * 64 + MAGIC_END)
    other = await House(devnet, chain_client, 8).find()
    assert not await asks(house.wrap(good), address=other.address)  # another Safe of the same owner

    await chain_client.rpc.request(
        "eth_sendTransaction", {"from": (await chain_client.rpc.request("eth_accounts"))[0], "to": house.factory,
                                "data": "0x" + house.deploy.hex()},
    )  # fmt: skip
    await chain_client.rpc.request("evm_mine")
    assert await chain_client.code(house.address)
    assert await asks(good)
    assert await asks(house.wrap(good))  # wallets keep wrapping for a while
    assert not await asks(house.sign(bytes(32)))
    assert not await asks(bytes(KEY.sign_message(encode_defunct(text=PLAIN.format())).signature))
    with pytest.raises(InputError, match="cannot be asked"):
        await asks(house.wrap(good), chain_id=1)


@pytest.mark.anvil
async def test_a_contract_that_answers_anything_else_says_no(devnet, chain_client):
    usdc = devnet.world.tokens["USDC"].address
    assert not await has_signed(usdc, PLAIN.digest(), bytes(65), chain_id=1337, chains={1337: chain_client})
    assert function("isValidSignature(bytes32,bytes)").selector.hex() == "1626ba7e"


# --- at the door


async def nonce_of(person):
    status, made = await person.send("POST", "/v1/auth/siwe/nonce")
    assert status == 201
    return made


async def signed(person, services, key=KEY, **changes):
    made = await nonce_of(person)
    now = datetime.fromtimestamp(services.clock.now_ns() / 10**9, UTC)
    message = SignInMessage(
        made["domain"], key.address, made["uri"], 1, made["nonce"], now.isoformat().replace("+00:00", "Z"),
        statement="Sign in to Capstan.",
    )  # fmt: skip
    text = replace(message, **changes).format()
    return {"message": text, "signature": "0x" + key.sign_message(encode_defunct(text=text)).signature.hex()}


async def test_a_linked_wallet_logs_in_once_with_each_message(ann, services):
    assert (await ann.ask_confirmed("POST", "/v1/auth/wallets", await signed(ann, services)))[0] == 201
    request = await signed(ann, services)
    status, tokens = await ann.send("POST", "/v1/auth/siwe", request)
    assert (status, tokens["user"]) == (200, ann.tokens["user"])
    status, problem = await ann.send("POST", "/v1/auth/siwe", request)
    assert (status, problem["code"]) == (401, "invalid_sign_in")
    _, listed = await ann.ask("GET", "/v1/auth/wallets")
    assert [wallet["address"] for wallet in listed] == [KEY.address]
    assert (await ann.ask("DELETE", f"/v1/auth/wallets/{KEY.address}"))[0] == 200
    assert (await ann.send("POST", "/v1/auth/siwe", await signed(ann, services)))[1]["code"] == "unknown_wallet"


async def test_a_wallet_is_linked_by_its_holder_with_a_confirmation_and_to_one_person(ann, services, client):
    assert (await ann.ask("POST", "/v1/auth/wallets", await signed(ann, services)))[1]["code"] == "step_up_required"
    request = await signed(ann, services)
    forged = request | {"message": request["message"].replace("Sign in", "Sign out")}
    assert (await ann.ask_confirmed("POST", "/v1/auth/wallets", forged))[1]["code"] == "invalid_sign_in"
    assert (await ann.ask_confirmed("POST", "/v1/auth/wallets", await signed(ann, services)))[0] == 201
    stranger = await Person.owner(Caller.owner(client, services, "globex")).log_in()
    assert (await stranger.ask_confirmed("POST", "/v1/auth/wallets", await signed(stranger, services)))[0] == 409
    assert (await stranger.ask("DELETE", f"/v1/auth/wallets/{KEY.address}"))[0] == 404


async def test_who_names_its_address_is_given_the_whole_message_for_the_page_it_is_on(ann, services):
    services = replace(
        services, auth=replace(services.auth, settings=ApiSettings(origins=("https://desk.example.com",)))
    )
    ann.client.app.state.services = services
    path = f"/v1/auth/siwe/nonce?address={KEY.address.lower()}&chain_id=5"
    for origin, domain in (
        ("https://desk.example.com", "desk.example.com"), ("http://localhost:8460", "localhost:8460"),
        ("https://evil.example", "localhost:8460"),
    ):  # fmt: skip
        _, made = await ann.send("POST", path, origin=origin)
        message = SignInMessage.parse(made["message"])
        assert (message.domain, made["domain"], message.uri) == (domain, domain, made["uri"])
        assert (message.address, message.chain_id, message.nonce) == (KEY.address, 5, made["nonce"])
        signature = "0x" + KEY.sign_message(encode_defunct(text=made["message"])).signature.hex()
        request = {"message": made["message"], "signature": signature}
        assert (await ann.send("POST", "/v1/auth/siwe", request))[1]["code"] == "unknown_wallet"  # it was proved
    assert (await nonce_of(ann))["message"] is None
    assert (await ann.send("POST", "/v1/auth/siwe/nonce?address=0x12"))[0] == 422


class Contracts:
    """A chain on which the account at every address is a contract that vouches for anything."""

    async def code(self, address):
        return b"\xfe"

    async def call(self, to, data):
        return bytes.fromhex("1626ba7e") + bytes(28)


async def test_a_contract_account_signs_in_on_the_chain_it_was_linked_on(ann, services):
    auth = replace(services.auth, chains={5: Contracts(), 6: Contracts()})
    services = replace(services, auth=auth)
    ann.client.app.state.services = services
    account = checksum("0x" + "c0" * 20)

    async def message(chain_id):
        return await signed(ann, services, chain_id=chain_id, address=account)

    assert (await ann.ask_confirmed("POST", "/v1/auth/wallets", await message(5)))[0] == 201
    assert (await ann.send("POST", "/v1/auth/siwe", await message(5)))[0] == 200
    status, problem = await ann.send("POST", "/v1/auth/siwe", await message(6))
    assert (status, problem["code"]) == (401, "unknown_wallet")


@pytest.mark.parametrize("chain_id", [1, 10, 10**9])
async def test_a_key_signs_in_on_every_chain(ann, services, chain_id):
    assert (await ann.ask_confirmed("POST", "/v1/auth/wallets", await signed(ann, services)))[0] == 201
    assert (await ann.send("POST", "/v1/auth/siwe", await signed(ann, services, chain_id=chain_id)))[0] == 200


@pytest.mark.parametrize(
    "change", [{"domain": "evil.example"}, {"nonce": "madeupbyme1"}, {"uri": "https://evil.example/login"}]
)
async def test_messages_for_other_sites_and_nonces_of_ones_own_sign_nobody_in(ann, services, change):
    await ann.ask_confirmed("POST", "/v1/auth/wallets", await signed(ann, services))
    status, problem = await ann.send("POST", "/v1/auth/siwe", await signed(ann, services, **change))
    assert (status, problem["code"]) == (401, "invalid_sign_in")


async def test_a_nonce_is_over_after_ten_minutes(ann, services):
    await ann.ask_confirmed("POST", "/v1/auth/wallets", await signed(ann, services))
    later = datetime.fromtimestamp(services.clock.now_ns() / 10**9, UTC) + timedelta(seconds=601)
    request = await signed(ann, services, issued_at=later.isoformat().replace("+00:00", "Z"))
    services.clock.advance(seconds=601)
    assert (await ann.send("POST", "/v1/auth/siwe", request))[1]["code"] == "invalid_sign_in"
