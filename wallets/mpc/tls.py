"""Mutual TLS 1.3 under a private CA, with every peer pinned by the hash of its public key.

The CA only keeps strangers out of the handshake; who a peer *is* follows from its pin. Names are not checked: parties
move between hosts, their keys do not.
"""

from __future__ import annotations

import hashlib
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from domain import InputError
from wallets.keystore import write_private_file

_VALID = timedelta(days=3650)
_BACKDATED = timedelta(days=1)  # clocks of the parties' machines differ


def pin_of(certificate: bytes) -> str:
    """Hash the public key (SubjectPublicKeyInfo) of a DER certificate, as hex."""
    key = x509.load_der_x509_certificate(certificate).public_key()
    info = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(info).hexdigest()


@dataclass(frozen=True, slots=True)
class Leaf:
    """A certificate with its key and its CA, not yet written down."""

    certificate_pem: str
    key_pem: str
    authority_pem: str
    pin: str

    def write(self, root: Path) -> None:
        """Write the three files into a folder."""
        write_private_file(root / "tls.key", self.key_pem)
        write_private_file(root / "tls.crt", self.certificate_pem)
        write_private_file(root / "ca.crt", self.authority_pem)

    def __repr__(self) -> str:
        return f"Leaf({self.pin})"


class Authority:
    """A CA that lives as long as this object; its key is never written."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "capstan cosigners")])
        self._certificate = self._sign(self._name, self._key.public_key(), is_authority=True)

    def issue(self, name: str) -> Leaf:
        """Make a key and a certificate for it."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        certificate = self._sign(subject, key.public_key(), is_authority=False)
        pem = serialization.Encoding.PEM
        return Leaf(
            certificate.public_bytes(pem).decode(),
            key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()).decode(),
            self._certificate.public_bytes(pem).decode(),
            pin_of(certificate.public_bytes(serialization.Encoding.DER)),
        )

    def _sign(self, subject: x509.Name, key: ec.EllipticCurvePublicKey, *, is_authority: bool) -> x509.Certificate:
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _BACKDATED)
            .not_valid_after(now + _VALID)
            .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )
        if is_authority:
            usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
            builder = builder.add_extension(usage, critical=True)
        return builder.sign(self._key, hashes.SHA256())


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """The folder that `Leaf.write` filled."""

    root: Path

    def pin(self) -> str:
        """Give this side's own pin."""
        try:
            certificate = x509.load_pem_x509_certificate((self.root / "tls.crt").read_bytes())
        except (OSError, ValueError) as exc:
            raise InputError(f"cannot read {self.root / 'tls.crt'}") from exc
        return pin_of(certificate.public_bytes(serialization.Encoding.DER))

    def server_context(self) -> ssl.SSLContext:
        """Accept TLS 1.3 with a client certificate of the CA; the pin is to be checked after."""
        return self._prepare(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))

    def client_context(self) -> ssl.SSLContext:
        """Offer our certificate; the server's pin is to be checked after."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        return self._prepare(context)

    def _prepare(self, context: ssl.SSLContext) -> ssl.SSLContext:
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.verify_mode = ssl.CERT_REQUIRED
        try:
            context.load_verify_locations(self.root / "ca.crt")
            context.load_cert_chain(self.root / "tls.crt", self.root / "tls.key")
        except (OSError, ssl.SSLError) as exc:
            raise InputError(f"the TLS files in {self.root} cannot be used") from exc
        return context
