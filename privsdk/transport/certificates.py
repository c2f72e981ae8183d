"""Certificates of a federation: a small authority, and for each member one certificate that names it.

A certificate's only subject alternative name is the member's name. A server is checked against the party it should be,
not against a host name, and a caller is who its certificate names. For workshops and tests; an organisation with a
certificate authority of its own issues the same kind of certificates there.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from ..errors import InvalidArgument

DAYS = 365


class Credentials(NamedTuple):
    """PEM files' contents: the federation's authority, and one member's certificate chain and private key."""

    authority: bytes
    certificate: bytes
    key: bytes

    @classmethod
    def read(cls, *, authority: Path, certificate: Path, key: Path) -> Credentials:
        try:
            return cls(authority.read_bytes(), certificate.read_bytes(), key.read_bytes())
        except OSError as error:
            raise InvalidArgument(
                f"the certificate file {error.filename} cannot be read ({error.strerror})",
                hint="make certificates with: python -m privsdk certificates FOLDER NAME...",
            ) from None

    def name(self) -> str:
        """Whom the certificate names."""
        try:
            certificate = x509.load_pem_x509_certificate(self.certificate)
            names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
            (name,) = names.get_values_for_type(x509.DNSName)
        except (ValueError, x509.ExtensionNotFound):
            raise InvalidArgument(
                "the certificate does not name one member as its only subject alternative name",
                hint="make certificates with: python -m privsdk certificates FOLDER NAME...",
            ) from None
        return name


def make_certificates(folder: Path, names: Sequence[str], *, days: int = DAYS) -> list[Path]:
    """Write `ca.pem`, `ca.key` and for each name NAME.pem and NAME.key; returns the files.

    An authority already in the folder is used again, so that members can be added. Private keys are readable by their
    owner alone and are never overwritten.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        if (folder / f"{name}.key").exists():
            raise InvalidArgument(f"{folder / name}.key exists already", hint="remove it, or leave that name out")
    authority, authority_key, files = _authority(folder, days)
    for name in names:
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(name, authority.subject, key.public_key(), days)
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        usages = [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]
        builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        certificate = builder.sign(authority_key, hashes.SHA256())
        files += _write(folder, name, certificate, key)
    return files


def _authority(folder: Path, days: int) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey, list[Path]]:
    if (folder / "ca.key").exists():
        key = serialization.load_pem_private_key((folder / "ca.key").read_bytes(), password=None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise InvalidArgument(f"{folder / 'ca.key'} is not an elliptic-curve key", hint="use an empty folder")
        return x509.load_pem_x509_certificate((folder / "ca.pem").read_bytes()), key, []
    key = ec.generate_private_key(ec.SECP256R1())
    name = "privsdk federation authority"
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = _builder(name, subject, key.public_key(), days)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    certificate = builder.sign(key, hashes.SHA256())
    return certificate, key, _write(folder, "ca", certificate, key)


def _builder(name: str, issuer: x509.Name, key: ec.EllipticCurvePublicKey, days: int) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=days))
    )


def _write(folder: Path, name: str, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> list[Path]:
    public, private = folder / f"{name}.pem", folder / f"{name}.key"
    public.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    with os.fdopen(os.open(private, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(pem)
    return [public, private]
