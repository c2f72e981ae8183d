"""Who signed a statement is believed by the federation's authority, its name and its dates, and nothing less."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import msgspec
import pytest
from claims import Cases
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID

from privsdk.errors import IdentityRefused, InvalidArgument, PrivsdkError
from privsdk.protocol import control
from privsdk.protocol.conversation import Channel
from privsdk.protocol.messages import Message
from privsdk.protocol.services import NO_IDENTITY
from privsdk.transport.flight import FlightNetwork
from privsdk.transport.identities import (
    CHAIN_BYTES,
    PURPOSE,
    Credentials,
    MemberIdentity,
    Members,
    Token,
    make_certificates,
)
from privsdk.transport.server import Server

REFUSED = pytest.mark.claim("identities: a statement is refused unless its named party signed it under the authority")
STATEMENT = b"what ann said"
Key = Any


def pem_of(key: Key) -> bytes:
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    return bytes(key.private_bytes(encoding, form, serialization.NoEncryption()))


def issue(
    name: str,
    key: Key,
    issuer: tuple[x509.Certificate, Key] | None,
    *,
    ca: bool = False,
    days: tuple[int, int] = (-1, 9),
    called: list[x509.GeneralName] | None = None,
) -> x509.Certificate:
    """A certificate as an organisation's own authority makes it, with no more than what is needed."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer[0].subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + timedelta(days=days[0]))
        .not_valid_after(now + timedelta(days=days[1]))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    )
    names = [x509.DNSName(name)] if called is None else called
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(issuer[1] if issuer else key, hashes.SHA256())


def pems(*certificates: x509.Certificate) -> bytes:
    return b"".join(each.public_bytes(serialization.Encoding.PEM) for each in certificates)


class House:
    """An authority, bob who trusts it, and members by their chains."""

    def __init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.root = issue("authority", self.key, None, ca=True)
        self.bob = self.member("bob")

    def member(
        self, name: str, key: Key = None, *between: x509.Certificate, issuer: Any = None, **options: Any
    ) -> MemberIdentity:
        key = key or ec.generate_private_key(ec.SECP256R1())
        leaf = issue(name, key, issuer or (self.root, self.key), **options)
        return MemberIdentity(Credentials(pems(self.root), pems(leaf, *between), pem_of(key)))


@pytest.fixture(scope="module")
def house() -> House:
    return House()


@pytest.mark.parametrize(
    "key",
    [
        ec.generate_private_key(ec.SECP256R1()),
        ec.generate_private_key(ec.SECP384R1()),
        ed25519.Ed25519PrivateKey.generate(),
        rsa.generate_private_key(65537, 2048),
    ],
    ids=["P-256", "P-384", "Ed25519", "RSA"],
)
def test_members_are_believed(house: House, key: Key) -> None:
    token = house.member("ann", key).sign(STATEMENT)
    house.bob.check("ann", STATEMENT, token)
    for statement, party in ((STATEMENT + b"!", "ann"), (b"", "ann"), (STATEMENT, "eve")):
        with pytest.raises(IdentityRefused):
            house.bob.check(party, statement, token)


def test_certificates_that_privsdk_makes(tmp_path: Path) -> None:
    make_certificates(tmp_path, ["ann", "bob"])
    make_certificates(tmp_path / "elsewhere", ["ann"])

    def of(name: str, folder: Path = tmp_path) -> MemberIdentity:
        files = {"authority": folder / "ca.pem", "certificate": folder / f"{name}.pem", "key": folder / f"{name}.key"}
        return MemberIdentity(Credentials.read(**files))

    of("bob").check("ann", STATEMENT, of("ann").sign(STATEMENT))
    with pytest.raises(IdentityRefused, match="does not lead to the federation's authority"):
        of("bob").check("ann", STATEMENT, of("ann", tmp_path / "elsewhere").sign(STATEMENT))


def test_chains_are_followed(house: House) -> None:
    """An organisation's own authority between its member and the federation's."""
    key = ec.generate_private_key(ec.SECP256R1())
    between = issue("organisation", key, (house.root, house.key), ca=True)
    house.bob.check("ann", STATEMENT, house.member("ann", None, between, issuer=(between, key)).sign(STATEMENT))
    with pytest.raises(IdentityRefused, match="does not lead"):
        house.bob.check("ann", STATEMENT, house.member("ann", issuer=(between, key)).sign(STATEMENT))


@REFUSED
@pytest.mark.parametrize("days", [(-9, -1), (1, 9)], ids=["expired", "not yet valid"])
def test_dates(house: House, days: tuple[int, int], cases: Cases) -> None:
    with pytest.raises(IdentityRefused, match="is not valid now"):
        house.bob.check("ann", STATEMENT, house.member("ann", days=days).sign(STATEMENT))
    cases()
    key = ec.generate_private_key(ec.SECP256R1())
    between = issue("organisation", key, (house.root, house.key), ca=True, days=days)
    with pytest.raises(IdentityRefused, match="is not valid now"):
        house.bob.check("ann", STATEMENT, house.member("ann", None, between, issuer=(between, key)).sign(STATEMENT))
    cases()


@REFUSED
def test_members_issue_no_certificates(house: House, cases: Cases) -> None:
    """eve, a member, makes a certificate in ann's name; and one of a chain that she made up."""
    key = ec.generate_private_key(ec.SECP256R1())
    eve = issue("eve", key, (house.root, house.key))
    with pytest.raises(IdentityRefused, match="does not lead"):
        house.bob.check("ann", STATEMENT, house.member("ann", None, eve, issuer=(eve, key)).sign(STATEMENT))
    cases()
    own = issue("authority", key, None, ca=True)
    with pytest.raises(IdentityRefused, match="does not lead"):
        house.bob.check("ann", STATEMENT, house.member("ann", None, own, issuer=(own, key)).sign(STATEMENT))
    cases()
    with pytest.raises(IdentityRefused):
        house.bob.check(
            "eve", STATEMENT, MemberIdentity(Credentials(pems(own), pems(own), pem_of(key))).sign(STATEMENT)
        )
    cases()


@REFUSED
def test_tokens_that_are_none(house: House, cases: Cases) -> None:
    ann = house.member("ann")
    token = msgspec.msgpack.decode(ann.sign(STATEMENT), type=Token)
    eve = msgspec.msgpack.decode(house.member("eve").sign(STATEMENT), type=Token)
    wrong = [
        b"",
        b"\xc1",
        b"\x00" * 70,
        msgspec.msgpack.encode(Token(token.signature, ())),
        msgspec.msgpack.encode(Token(token.signature, (b"no certificate",))),
        msgspec.msgpack.encode(Token(token.signature, token.chain * (CHAIN_BYTES // len(token.chain[0]) + 1))),
        msgspec.msgpack.encode(Token(token.signature[:-1], token.chain)),
        msgspec.msgpack.encode(Token(b"", token.chain)),
        msgspec.msgpack.encode(Token(eve.signature, token.chain)),
        msgspec.msgpack.encode(Token(token.signature, eve.chain)),
        msgspec.msgpack.encode(eve),
        ann.sign(STATEMENT)[:-1],
        ann.sign(PURPOSE + STATEMENT),
    ]
    for each in wrong:
        with pytest.raises(IdentityRefused):
            house.bob.check("ann", STATEMENT, each)
        cases()


def test_statements_are_told_from_what_else_a_key_signs(house: House) -> None:
    """The key also serves TLS: a bare signature of the statement is no token."""
    key = ec.generate_private_key(ec.SECP256R1())
    token = msgspec.msgpack.decode(house.member("ann", key).sign(STATEMENT), type=Token)
    bare = Token(key.sign(STATEMENT, ec.ECDSA(hashes.SHA256())), token.chain)
    with pytest.raises(IdentityRefused):
        house.bob.check("ann", STATEMENT, msgspec.msgpack.encode(bare))


def test_keys_that_cannot_sign_are_refused(house: House) -> None:
    from cryptography.hazmat.primitives.asymmetric import x25519

    certificate = pems(house.root)
    for pem in (b"", b"no key", pem_of(x25519.X25519PrivateKey.generate())):
        with pytest.raises(InvalidArgument):
            MemberIdentity(Credentials(certificate, certificate, pem))
    with pytest.raises(InvalidArgument):
        MemberIdentity(Credentials(b"", certificate, pem_of(house.key)))


@REFUSED
def test_the_parties_of_one_process_know_each_other(cases: Cases) -> None:
    members, other = Members(("ann", "bob")), Members(("ann",))
    token = members.of("ann").sign(STATEMENT)
    members.of("bob").check("ann", STATEMENT, token)
    for party, statement, wrong in (
        ("bob", STATEMENT, token),
        ("eve", STATEMENT, token),
        ("ann", b"else", token),
        ("ann", STATEMENT, b""),
        ("ann", STATEMENT, other.of("ann").sign(STATEMENT)),
    ):
        with pytest.raises(IdentityRefused, match=f"statement of {party} is not signed by it"):
            members.of("bob").check(party, statement, wrong)
        cases()


def test_without_an_identity_nothing_is_signed_or_believed() -> None:
    with pytest.raises(IdentityRefused, match="nothing to sign with"):
        NO_IDENTITY.sign(STATEMENT)
    with pytest.raises(IdentityRefused, match="nothing is known"):
        NO_IDENTITY.check("ann", STATEMENT, b"")


NAMED: dict[str, list[x509.GeneralName]] = {
    "by its common name alone": [],
    "empty": [x509.DNSName("")],
    "anything": [x509.DNSName("*")],
    "two members": [x509.DNSName("ann"), x509.DNSName("bob")],
    "the same twice": [x509.DNSName("ann"), x509.DNSName("ann")],
    "a member and an address": [x509.DNSName("ann"), x509.UniformResourceIdentifier("spiffe://ann")],
    "a member and a host": [x509.IPAddress(IPv4Address("127.0.0.1")), x509.DNSName("ann")],
    "an address": [x509.UniformResourceIdentifier("ann")],
    "a mailbox": [x509.RFC822Name("ann@example.org")],
    "a host": [x509.DNSName("ann.example.org")],
    "a control letter": [x509.DNSName("ann\n")],
    "too long": [x509.DNSName("a" * 64)],
}


class Listening:
    """A party that remembers who called."""

    def __init__(self) -> None:
        self.callers: list[str] = []

    def handle(self, caller: str, call: control.Call) -> Message:
        self.callers.append(caller)
        return control.Done()

    def accept(self, caller: str, hello: control.Hello, channel: Channel) -> None:
        self.callers.append(caller)


@pytest.mark.claim("identities: a certificate that does not name exactly one member is nobody's")
@pytest.mark.attack("a certificate without a name, with several, or with *", "its first or common name", "nobody's")
def test_a_certificate_names_exactly_one_member(house: House, cases: Cases) -> None:
    """As a caller's, as the signer's of a statement, and as one's own."""

    def credentials(called: list[x509.GeneralName] | None, name: str = "ann") -> Credentials:
        key = ec.generate_private_key(ec.SECP256R1())
        return Credentials(
            pems(house.root), pems(issue(name, key, (house.root, house.key), called=called)), pem_of(key)
        )

    party = Listening()
    server = Server(party, "north", "grpc+tls://127.0.0.1:0", credentials(None, "north"))
    addresses = {"north": f"grpc+tls://127.0.0.1:{server.port}"}
    stop = control.Stop(run_id="r")
    try:
        for called in NAMED.values():
            odd = credentials(called)
            with pytest.raises(PrivsdkError):
                FlightNetwork(odd, lambda: addresses).call("north", stop, control.Done)
            with pytest.raises(InvalidArgument, match="does not name one member"):
                odd.name()
            for name in ("ann", "bob", "", "*"):
                with pytest.raises(IdentityRefused):
                    house.bob.check(name, STATEMENT, MemberIdentity(odd).sign(STATEMENT))
            cases()
        assert party.callers == []
        FlightNetwork(credentials(None), lambda: addresses).call("north", stop, control.Done)
        assert party.callers == ["ann"]
    finally:
        server.shutdown()
