"""Secrets in rows open with the server's key and in their own place only."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.auth.sealing import Seal
from domain import InvariantError
from runtime.base64url import decode64, encode64

SEAL = Seal(b"\x01" * 32)


@given(st.binary(max_size=64), st.text(max_size=20))
def test_what_was_sealed_opens(content, context):
    assert SEAL.open(SEAL.seal(content, context), context) == content


def test_a_text_in_another_row_or_under_another_key_or_altered_does_not_open():
    text = SEAL.seal(b"secret", "api-key/one")
    raw = bytearray(decode64(text))
    raw[-1] ^= 1
    for seal, sealed, context in [
        (SEAL, text, "api-key/two"), (Seal(b"\x02" * 32), text, "api-key/one"), (SEAL, encode64(raw), "api-key/one"),
        (SEAL, "", "api-key/one"), (SEAL, "!", "api-key/one"),
    ]:  # fmt: skip
        with pytest.raises(InvariantError):
            seal.open(sealed, context)
    assert SEAL.seal(b"secret", "x") != SEAL.seal(b"secret", "x")
