"""base64url: bytes have one text, and no other text is read."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain import InputError
from runtime.base64url import decode64, encode64


@given(st.binary(max_size=60))
def test_base64url_has_one_form(content):
    text = encode64(content)
    assert decode64(text) == content
    assert "=" not in text


@given(st.text(max_size=20))
def test_base64url_reads_only_what_it_writes(text):
    with contextlib.suppress(InputError):
        assert encode64(decode64(text)) == text


@pytest.mark.parametrize("text", ["AA==", "AB", "A", "+/+/", "AA A", "AAAA\n", "é"])
def test_padding_other_alphabets_and_loose_bits_are_refused(text):
    with pytest.raises(InputError):
        decode64(text)
