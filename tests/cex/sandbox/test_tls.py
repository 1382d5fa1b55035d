"""https and wss with a certificate of our own, for clients that speak nothing else."""

from __future__ import annotations

import ipaddress
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from cex.sandbox import SandboxConfig, TlsConfig
from domain import InputError
from tests.cex.sandbox.conftest import Start


@pytest.fixture
def certificate(tmp_path: Path) -> TlsConfig:
    """A certificate for 127.0.0.1 that vouches for itself, and its key."""
    key = Ed25519PrivateKey.generate()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sandbox")])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, None)
    )
    files = TlsConfig(tmp_path / "cert.pem", tmp_path / "key.pem")
    files.certificate.write_bytes(signed.public_bytes(Encoding.PEM))
    files.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return files


async def test_both_doors_open_with_tls_and_not_without(start: Start, certificate: TlsConfig) -> None:
    sandbox = await start(SandboxConfig(flow=None, tls=certificate))
    trusting = ssl.create_default_context(cafile=str(certificate.certificate))
    url = f"127.0.0.1:{sandbox.port}"
    async with sandbox.http.get(f"https://{url}/api/v3/ping", ssl=trusting) as response:
        assert await response.json() == {}
    async with sandbox.http.ws_connect(f"wss://{url}/ws-api/v3", ssl=trusting) as socket:
        await socket.send_json({"id": 1, "method": "ping"})
        assert (await socket.receive_json(timeout=60))["result"] == {}
    with pytest.raises(aiohttp.ClientError):
        await sandbox.http.get(f"http://{url}/api/v3/ping")


def test_files_that_are_no_certificate_are_refused_by_name(certificate: TlsConfig) -> None:
    certificate.key.write_text("nonsense")
    for tls in (certificate, TlsConfig(Path("/nonexistent"), certificate.key)):
        with pytest.raises(InputError, match=str(tls.certificate)):
            tls.context()
