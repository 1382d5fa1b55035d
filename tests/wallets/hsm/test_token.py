"""Keys in a real PKCS#11 token (SoftHSM2): what they are, what they refuse, and how they are backed up."""

from __future__ import annotations

import os

import pkcs11
import pytest
from pkcs11 import Attribute, KeyType, ObjectClass

from domain import InputError, InvariantError, VenueUnavailable
from runtime import Secret
from tests.wallets.hsm.soft_token import OFFICER_PIN, PIN, SoftTokens
from wallets.hsm import Envelopes, HsmToken, WrongPin, create_backup_key
from wallets.hsm.ecdsa import complete
from wallets.transactions import SECP256K1_ORDER, recover


def test_a_key_is_made_in_the_token_and_cannot_be_read_or_unlocked(tokens: SoftTokens) -> None:
    with HsmToken(tokens.module, "desk", PIN) as token:
        key = token.create_key("hot")
        assert (key.is_born_here, key.is_wrappable, key.is_test_key) == (True, False, False)
        private, _ = token._find("hot")
        with pytest.raises(pkcs11.exceptions.AttributeSensitive):
            private[Attribute.VALUE]
        with pytest.raises(pkcs11.exceptions.AttributeReadOnly):
            private[Attribute.EXTRACTABLE] = True
        with pytest.raises(InputError, match="already has a key"):
            token.create_key("hot")
        assert token.create_key("dev", is_test_key=True).is_test_key
        assert [found.label for found in token.list_keys()] == ["dev", "hot"]


def test_every_signature_has_a_low_s_and_recovers_to_the_key(tokens: SoftTokens) -> None:
    with HsmToken(tokens.module, "desk", PIN) as token:
        key = token.create_key("hot")
        for number in range(40):  # half of a token's raw signatures have a high s: all forty low is one in 10**12
            digest = number.to_bytes(32, "big")
            signature = token.sign_digest_unchecked("hot", digest)
            assert signature.s <= SECP256K1_ORDER // 2
            assert recover(digest, signature) == key.address


@pytest.mark.parametrize("length", [0, 20, 31, 33, 64])
def test_what_is_no_digest_is_not_signed_although_the_token_would(tokens: SoftTokens, length: int) -> None:
    with HsmToken(tokens.module, "desk", PIN) as token:
        token.create_key("hot")
        private, _ = token._find("hot")
        assert len(private.sign(b"x" * length, mechanism=pkcs11.Mechanism.ECDSA)) == 64
        with pytest.raises(InvariantError, match="32 bytes"):
            token.sign_digest_unchecked("hot", b"x" * length)


def test_a_faulty_signature_never_leaves(tokens: SoftTokens) -> None:
    with HsmToken(tokens.module, "desk", PIN) as token:
        key = token.create_key("hot")
        private, _ = token._find("hot")
        raw = private.sign(b"x" * 32, mechanism=pkcs11.Mechanism.ECDSA)
        flipped = raw[:40] + bytes([raw[40] ^ 1]) + raw[41:]
        with pytest.raises(InvariantError, match="does not recover"):
            complete(flipped, b"x" * 32, key.public_key)
        with pytest.raises(InvariantError, match="64 were expected"):
            complete(raw[:63], b"x" * 32, key.public_key)


def test_a_key_that_could_be_read_out_does_not_sign(tokens: SoftTokens) -> None:
    with HsmToken(tokens.module, "desk", PIN) as token:
        parameters = token._session.create_domain_parameters(
            KeyType.EC, {Attribute.EC_PARAMS: pkcs11.util.ec.encode_named_curve_parameters("secp256k1")}, local=True
        )
        readable = {Attribute.EXTRACTABLE: True, Attribute.SENSITIVE: True}
        parameters.generate_keypair(label="loose", id=b"capstan/key", store=True, private_template=readable)
        with pytest.raises(InputError, match="could be read out"):
            token.key("loose")


def test_errors_name_what_to_do_and_never_the_pin(tokens: SoftTokens) -> None:
    with pytest.raises(WrongPin) as wrong:
        HsmToken(tokens.module, "desk", Secret("987654"))
    assert "987654" not in f"{wrong.value} {wrong.value.__cause__!r}"
    with HsmToken(tokens.module, "desk", PIN) as token, pytest.raises(InputError, match="no such key"):
        token.key("nobody")
    with pytest.raises(InputError, match="cannot load"):
        HsmToken("/nowhere/lib.so", "desk", PIN)
    with pytest.raises(VenueUnavailable):
        HsmToken(tokens.module, "elsewhere", PIN)


def test_a_wrapped_backup_signs_in_a_second_token(tokens: SoftTokens) -> None:
    tokens.create("vault")
    shared = os.urandom(32)
    for label in ("desk", "vault"):
        create_backup_key(tokens.module, label, OFFICER_PIN, label="backup", key=shared)
    with HsmToken(tokens.module, "desk", PIN) as desk:
        key = desk.create_key("hot", is_test_key=True, is_wrappable=True)
        desk.create_key("stays")
        wrapped = desk.back_up("hot", backup_key="backup")
        with pytest.raises(InputError, match="does not let this key out"):
            desk.back_up("stays", backup_key="backup")
        desk._session.generate_key(KeyType.AES, 256, label="stranger", store=True)
        with pytest.raises(InputError, match="does not let this key out"):
            desk.back_up("hot", backup_key="stranger")
        other = desk.key("stays")
    with HsmToken(tokens.module, "vault", PIN) as vault:
        for damaged in (wrapped[:-8], wrapped[:20] + bytes([wrapped[20] ^ 1]) + wrapped[21:]):
            with pytest.raises(InputError, match="altered"):
                vault.restore(damaged, key, backup_key="backup")
        with pytest.raises(InputError, match="is not the key of"):
            vault.restore(wrapped, other, backup_key="backup")
        assert vault.list_keys() == []
        restored = vault.restore(wrapped, key, backup_key="backup")
        assert (restored.address, restored.is_test_key) == (key.address, True)
        assert (restored.is_wrappable, restored.is_born_here) == (False, False)
        assert recover(b"d" * 32, vault.sign_digest_unchecked("hot", b"d" * 32)) == key.address
        with pytest.raises(InputError, match="does not let this key out"):
            vault.back_up("hot", backup_key="backup")


def test_an_envelope_opens_for_its_own_row_only(tokens: SoftTokens) -> None:
    with HsmToken(tokens.module, "desk", PIN) as token:
        token.create_secret_key("kek-1")
        token.create_secret_key("kek-2")
        envelopes = Envelopes(token, kek="kek-1")
        sealed = envelopes.seal(b"an exchange's API secret", row_id="venue/7")
        assert b"exchange" not in sealed
        assert Envelopes(token, kek="kek-2").open(sealed, row_id="venue/7") == b"an exchange's API secret"  # rotated
        with pytest.raises(InputError, match="another row"):
            envelopes.open(sealed, row_id="venue/8")
        with pytest.raises(InputError):
            envelopes.open(sealed.replace(b"kek-1", b"kek-2"), row_id="venue/7")
        for at in range(0, len(sealed), 7):
            with pytest.raises(InputError):
                envelopes.open(sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :], row_id="venue/7")
        with pytest.raises(InputError, match="not an envelope"):
            envelopes.open(sealed[:60], row_id="venue/7")
        assert list(token._session.get_objects({Attribute.CLASS: ObjectClass.SECRET_KEY}))
        with pytest.raises(InputError, match="already has"):
            token.create_secret_key("kek-1")
