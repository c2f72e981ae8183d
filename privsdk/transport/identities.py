"""Certificates of a federation, and identities: how a party knows who said something, directly or by a third party.

A certificate's only subject alternative name is the member's name. A server is checked against the party it should be,
not against a host name, and a caller is who its certificate names. The small authority here is for workshops and
tests; an organisation with a certificate authority of its own issues the same kind of certificates there.

Between members with certificates a token is the signature of a statement with the certificate chain of its signer,
which has to lead to the federation's authority and be valid now. Between parties of one process the keys are in one
object: there an identity guards against mistakes, as the gate does, and not against whoever owns the process.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from cryptography.x509.verification import (
    Criticality,
    ExtensionPolicy,
    Policy,
    PolicyBuilder,
    Store,
    VerificationError,
)

from ..errors import IdentityRefused, InvalidArgument
from ..errors.sessions import CertificateUnfit, Unfit

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

    def check(self) -> None:
        """Raise IdentityRefused where the certificate is not of the key or the authority, or is not valid now."""
        key, (leaf, *between), authorities = _parsed(self)
        now, dates = datetime.now(UTC), (leaf.not_valid_before_utc, leaf.not_valid_after_utc)
        why: Unfit | None = None
        if key.public_key() != leaf.public_key():
            why = "key"
        elif not dates[0] <= now <= dates[1]:
            why = "expired" if now > dates[1] else "early"
        else:
            try:
                _rules(PolicyBuilder().store(Store(authorities))).build_client_verifier().verify(leaf, between)
            except VerificationError:
                why = "authority"
        if why is not None:
            since, until = (f"{date:%Y-%m-%d %H:%M} UTC" for date in dates)
            raise IdentityRefused(CertificateUnfit(member=self.name(), why=why, since=since, until=until))

    def name(self) -> str:
        """Whom the certificate names."""
        name = member_of(self.certificate)
        if not name:
            raise InvalidArgument(
                "the certificate does not name one member as its only subject alternative name",
                hint="make certificates with: python -m privsdk certificates FOLDER NAME...",
            )
        return name


def is_member_name(name: str) -> bool:
    """Whether a member can be called so: names go into certificates, file names and displays."""
    return name.replace("_", "").replace("-", "").isalnum() and name.isascii() and len(name) <= 63


@lru_cache(maxsize=1024)  # callers call again and again
def member_of(pem: bytes) -> str:
    """The member whom a PEM certificate names; "" where it is none, or names no one member."""
    try:
        return _named_by(x509.load_pem_x509_certificate(pem))
    except ValueError:
        return ""


def _named_by(certificate: x509.Certificate) -> str:
    """Its only subject alternative name, a DNS name that a member can have.

    "" where it names none, several, or something else beside: whoever may be two members would be one or the other as
    it likes, and a common name is one that authorities give for other purposes.
    """
    try:
        (name,) = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, x509.ExtensionNotFound, x509.DuplicateExtension):
        return ""
    return name.value if isinstance(name, x509.DNSName) and is_member_name(name.value) else ""


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


PURPOSE = b"privsdk statement 1\0"  # the key also serves TLS, which signs nothing that begins so (RFC 8446, 4.4.3)
CHAIN_BYTES = 1 << 16

Private = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey


class Token(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A signature, and the signer's certificate chain, the leaf first, as DER."""

    signature: bytes
    chain: tuple[bytes, ...]


class MemberIdentity:
    """A member's: by its certificate and key, and the federation's authority."""

    def __init__(self, identity: Credentials) -> None:
        self._key, chain, authorities = _parsed(identity)
        self._chain = tuple(each.public_bytes(serialization.Encoding.DER) for each in chain)
        self._authorities = Store(authorities)

    def sign(self, statement: bytes) -> bytes:
        """The signature with the certificate chain."""
        signed, key = PURPOSE + statement, self._key
        if isinstance(key, ec.EllipticCurvePrivateKey):
            signature = key.sign(signed, ec.ECDSA(hashes.SHA256()))
        elif isinstance(key, rsa.RSAPrivateKey):
            signature = key.sign(signed, _PSS, hashes.SHA256())
        else:
            signature = key.sign(signed)
        return msgspec.msgpack.encode(Token(signature, self._chain))

    def check(self, party: str, statement: bytes, token: bytes) -> None:
        """Follow the chain to the authority, compare the name, then check the signature."""
        try:
            given = msgspec.msgpack.decode(token, type=Token)
            if not given.chain or sum(map(len, given.chain)) > CHAIN_BYTES:
                raise ValueError
            leaf, *between = _loaded(given.chain)
            _verify(leaf.public_key(), given.signature, PURPOSE + statement)
        except (msgspec.MsgspecError, ValueError, InvalidSignature):
            raise IdentityRefused(
                f"a statement of {party} is not signed by the certificate that came with it"
            ) from None
        try:
            verifier = _rules(PolicyBuilder().store(self._authorities)).build_client_verifier()
            verifier.verify(leaf, between)
        except VerificationError:
            raise IdentityRefused(
                f"the certificate of {party} does not lead to the federation's authority, or is not valid now",
                hint="compare the authorities of both parties, the certificate's dates and both clocks",
            ) from None
        named = _named_by(leaf)
        if not named or named != party:
            raise IdentityRefused(f"a statement of {party} is signed by the certificate of another member")


def _parsed(identity: Credentials) -> tuple[Private, list[x509.Certificate], list[x509.Certificate]]:
    """The key, the chain, and the authorities."""
    try:
        key = serialization.load_pem_private_key(identity.key, password=None)
        chain = x509.load_pem_x509_certificates(identity.certificate)
        authorities = x509.load_pem_x509_certificates(identity.authority)
    except (ValueError, TypeError):
        raise InvalidArgument(
            "a certificate or key is not a PEM file, or the key has a password",
            hint="make certificates with: python -m privsdk certificates FOLDER NAME...",
        ) from None
    if not isinstance(key, Private):
        raise InvalidArgument("the certificate's key can sign nothing", hint="use one on P-256, Ed25519 or RSA")
    return key, chain, authorities


class Members:
    """The parties of one process, each with a key that was made for it; every one's identity knows all."""

    def __init__(self, parties: Sequence[str]) -> None:
        keys = {party: ed25519.Ed25519PrivateKey.generate() for party in parties}
        self._public = {party: key.public_key() for party, key in keys.items()}
        self._members = {party: _Member(key, self._public) for party, key in keys.items()}

    def of(self, party: str) -> _Member:
        """A party's identity."""
        return self._members[party]


class _Member(NamedTuple):
    key: ed25519.Ed25519PrivateKey
    directory: dict[str, ed25519.Ed25519PublicKey]

    def sign(self, statement: bytes) -> bytes:
        return self.key.sign(statement)

    def check(self, party: str, statement: bytes, token: bytes) -> None:
        try:
            self.directory[party].verify(token, statement)
        except (KeyError, InvalidSignature):
            raise IdentityRefused(f"a statement of {party} is not signed by it") from None


_PSS = padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.DIGEST_LENGTH)


@lru_cache(maxsize=1024)  # members sign again and again; dates are checked each time
def _loaded(chain: tuple[bytes, ...]) -> tuple[x509.Certificate, ...]:
    return tuple(map(x509.load_der_x509_certificate, chain))


def _rules(builder: PolicyBuilder) -> PolicyBuilder:
    """What certificates need: who issues is an authority, and a member has a name. What browsers want beyond that, an
    organisation's own certificates may lack."""
    authority = ExtensionPolicy.permit_all().require_present(x509.BasicConstraints, Criticality.AGNOSTIC, _may_issue)
    leaf = ExtensionPolicy.permit_all().require_present(x509.SubjectAlternativeName, Criticality.AGNOSTIC, None)
    return builder.extension_policies(ca_policy=authority, ee_policy=leaf)


def _may_issue(policy: Policy, certificate: x509.Certificate, extension: x509.BasicConstraints) -> None:
    if not extension.ca:
        raise ValueError("a member's certificate issues none")


def _verify(key: object, signature: bytes, signed: bytes) -> None:
    if isinstance(key, ec.EllipticCurvePublicKey):
        key.verify(signature, signed, ec.ECDSA(hashes.SHA256()))
    elif isinstance(key, rsa.RSAPublicKey):
        key.verify(signature, signed, _PSS, hashes.SHA256())
    elif isinstance(key, ed25519.Ed25519PublicKey):
        key.verify(signature, signed)
    else:
        raise InvalidSignature
