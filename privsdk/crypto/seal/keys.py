"""Keys with the trust in their type: a SecretContext opens ciphertexts, a PublicContext can only make and compute them.

A public context is made from serialised coefficients alone and has never held a secret. A secret one shows nothing of
itself, and at rest is encrypted: AES-256-GCM under a key that scrypt (RFC 7914) derives from a passphrase; what is
known of it in clear (owner, creation date, uses) is authenticated with it. The count of reveals is written before each,
so that a crash cannot give one back; a copy of the file that is put back can, and a key is only as careful as the disk
it lies on.

Ciphertexts under different keys add silently to garbage, so every key has a fingerprint that they carry with them.
"""

from __future__ import annotations

import datetime
import hashlib
import os
import secrets
import threading
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn, Self

import msgspec

from ...display.cards import Card, Displayed
from ...errors import InvalidArgument, PolicyRefused, ProtocolViolation
from ...protocol.messages import build
from .keyfile import KeyFile, derived
from .presets import Preset

MAX_PUBLIC_BYTES = 128 << 20  # keys for products take most: 105 MiB for the deepest preset


class PublicContext(Displayed):
    """Encrypts and computes under one key; cannot decrypt.

    Attributes
    ----------
    preset : Preset
    rows : tuple of bytes
        A public key for each ring, then the keys for products where the preset has them.
    fingerprint : str
        SHA-256 over the preset and the rows.
    """

    def __init__(self, preset: Preset, rows: Sequence[bytes]) -> None:
        due = len(preset.parameters) + preset.products
        if len(rows) != due or not all(isinstance(row, bytes) for row in rows):
            raise ProtocolViolation(f"a public key of {len(rows)} parts where {due} are due: it is of other parameters")
        self.preset = preset
        self.rows = tuple(rows)
        self.encryptors = tuple(
            ring.encryptor(ring.public_key(row)) for ring, row in zip(preset.rings, rows, strict=False)
        )

    @cached_property
    def fingerprint(self) -> str:
        digest = hashlib.sha256(msgspec.json.encode(self.preset, order="sorted"))
        for row in self.rows:
            digest.update(hashlib.sha256(row).digest())
        return digest.hexdigest()

    @cached_property
    def relin(self) -> Any:
        """SEAL's keys for products of ciphertexts."""
        if not self.preset.products:
            raise InvalidArgument("this key multiplies no ciphertexts", hint="let he.choose see the whole circuit")
        return self.preset.rings[0].relin_keys(self.rows[-1])

    def to_bytes(self) -> bytes:
        return msgspec.msgpack.encode(_Public(preset=self.preset, rows=self.rows))

    @classmethod
    def from_bytes(cls, blob: bytes) -> Self:
        """A public key from outside, everything checked."""
        if len(blob) > MAX_PUBLIC_BYTES:
            raise ProtocolViolation(f"a public key of {len(blob):,} bytes; {MAX_PUBLIC_BYTES:,} are allowed")
        try:
            found = msgspec.msgpack.decode(blob, type=_Public)
        except (msgspec.DecodeError, InvalidArgument):
            raise ProtocolViolation("a public key is malformed, or a secret one, or of another version") from None
        return cls(found.preset, found.rows)

    def _card(self) -> Card:
        facts = [
            ("fingerprint", self.fingerprint[:12]),
            ("can", "encrypt, and compute on what is encrypted"),
            ("cannot", "reveal anything"),
            ("preset", str(self.preset)),
        ]
        return Card(title="public key", facts=facts)

    def __repr__(self) -> str:
        return f"PublicContext({self.fingerprint[:12]}, {self.preset})"


class SecretContext(Displayed):
    """Holds a secret key. Cannot be serialised but by `save`, nor copied, compared to booleans or iterated.

    Attributes
    ----------
    public : PublicContext
    owner, created, generation : str, str, int
        Whose it is, since when (UTC), and how many rotations made it.
    uses : int
        Ciphertexts revealed so far. `preset.reveals` is the most for CKKS.
    retired : bool
        Whether it was rotated: it encrypts no more, and still reveals what is under it.
    records : tuple of Record
        One for each reveal: the audit of this key.
    """

    __slots__ = (
        "_counting", "_decryptors", "_disk", "_encryptors", "_secrets", "created", "generation", "owner", "public",
        "records", "retired", "uses",
    )  # fmt: skip

    def __init__(self, secrets_: Sequence[Any], public: PublicContext, *, facts: Facts) -> None:
        self._secrets = tuple(secrets_)
        self._encryptors: tuple[Any, ...] | None = None
        self._decryptors: tuple[Any, ...] | None = None
        self._disk: KeyFile | None = None
        self._counting = threading.Lock()
        self.public = public
        self.owner = facts.owner
        self.created = facts.created
        self.generation = facts.generation
        self.uses = facts.uses
        self.retired = facts.retired
        self.records = facts.records

    @classmethod
    def new(cls, preset: Preset, *, owner: str = "", generation: int = 0) -> Self:
        """A fresh key."""
        keys = [ring.new_secret_key() for ring in preset.rings]
        rows = [ring.public_key_row(key) for ring, key in zip(preset.rings, keys, strict=True)]
        if preset.products:
            rows.append(preset.rings[0].relin_key_row(keys[0]))
        created = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        return cls(keys, PublicContext(preset, rows), facts=Facts(owner=owner, created=created, generation=generation))

    @property
    def preset(self) -> Preset:
        return self.public.preset

    @property
    def encryptors(self) -> tuple[Any, ...]:
        """Symmetric: half the size, and less noise."""
        if self.retired:
            raise InvalidArgument("this key was rotated: it encrypts no more", hint="encrypt under the new key")
        if self._encryptors is None:
            self._encryptors = tuple(
                ring.encryptor(key) for ring, key in zip(self.preset.rings, self._secrets, strict=True)
            )
        return self._encryptors

    @property
    def decryptors(self) -> tuple[Any, ...]:
        """For this package only: what they give is not protected. `reveal` is the way out."""
        if self._decryptors is None:
            self._decryptors = tuple(
                ring.decryptor(key) for ring, key in zip(self.preset.rings, self._secrets, strict=True)
            )
        return self._decryptors

    def used(self, record: Record, *, ciphertexts: int) -> None:
        """Count a reveal of so many ciphertexts, on disk first where the key has a file."""
        with self._counting:
            if self.preset.scheme == "ckks" and self.uses + ciphertexts > self.preset.reveals:
                raise PolicyRefused(
                    f"this key has revealed {self.uses:,} ciphertexts of the {self.preset.reveals:,} it may, and this "
                    f"is {ciphertexts:,} more: each tells a little of the key",
                    hint="encrypt under a new key, key.rotate(), and reveal sums rather than rows",
                )
            self.uses += ciphertexts
            self.records = (*self.records, record)
            self._write()

    def rotate(self) -> SecretContext:
        """A fresh key of the same preset and owner; this one encrypts no more."""
        successor = SecretContext.new(self.preset, owner=self.owner, generation=self.generation + 1)
        with self._counting:
            self.retired = True
            self._write()
        return successor

    def save(self, path: str | os.PathLike[str], passphrase: str) -> None:
        """Keep the key in a file, encrypted; later uses are counted there.

        Raises
        ------
        InvalidArgument
            The file exists, its folder does not, or the passphrase is empty.
        """
        target = Path(path)
        if target.exists():
            raise InvalidArgument(f"{target} exists", hint="choose another name: a key is never overwritten")
        if not target.parent.is_dir():
            raise InvalidArgument(f"there is no folder {target.parent}", hint="make it first")
        if self._disk is not None:
            raise InvalidArgument(
                f"this key is kept in {self._disk.path} already", hint="two files would each count half of its reveals"
            )
        salt = secrets.token_bytes(16)
        disk = KeyFile(target, salt, derived(passphrase, salt))
        disk.write(self._stored(disk))
        self._disk = disk

    @classmethod
    def load(cls, path: str | os.PathLike[str], passphrase: str) -> Self:
        """The key of a file.

        Raises
        ------
        InvalidArgument
            There is none, the passphrase is another, or the file was changed.
        """
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        try:
            content = Path(path).read_bytes()
            stored = msgspec.msgpack.decode(content, type=_Stored)
        except (FileNotFoundError, IsADirectoryError):
            raise InvalidArgument(f"there is no key file {path}") from None
        except msgspec.DecodeError:
            raise InvalidArgument(f"{path} is no key file of this version") from None
        disk = KeyFile(Path(path), stored.salt, derived(passphrase, stored.salt), content)
        try:
            inner = AESGCM(disk.key).decrypt(stored.nonce, stored.sealed, stored.facts)
        except (InvalidTag, ValueError):  # the latter for a nonce of no length that there is
            raise InvalidArgument(
                f"{path} does not open", hint="check the passphrase; or the file was changed"
            ) from None
        kept = msgspec.msgpack.decode(inner, type=_Kept)
        public = PublicContext(kept.preset, kept.rows)
        keys = [ring.secret_key(saved) for ring, saved in zip(kept.preset.rings, kept.secrets, strict=True)]
        made = cls(keys, public, facts=msgspec.json.decode(stored.facts, type=Facts))
        made._disk = disk
        return made

    def _write(self) -> None:
        if self._disk is not None:
            self._disk.replace(self._stored(self._disk))

    def _stored(self, disk: KeyFile) -> bytes:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        facts = Facts(
            owner=self.owner, created=self.created, generation=self.generation, uses=self.uses, retired=self.retired,
            records=self.records,
        )  # fmt: skip
        clear, nonce = msgspec.json.encode(facts), secrets.token_bytes(12)
        saved = tuple(ring.saved_secret(key) for ring, key in zip(self.preset.rings, self._secrets, strict=True))
        inner = msgspec.msgpack.encode(_Kept(preset=self.preset, rows=self.public.rows, secrets=saved))
        sealed = AESGCM(disk.key).encrypt(nonce, inner, clear)
        return msgspec.msgpack.encode(_Stored(facts=clear, salt=disk.salt, nonce=nonce, sealed=sealed))

    def _card(self) -> Card:
        preset = self.preset
        most = f" of {preset.reveals:,}" if preset.scheme == "ckks" else ""
        facts = [
            ("fingerprint", self.public.fingerprint[:12]),
            ("owner", self.owner or "not named"),
            ("since", f"{self.created[:19].replace('T', ' ')} UTC, generation {self.generation}"),
            ("state", "retired: encrypts no more, still reveals what is under it" if self.retired else "in use"),
            ("revealed", f"{self.uses:,}{most} ciphertexts, in {len(self.records):,} reveals"),
            ("preset", str(preset)),
        ]
        return Card(title="secret key", facts=facts)

    def __repr__(self) -> str:
        whose = f" of {self.owner}" if self.owner else ""
        return f"SecretContext({self.public.fingerprint[:12]}{whose}, {self.uses} ciphertexts revealed)"

    def __bool__(self) -> NoReturn:
        raise TypeError("a SecretContext has no truth value")

    def __iter__(self) -> NoReturn:
        raise TypeError("a SecretContext cannot be iterated")

    def __reduce__(self, *_memo: object) -> NoReturn:
        raise TypeError("a SecretContext is never serialised; save(path, passphrase) keeps it")

    __copy__ = __deepcopy__ = __reduce__


class Record(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One reveal: when, of what (a digest of the ciphertexts), whose values were in it, and its error."""

    time: str
    digest: str
    owners: tuple[str, ...]
    summands: int
    error: float


class Facts(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What may be known of a key."""

    owner: str
    created: str
    generation: int = 0
    uses: int = 0
    retired: bool = False
    records: tuple[Record, ...] = ()


class _Public(msgspec.Struct, frozen=True, kw_only=True, tag="privsdk.he.public.1", forbid_unknown_fields=True):
    preset: Preset
    rows: tuple[bytes, ...]


class _Kept(msgspec.Struct, frozen=True, kw_only=True, tag="privsdk.he.secret.1", forbid_unknown_fields=True):
    preset: Preset
    rows: tuple[bytes, ...]
    secrets: tuple[bytes, ...]


class _Stored(msgspec.Struct, frozen=True, kw_only=True, tag="privsdk.he.key.1", forbid_unknown_fields=True):
    facts: bytes
    salt: bytes
    nonce: bytes
    sealed: bytes


for _struct in (_Public, _Kept, _Stored, Facts):
    build(_struct)
