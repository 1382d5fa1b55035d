"""TLS 1.3 or nothing, certificates of clients where authorities are named, nothing in the clear beyond this machine."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat
from pydantic import ValidationError

from api.auth.settings import ApiSettings
from api.auth.tls_settings import TlsSettings
from api.server.tls import server_context
from cli.api import check_host
from domain import InputError
from tests.api.server.conftest import PATIENCE_S
from tests.wallets.rpc.certificates import Authority

GET = b"GET /healthz HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def tls(authority: Authority) -> TlsSettings:
    certificate, key, _ = authority.issue("server")
    return TlsSettings(certificate=certificate.name, key=key.name)


def client_of(authority: Authority, files: tuple[Path, Path] | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(authority.path))
    if files is not None:
        context.load_cert_chain(*files)
    return context


async def ask(server, context: ssl.SSLContext) -> tuple[bytes, str | None]:
    """The status line and the TLS version of one request. Raises where there is no answer."""
    async with asyncio.timeout(PATIENCE_S):
        reader, writer = await asyncio.open_connection(
            *server.address, ssl=context, server_hostname="127.0.0.1", ssl_shutdown_timeout=1
        )
        try:
            writer.write(GET)
            line = await reader.readline()
            if not line:
                raise ConnectionResetError("closed without an answer")
            return line.strip(), writer.get_extra_info("ssl_object").version()
        finally:
            writer.transport.abort()


async def test_a_client_of_today_speaks_tls_13_and_one_of_yesterday_nothing(tmp_path, authority, tls, serving) -> None:
    async with serving(tls=server_context(tls, tmp_path)) as (server, _):
        assert await ask(server, client_of(authority)) == (b"HTTP/1.1 200 OK", "TLSv1.3")
        old = client_of(authority)
        old.maximum_version = ssl.TLSVersion.TLSv1_2
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await ask(server, old)
        with pytest.raises(ssl.SSLCertVerificationError):
            await ask(server, ssl.create_default_context())
        reader, writer = await asyncio.open_connection(*server.address)
        writer.write(GET)
        async with asyncio.timeout(PATIENCE_S):
            with contextlib.suppress(ConnectionError):
                assert not (await reader.read()).startswith(b"HTTP"), "nothing is said in the clear"
        writer.close()
        assert await ask(server, client_of(authority)) == (b"HTTP/1.1 200 OK", "TLSv1.3")


async def test_where_authorities_are_named_a_client_shows_a_certificate_of_theirs(
    tmp_path, authority, tls, serving
) -> None:
    (tmp_path / "others").mkdir()
    clients, others = Authority(tmp_path, "clients"), Authority(tmp_path / "others", "clients")
    settings = tls.model_copy(update={"client_authorities": clients.path.name})
    async with serving(tls=server_context(settings, tmp_path)) as (server, _):
        assert (await ask(server, client_of(authority, clients.issue("desk")[:2])))[0] == b"HTTP/1.1 200 OK"
        for files in (None, others.issue("desk")[:2]):
            with pytest.raises((ssl.SSLError, ConnectionError)):
                await ask(server, client_of(authority, files))


def test_files_that_cannot_be_used_are_named(tmp_path, authority, tls) -> None:
    strange, locked = authority.issue("strange"), tmp_path / "locked.key"
    locked.write_bytes(
        ec.generate_private_key(ec.SECP256R1()).private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"word")
        )
    )
    locked.chmod(0o600)
    open_key = tmp_path / "open.key"
    open_key.write_bytes((tmp_path / tls.key).read_bytes())
    open_key.chmod(0o644)
    for wrong in ({"certificate": "none.crt"}, {"key": "none.key"}, {"key": strange[1].name}, {"key": "locked.key"},
                  {"key": "open.key"}, {"client_authorities": "server.key"}):  # fmt: skip
        with pytest.raises(InputError, match=r"\[api.tls\]|can be read by others"):
            server_context(tls.model_copy(update=wrong), tmp_path)


def test_beyond_this_machine_there_is_tls_or_nothing() -> None:
    for host in ("127.0.0.1", "::1", "localhost"):
        check_host(host, has_tls=False)
    for host in ("0.0.0.0", "::", "192.0.2.1", "api.example"):
        check_host(host, has_tls=True)
        with pytest.raises(InputError, match="not a loopback address"):
            check_host(host, has_tls=False)


def test_with_tls_the_apis_own_url_says_so() -> None:
    tls = {"certificate": "a", "key": "b"}
    assert ApiSettings.model_validate({"url": "https://api.example", "tls": tls}).tls is not None
    with pytest.raises(ValidationError, match="https"):
        ApiSettings.model_validate({"tls": tls})
