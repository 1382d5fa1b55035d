"""Codes as in RFC 6238, Appendix B, and RFC 4226, Appendix D; each half minute's once."""

from __future__ import annotations

from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.auth.totp import code_at, provisioning_uri, seed_text, step_of

SEED = b"12345678901234567890"
LONG = b"1234567890" * 7


@pytest.mark.parametrize(
    ("time_s", "sha1", "sha256", "sha512"),
    [
        (59, "94287082", "46119246", "90693936"),
        (1111111109, "07081804", "68084774", "25091201"),
        (1111111111, "14050471", "67062674", "99943326"),
        (1234567890, "89005924", "91819424", "93441116"),
        (2000000000, "69279037", "90698825", "38618901"),
        (20000000000, "65353130", "77737706", "47863826"),
    ],
)
def test_time_based_codes_of_rfc_6238(time_s, sha1, sha256, sha512):
    step = time_s // 30
    assert code_at(SEED, step, digits=8) == sha1
    assert code_at(LONG[:32], step, digits=8, digest="sha256") == sha256
    assert code_at(LONG[:64], step, digits=8, digest="sha512") == sha512


def test_counter_based_codes_of_rfc_4226():
    codes = [code_at(SEED, count) for count in range(10)]
    assert codes == ["755224", "287082", "359152", "969429", "338314", "254676", "287922", "162583", "399871", "520489"]


@given(st.integers(10, 10**8), st.integers(-3, 3), st.binary(min_size=20, max_size=20))
def test_a_code_is_good_in_its_half_minute_and_the_ones_beside_it(step, distance, seed):
    found = step_of(code_at(seed, step), seed, (step + distance) * 30 + 7, after_step=0)
    if abs(distance) <= 1:
        assert found is not None
    else:
        # Two half minutes may have the same code by chance, one in a million.
        assert found is None or code_at(seed, found) == code_at(seed, step)


@given(st.integers(2, 10**8), st.binary(min_size=20, max_size=20))
def test_a_code_is_good_once_and_none_before_it_any_more(step, seed):
    code = code_at(seed, step)
    found = step_of(code, seed, step * 30, after_step=0)
    assert step_of(code, seed, step * 30, after_step=found) is None


@pytest.mark.parametrize("code", ["", "12345", "1234567", "12345a", "１２３４５６", " 123456", "123456\n"])
def test_what_is_no_code_is_none(code):
    assert step_of(code, SEED, 59, after_step=-1) is None


def test_the_uri_is_what_authenticator_apps_read():
    parts = urlsplit(provisioning_uri(SEED, issuer="Acme & Co", account="ann@acme.example"))
    assert (parts.scheme, parts.netloc) == ("otpauth", "totp")
    assert unquote(parts.path) == "/Acme & Co:ann@acme.example"
    assert parse_qs(parts.query) == {
        "secret": [seed_text(SEED)], "issuer": ["Acme & Co"], "digits": ["6"], "period": ["30"]
    }  # fmt: skip
