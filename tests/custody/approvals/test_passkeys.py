"""Assertions hold for one digest, one site, one person; published vectors: W3C Web Authentication Level 3, §16.

Those are for `example.org`: 16.9 (packed.ES256) was made by a verified user and holds; 16.2 (none.ES256) lacks user
verification; 16.4 and 16.5 were made within another site's page.
"""

from __future__ import annotations

import json

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, SECP384R1, derive_private_key, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from custody.approvals import ApprovalState, Verdict, parse_key, verify
from domain import InputError, Refused
from runtime.base64url import decode64, encode64
from tests.custody.approvals.test_desk import Town, refused
from tests.support.approvers import CALL, Bundle, intent, need
from tests.support.authenticator import BACKUP_ELIGIBLE, EXTENSIONS, ORIGIN, PRESENT, RP_ID, VERIFIED, Authenticator

DIGEST = bytes(range(32))
SITE = "bfabc37432958b063360d3ad6461c9c4735ae7f8edd46592a5e0f01452b2e4b5"
EXTRA = "clientDataJSON may be extended with additional fields in the future, such as this: "
VECTORS = {
    "16.9": (
        "36ed7bea2357cefa8c4ec7e134f3312d2e6ca3058519d0bcb4c1424272010432",
        "b1106fa46a57bef1781511c0557dc898a03413d5f0f17d244630c194c7e1adb5",
        SITE + "0d00000000",
        {"crossOrigin": False, "extraData": EXTRA + "AZMwyMxIbD8-uguFNp6r8Q"},
        "30450220694969d3ee928de6f02ef23a9c644d7d779916451734a94b432542f498a1ebe90221008b0819c824218a97152cd099c55bfb14"
        "77b29d900a49a64018314f9bfccda163",
        "",
    ),
    "16.2": (
        "6e68e7a58484a3264f66b77f5d6dc5bc36a47085b615c9727ab334e8c369c2ee",
        "39c0e7521417ba54d43e8dc95174f423dee9bf3cd804ff6d65c857c9abf4d408",
        SITE + "1900000000",
        {"crossOrigin": False},
        "3046022100f50a4e2e4409249c4a853ba361282f09841df4dd4547a13a87780218deffcd380221008480ac0f0b93538174f575bf11a1dd"
        "5d78c6e486013f937295ea13653e331e87",
        "not verified",
    ),
    "16.4": (
        "96c940e769bd9f1237c119f144fa61a4d56af0b3289685ae2bef7fb89620623d",
        "876aa517ba83fdee65fcffdbca4c84eeae5d54f8041a1fc85c991e5bbb273137",
        SITE + "0500000000",
        {"crossOrigin": True, "extraData": EXTRA + "92pcTVD0Aby-q4dtmj6efg"},
        "3046022100eb12fcf23b12764c0f122e22371fab92e283879fd798f38ee1841c951b6e40e7022100c76237ff9db77b3c56f30837cda6a0"
        "9acfa2e915544e609c0733b1184036d1cf",
        "another site's page",
    ),
    "16.5": (
        "a2d6de40ab974b80d8c1ef78c6d4300097754f7e016afe7f8ea0ad9798b0d420",
        "d54a5c8ca4b62a8e3bb321e3b2bc73856f85a10150db2939ac195739eb1ea066",
        SITE + "0500000000",
        {
            "crossOrigin": True,
            "topOrigin": "https://example.com",
            "extraData": EXTRA + "UiFoJMVRQHDAFWFi4vxUpQ",
        },
        "3045022100b5a70c81780d5fcc9a4f2ae9caae99058f8accaf58b91fb59329646c28ac6ffc022012e101c165db3c8e9957f0c54dd6ca9b"
        "56bc3bd2f280bd2faa6c1d02c6e5c171",
        "another site's page",
    ),
}


def published(number):
    """A vector as key, digest and proof. The client data is written as the browser does: in order, without blanks."""
    secret, challenge, data, fields, signature, why = VECTORS[number]
    public = derive_private_key(int(secret, 16), SECP256R1()).public_key()
    spki = encode64(public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))
    told = {"type": "webauthn.get", "challenge": encode64(bytes.fromhex(challenge)), "origin": "https://example.org"}
    client = json.dumps(told | fields, separators=(",", ":")).encode()
    proof = {
        "authenticator_data": encode64(bytes.fromhex(data)),
        "client_data": encode64(client),
        "signature": encode64(bytes.fromhex(signature)),
    }
    return parse_key(f"passkey:example.org:{spki}:https://example.org"), bytes.fromhex(challenge), proof, why


@pytest.mark.parametrize("number", VECTORS)
def test_published_vectors(number):
    key, digest, proof, why = published(number)
    if why:
        with pytest.raises(Refused, match=why):
            key.check(proof, digest)
    else:
        assert key.check(proof, digest) == 0


@pytest.mark.parametrize("field", ["authenticator_data", "client_data", "signature"])
def test_a_published_vector_with_one_bit_changed_is_refused(field):
    key, digest, proof, _ = published("16.9")
    content = bytearray(decode64(proof[field]))
    for position in range(0, len(content) * 8, 7):
        changed = bytearray(content)
        changed[position // 8] ^= 1 << position % 8
        with pytest.raises(Refused):
            key.check(proof | {field: encode64(bytes(changed))}, digest)


@pytest.mark.parametrize("algorithm", ["ES256", "EdDSA"])
def test_an_assertion_over_the_digest_holds(algorithm):
    device = Authenticator("alice", algorithm=algorithm)
    key = parse_key(device.key_text)
    assert key.check(device.prove(DIGEST), DIGEST) == 1
    assert key.check(device.prove(DIGEST, flags=PRESENT | VERIFIED | EXTENSIONS, extensions=b"\xa0"), DIGEST) == 2


@pytest.mark.parametrize(
    ("lie", "why"),
    [
        ({"challenge": encode64(bytes(32))}, "challenge"),
        ({"challenge": encode64(DIGEST) + "="}, "challenge"),
        ({"type": "webauthn.create"}, "type"),
        ({"type": None}, "type"),
        ({"origin": "https://desk.capstan.example"}, "origin"),
        ({"origin": "https://desk.capstan.example:8443.evil.test"}, "origin"),
        ({"origin": None}, "origin"),
        ({"crossOrigin": True}, "another site's page"),
        ({"topOrigin": ORIGIN}, "another site's page"),
        ({"rp_id": "evil.test"}, "another site than"),
        ({"flags": VERIFIED}, "not present"),
        ({"flags": PRESENT}, "not verified"),
        ({"flags": 0}, "not present"),
        ({"flags": PRESENT | VERIFIED | 0x40}, "length"),
        ({"flags": PRESENT | VERIFIED | EXTENSIONS}, "length"),
        ({"extensions": b"\xa0"}, "length"),
        ({"client": b"not json"}, "not JSON"),
        ({"client": b"[]"}, "not an object"),
        ({"client": b"\xff"}, "not JSON"),
        ({"client": b'{"type":"webauthn.get","type":"webauthn.get"}'}, "not JSON"),
    ],
    ids=str,
)
def test_lies_are_found(lie, why):
    device = Authenticator("alice")
    with pytest.raises(Refused, match=why) as refusal:
        parse_key(device.key_text).check(device.prove(DIGEST, **lie), DIGEST)
    assert refusal.value.rule == "approval-signature"


def test_another_passkey_of_the_same_site_does_not_hold():
    with pytest.raises(Refused, match="not this passkey's"):
        parse_key(Authenticator("alice").key_text).check(Authenticator("mallory").prove(DIGEST), DIGEST)


@pytest.mark.parametrize(
    "change", [{"signature": None}, {"signature": "@"}, {"client_data": "A" * 5000}, {"signature": "AB"}]
)
def test_proofs_of_another_form_are_refused(change):
    device = Authenticator("alice")
    proof = {name: value for name, value in (device.prove(DIGEST) | change).items() if value is not None}
    with pytest.raises(Refused):
        parse_key(device.key_text).check(proof, DIGEST)


SPKI = Authenticator("alice").key_text.split(":")[2]
OTHER_CURVE = encode64(
    generate_private_key(SECP384R1()).public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
)


@pytest.mark.parametrize(
    "text",
    [
        f"passkey:{RP_ID}:{SPKI}",
        f"passkey:{RP_ID}:{SPKI}:http://desk.capstan.example",
        f"passkey:{RP_ID}:{SPKI}:https://evil.test",
        f"passkey:{RP_ID}:{SPKI}:https://evilcapstan.example",
        f"passkey:{RP_ID}:{SPKI}=:{ORIGIN}",
        f"passkey:{RP_ID}:{SPKI[:-4]}:{ORIGIN}",
        f"passkey:{RP_ID}:{OTHER_CURVE}:{ORIGIN}",
        f"passkey::{SPKI}:{ORIGIN}",
        "ed25519:" + "00" * 31,
        "ed25519:" + "AB" * 32,
        "rsa:" + "00" * 32,
        "",
    ],
    ids=range(12),
)
def test_keys_of_another_form_are_refused(text):
    with pytest.raises(InputError):
        parse_key(text)


@pytest.fixture
def town(database):
    town = Town(database)
    town.device = Authenticator("alice")
    town.bundle = Bundle(
        groups={
            "operators": {
                "alice": (town.device.key_text,),
                "bob": (Authenticator("bob", counts=False).key_text,),
            }
        }
    )
    return town


def test_a_passkey_approves_and_rejects(town):
    town.open(None, need(1))
    request = town.desk.find("w-1")
    wrong_way = town.device.approve(request.intent, request.text, Verdict.REJECT)
    with pytest.raises(Refused, match="challenge"):
        town.desk.add("w-1", type(wrong_way)(wrong_way.key, Verdict.APPROVE, wrong_way.proof))
    assert town.desk.add("w-1", town.device.approve(request.intent, request.text)) is ApprovalState.MET
    verify(town.desk.evidence("w-1"), subject=CALL, rules=town.bundle, now_s=town.now_s).check([need(1)])
    rejection = town.device.approve(request.intent, request.text, Verdict.REJECT)
    assert town.desk.add("w-1", rejection) is ApprovalState.REJECTED


def test_a_counter_that_goes_back_means_a_clone(town):
    town.open(None, need(2))
    town.open(intent(intent_id="w-2"), need(2))
    first, second = town.desk.find("w-1"), town.desk.find("w-2")
    town.desk.add("w-1", town.device.approve(first.intent, first.text, counter=5))
    for counter in (5, 4, 0):
        refused(
            "passkey-counter", town.desk.add, "w-2", town.device.approve(second.intent, second.text, counter=counter)
        )
    town.desk.add("w-2", town.device.approve(second.intent, second.text, counter=6))


def test_an_authenticator_that_never_counts_may_be_used_again(town):
    device = Authenticator("bob", counts=False)
    for number in (1, 2):
        town.open(intent(intent_id=f"w-{number}"), need(1))
        request = town.desk.find(f"w-{number}")
        assert town.desk.add(f"w-{number}", device.approve(request.intent, request.text)) is ApprovalState.MET


def test_flags_that_say_nothing_of_the_person_are_left_alone():
    device = Authenticator("alice")
    backed_up = PRESENT | VERIFIED | BACKUP_ELIGIBLE | 0x10
    assert parse_key(device.key_text).check(device.prove(DIGEST, flags=backed_up), DIGEST) == 1
