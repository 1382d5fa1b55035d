"""TLS 1.3 or nothing, certificates of clients where authorities are named, nothing in the clear beyond this machine."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat
from pydantic import ValidationError

from api.auth.settings import ApiSettings
from api.auth.tls_settings import TlsSettings
from api.server.tls import server_context
from cli.api import check_host
from domain import InputError
from tests.api.server.conftest import PATIENCE_S

GET = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
START = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
END = datetime.datetime(2120, 1, 1, tzinfo=datetime.UTC)


class Authority:
    """A certificate authority of a test's own."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        self.certificate = self._sign(self._name, self._key.public_key(), is_authority=True)
        self.file = folder / f"{name}.pem"
        self.file.write_bytes(self.certificate.public_bytes(Encoding.PEM))

    def issue(self, name: str) -> tuple[Path, Path]:
        """Write a certificate for a name, and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        certificate = self._sign(subject, key.public_key(), is_authority=False)
        files = self._folder / f"{name}.crt", self._folder / f"{name}.key"
        files[0].write_bytes(certificate.public_bytes(Encoding.PEM))
        files[1].write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        files[1].chmod(0o600)
        return files

    def _sign(self, subject: x509.Name, key: ec.EllipticCurvePublicKey, *, is_authority: bool) -> x509.Certificate:
        ours = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        return (
            x509.CertificateBuilder(self._name, subject, key, x509.random_serial_number(), START, END)
            .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(ours, critical=False)
            .sign(self._key, SHA256())
        )


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "authority")


@pytest.fixture
def tls(authority: Authority) -> TlsSettings:
    certificate, key = authority.issue("server")
    return TlsSettings(certificate=certificate.name, key=key.name)


def client_of(authority: Authority, files: tuple[Path, Path] | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(authority.file))
    if files is not None:
        context.load_cert_chain(*files)
    return context


async def ask(server, context: ssl.SSLContext) -> tuple[bytes, str | None]:
    """The status line and the TLS version of one request. Raises where there is no answer."""
    async with asyncio.timeout(PATIENCE_S):
        reader, writer = await asyncio.open_connection(
            *server.address, ssl=context, server_hostname="localhost", ssl_shutdown_timeout=1
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
    settings = tls.model_copy(update={"client_authorities": clients.file.name})
    async with serving(tls=server_context(settings, tmp_path)) as (server, _):
        assert (await ask(server, client_of(authority, clients.issue("desk"))))[0] == b"HTTP/1.1 200 OK"
        for files in (None, others.issue("desk")):
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
