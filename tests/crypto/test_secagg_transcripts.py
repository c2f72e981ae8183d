"""What each party of a masked sum receives is what is declared: keys, boxes it can open, who is left, uniform words."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import pytest
from claims import Cases
from harness import assert_same_shape, digest, looks_uniform, wire_bytes, words
from msgspec.structs import replace
from summing import LARGEST, SESSION, before_send, ending, late, masked_sum, total, vectors_of

from privsdk.crypto.sums import masker, shamir
from privsdk.crypto.sums.masker import Context, Masker, Secret, pairwise
from privsdk.crypto.sums.masks import Mask, add_from
from privsdk.errors import IdentityRefused, ProtocolViolation
from privsdk.protocol.roles import Step
from privsdk.testing import SeededEntropy, Sent

LENGTH = 60_000
UNIFORM = pytest.mark.claim("fl.secagg: single messages are uniform at alpha 1e-6")


def kinds(transcript: Sequence[Sent]) -> list[str]:
    return [f"{sent.sender}>{sent.receiver} {sent.tag.rpartition('.')[2]}" for sent in transcript]


def columns(sent: Sent) -> dict[str, Any]:
    return {} if sent.table is None else sent.table.to_pydict()


def body(sent: Sent) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.json.decode(sent.header)["body"]
    return {name: value for name, value in found.items() if name not in ("table", "type")}


def run(vectors: dict[str, Any], **options: Any) -> tuple[dict[str, Any], list[Sent]]:
    transcript: list[Sent] = []
    return total(vectors, transcript=transcript, **options), transcript


@pytest.mark.claim("fl.secagg: each party receives what is declared and nothing else")
def test_messages_are_the_declared_ones(cases: Cases) -> None:
    """Three clients, of whom c is lost before its vector: every message, with all that is in it."""
    vectors = vectors_of(np.random.default_rng(1), 3, 50)
    _, transcript = run(vectors, wrapped={"c": ending(2)})
    in_order = [
        *("a>k Advertised", "b>k Advertised", "c>k Advertised"),
        *("k>a Directory", "k>b Directory", "k>c Directory"),
        *("a>k Boxes", "b>k Boxes", "c>k Boxes"),
        *("k>a Boxes", "k>b Boxes", "k>c Boxes"),
        *("a>k Masked32", "b>k Masked32"),
        *("k>a Unmask", "k>b Unmask"),
        *("a>k Revealed", "b>k Revealed"),
    ]
    assert kinds(transcript) == in_order
    advertised = {s.sender: body(s) for s in transcript if s.tag.endswith("Advertised")}
    assert all(set(each) == {"name", "box_key", "mask_key", "token"} for each in advertised.values())
    for sent in transcript:
        kind, others = sent.tag.rpartition(".")[2], [name for name in "abc" if name not in (sent.sender, sent.receiver)]
        if kind == "Directory":
            assert columns(sent)["party"] == ["a", "b", "c"]
            assert list(columns(sent)) == ["party", "box_key", "mask_key", "token"]
            assert body(sent) == {"name": "round 1"}
        elif kind == "Boxes":
            assert columns(sent)["party"] == others
            assert {len(box) for box in columns(sent)["box"]} == {2 * shamir.SHARE_BYTES + masker.TAG_BYTES}
            assert body(sent) == {"name": "round 1"}
        elif kind == "Masked32":
            assert len(words(sent)) == 50
            assert body(sent) == {"name": "round 1"}
        elif kind == "Unmask":
            assert body(sent) == {"name": "round 1", "survivors": ["a", "b"], "dropped": ["c"]}
        elif kind == "Revealed":
            assert columns(sent)["party"] == ["a", "b", "c"]
            assert {len(share) for share in columns(sent)["share"]} == {shamir.SHARE_BYTES}
        cases()


@UNIFORM
@pytest.mark.parametrize("largest", [LARGEST, 1 << 61])
def test_masked_vectors_are_uniform(largest: int, cases: Cases) -> None:
    """Of vectors of zeros, of ones and of the largest entries alike; also with a client lost."""
    vectors = {name: np.full(LENGTH, value) for name, value in zip("abcd", (0, 1, largest, -largest), strict=True)}
    for wrapped in ({}, {"d": ending(3)}):
        _, transcript = run(vectors, largest=largest, wrapped=wrapped)
        masked = [words(sent) for sent in transcript if "Masked" in sent.tag]
        assert len(masked) == 4
        for each in masked:
            assert looks_uniform(each)
            cases()
        for one, other in ((0, 1), (2, 3), (0, 3)):
            assert looks_uniform(masked[one] - masked[other])


def without_pairs(transcript: Sequence[Sent], party: str, names: Sequence[str]) -> Any:
    """A party's masked vector less the masks between pairs, as whoever recovers its private key can take them off."""
    (vector,) = (words(sent).copy() for sent in transcript if sent.sender == party and "Masked" in sent.tag)
    directory = next(columns(sent) for sent in transcript if sent.tag.endswith("Directory"))
    keys = {
        name: masker.Public(box, mask)
        for name, box, mask in zip(directory["party"], directory["box_key"], directory["mask_key"], strict=True)
    }
    numbers = {name: number for number, name in enumerate(names, 1)}
    shares = [
        (numbers[sent.sender], dict(zip(columns(sent)["party"], columns(sent)["share"], strict=True))[party])
        for sent in transcript
        if sent.tag.endswith("Revealed")
    ]
    threshold = len(names) // 2 + 1
    secret = Secret(shamir.recover(shares, threshold=threshold))
    context = Context(SESSION, "round 1", tuple(names), "k", threshold, len(vector), 32)
    masks = [pairwise(context.digest(), secret, party, other, keys) for other in names if other != party]
    add_from(vector, 0, [mask._replace(plus=not mask.plus) for mask in masks])
    return vector


@UNIFORM
def test_a_late_vector_stays_masked_by_its_own(cases: Cases) -> None:
    """The coordinator has its sender's key by then; what is left is the sender's own mask."""
    vectors = {name: np.zeros(LENGTH, np.int64) for name in "abcd"}
    _, transcript = run(vectors, wrapped={"b": late(2)}, within_s=1)
    assert kinds(transcript)[-1] != "b>k Masked32"
    assert looks_uniform(without_pairs(transcript, "b", "abcd"))
    cases()


def test_without_own_masks_a_late_vector_is_bare() -> None:
    """The check above fails on a mutant."""
    vectors = {name: np.full(LENGTH, 7) for name in "abcd"}
    with pytest.MonkeyPatch.context() as patch:
        whole = Masker.masks
        patch.setattr(Masker, "masks", lambda self, boxes: whole(self, boxes)[1:])
        _, transcript = run(vectors, wrapped={"b": late(2)}, within_s=1)
    bare = without_pairs(transcript, "b", "abcd")
    assert (bare == 7).all()
    assert not looks_uniform(bare)


@UNIFORM
def test_rounds_have_masks_of_their_own(cases: Cases) -> None:
    """The same vector in two rounds: the difference of what is sent is uniform."""
    vectors = {name: np.full(LENGTH, 7) for name in "abc"}
    _, transcript = run(vectors, rounds=["round 1", "round 2"])
    for name in vectors:
        first, second = (words(sent) for sent in transcript if sent.sender == name and "Masked" in sent.tag)
        assert looks_uniform(second - first)
        cases()
    keys = [
        body(sent)[key] for sent in transcript if sent.tag.endswith("Advertised") for key in ("box_key", "mask_key")
    ]
    assert len(set(keys)) == len(keys) == 12


def test_keys_are_fresh_and_names_separate_even_where_they_are_not() -> None:
    """Each is enough: entropy that repeats itself is found by names, and one name by entropy. Without both it shows."""

    class Stuck:
        def draw(self, size: int) -> bytes:
            return SeededEntropy(b"stuck").draw(size)

    def difference(*, named: bool) -> Any:
        vectors = {name: np.full(2000, 7) for name in "abc"}
        sums = {name: masked_sum(name) for name in (*vectors, "k")}
        for name in vectors:
            sums[name].entropy = Separate(name)
        with pytest.MonkeyPatch.context() as patch:
            if not named:
                patch.setattr(Context, "digest", lambda self: bytes(32))
            transcript: list[Sent] = []
            total(vectors, sums=sums, rounds=["round 1", "round 2"], transcript=transcript)
        first, second = (words(sent) for sent in transcript if sent.sender == "a" and "Masked" in sent.tag)
        return second - first

    class Separate(Stuck):
        """The same at each draw of a size, and different at each client."""

        def __init__(self, name: str) -> None:
            self._name, self._count = name, 0

        def draw(self, size: int) -> bytes:
            self._count = self._count % 5 + 1  # two keys, one own mask, two sharings
            return SeededEntropy(f"{self._name}{self._count}".encode()).draw(size)

    assert looks_uniform(difference(named=True))
    assert not difference(named=False).any()


def test_keys_and_shares_are_uniform(cases: Cases) -> None:
    """All bytes of shares and boxes that one client sends over many sums."""
    sent_bytes = b""
    vectors = {name: np.zeros(1, np.int64) for name in "abcde"}
    sums = {name: masked_sum(name) for name in (*vectors, "k")}
    transcript: list[Sent] = []
    total(vectors, sums=sums, rounds=[f"round {number}" for number in range(60)], transcript=transcript)
    for sent in transcript:
        if sent.sender == "a" and sent.tag.endswith("Boxes"):
            sent_bytes += b"".join(columns(sent)["box"])
        if sent.sender == "a" and sent.tag.endswith("Revealed"):
            sent_bytes += b"".join(share[1:] for share in columns(sent)["share"])  # the first byte is 0 or 1
    whole = np.frombuffer(sent_bytes[: len(sent_bytes) // 4 * 4], np.uint32)
    assert len(whole) > 5_000
    assert looks_uniform(whole)


@pytest.mark.claim("fl.secagg: a box opens for its receiver alone, of its sender alone, in its sum alone")
def test_boxes_open_for_their_receivers_alone(cases: Cases) -> None:
    ann, bob, eve = (Secret(bytes([number]) * 32) for number in (1, 2, 3))
    of_sum, other_sum = (Context(s, "round 1", ("a", "b", "e"), "k", 2, 3, 32).digest() for s in (b"s", b"t"))
    ends = ("a", ann.public), ("b", bob.public)
    key = masker.box_key(ann.shared("b", bob.public), of_sum, *ends)
    box = masker.closed(key, b"content", of_sum, "a", "b")
    assert key == masker.box_key(bob.shared("a", ann.public), of_sum, *ends)
    assert masker.opened(key, box, of_sum, "a", "b") == b"content"
    others = [
        masker.box_key(eve.shared("a", ann.public), of_sum, *ends),
        masker.box_key(eve.shared("b", bob.public), of_sum, *ends),
        masker.box_key(bob.shared("a", ann.public), of_sum, *reversed(ends)),
        masker.box_key(bob.shared("a", ann.public), other_sum, *ends),
        masker.box_key(bob.shared("a", ann.public), of_sum, ("a", bob.public), ("b", ann.public)),
        masker.mask_seed(bob.shared("a", ann.public), of_sum, dict(ends)),
    ]
    assert len({key, *others}) == 1 + len(others)
    for wrong in others:
        with pytest.raises(ProtocolViolation):
            masker.opened(wrong, box, of_sum, "a", "b")
        cases()
    for where in ((other_sum, "a", "b"), (of_sum, "b", "a"), (of_sum, "a", "e"), (of_sum, "e", "b")):
        with pytest.raises(ProtocolViolation, match="does not open"):
            masker.opened(key, box, *where)
        cases()


def test_boxes_hold_neither_key_nor_share_in_the_clear() -> None:
    """No secret of a client, and no share before it is revealed, is on the wire."""
    vectors = vectors_of(np.random.default_rng(2), 4, 20)
    secrets: list[bytes] = []
    with pytest.MonkeyPatch.context() as patch:
        whole = shamir.split

        def split(secret: bytes, *args: Any, **options: Any) -> Any:
            shares = whole(secret, *args, **options)
            secrets.append(secret)
            secrets.extend(shares)
            return shares

        patch.setattr(shamir, "split", split)
        _, transcript = run(vectors, wrapped={"d": ending(2)})
    assert len(secrets) == 4 * 2 * (1 + 4)
    wire = b"".join(wire_bytes(sent) for sent in transcript if not sent.tag.endswith("Revealed"))
    assert not [secret for secret in secrets if secret in wire]
    revealed = b"".join(wire_bytes(sent) for sent in transcript if sent.tag.endswith("Revealed"))
    assert sum(secret in revealed for secret in secrets) == 3 * 4  # of three that are left, a share of each of four


def test_never_both_shares_of_one() -> None:
    """Over a whole training: of each sum and each client, shares of one kind are revealed."""
    vectors = vectors_of(np.random.default_rng(3), 5, 5)
    kinds_of: dict[tuple[bytes, ...], str] = {}
    seen: list[Any] = []
    with pytest.MonkeyPatch.context() as patch:
        whole = shamir.split

        def split(secret: bytes, *args: Any, **options: Any) -> Any:
            shares = whole(secret, *args, **options)
            entropy = options["entropy"]
            kinds_of[tuple(shares)] = "own" if entropy in seen else "key"  # a client shares its key first
            seen.append(entropy)
            return shares

        patch.setattr(shamir, "split", split)
        _, transcript = run(vectors, wrapped={"d": ending(2), "b": ending(3)})
    for victim in vectors:
        shares = [
            dict(zip(columns(sent)["party"], columns(sent)["share"], strict=True))[victim]
            for sent in transcript
            if sent.tag.endswith("Revealed")
        ]
        found = {kind for many, kind in kinds_of.items() for share in shares if share in many}
        assert found == ({"key"} if victim == "d" else {"own"})


def test_messages_tell_nothing_by_their_form() -> None:
    """Other values, other entropy: the same messages of the same lengths."""
    runs = [run({name: np.full(50, value) for name in "abc"}, seed=bytes([value]))[1] for value in (0, 9)]
    assert_same_shape(*runs, slack=4)
    assert digest(runs[0]) != digest(runs[1])
    again = run({name: np.zeros(50, np.int64) for name in "abc"}, seed=b"\0")[1]
    assert [words(s).tolist() for s in again if "Masked" in s.tag] == [
        words(s).tolist() for s in runs[0] if "Masked" in s.tag
    ]


class Trusting:
    """A mutant's identity: it believes everyone."""

    def sign(self, statement: bytes) -> bytes:
        return b"me"

    def check(self, party: str, statement: bytes, token: bytes) -> None:
        """All is well."""


@pytest.mark.parametrize("signed", [True, False])
def test_a_coordinator_in_the_middle_reads_who_checks_no_signature(signed: bool) -> None:
    """Towards a it puts mask keys of its own for the others', and towards them one for a's.

    It then knows all of a's masks: the attack works on clients that believe everyone, and signatures are what stops it.
    """
    own = {name: Secret(bytes([number]) * 32) for number, name in enumerate("abc")}
    vectors = {name: np.full(LENGTH, 3) for name in "abc"}
    sums = {name: masked_sum(name, identity=None if signed else Trusting()) for name in (*vectors, "k")}

    def put(message: Any, receiver: str) -> Any:
        rows = message.table.to_pylist()
        for row in rows:
            if (row["party"] == "a") != (receiver == "a"):
                row["mask_key"] = own[row["party"]].public
        return replace(message, table=type(message.table).from_pylist(rows, schema=message.table.schema))

    def act(step: Step) -> Any:
        yield from ()
        return step._replace(send={name: put(message, name) for name, message in step.send.items()})

    transcript: list[Sent] = []
    outputs = total(vectors, sums=sums, wrapped={"leader": before_send(0, act)}, transcript=transcript)
    if signed:
        assert all(isinstance(outputs[name], IdentityRefused) for name in vectors)
        assert not [sent for sent in transcript if sent.tag.endswith("Boxes")]
        return
    shares = [
        (number, dict(zip(columns(sent)["party"], columns(sent)["share"], strict=True))["a"])
        for number, sent in enumerate((s for s in transcript if s.tag.endswith("Revealed")), 1)
    ]
    digest = Context(SESSION, "round 1", ("a", "b", "c"), "k", 2, LENGTH, 32).digest()
    (vector,) = (words(sent).copy() for sent in transcript if sent.sender == "a" and "Masked" in sent.tag)
    (key,) = (base64.b64decode(body(s)["mask_key"]) for s in transcript if s.sender == "a" and "Advert" in s.tag)
    masks = [Mask(masker.self_seed(shamir.recover(shares, threshold=2), digest, "a"), plus=False)]
    for name in "bc":
        ends = {"a": key, name: own[name].public}
        masks.append(Mask(masker.mask_seed(own[name].shared("a", key), digest, ends), plus=False))
    add_from(vector, 0, masks)
    assert (vector == 3).all()


def test_every_bit_of_a_shared_secret_counts() -> None:
    """What is on the wire gives no seed: each is of 32 secret bytes, of which none is dropped."""
    keys = {"a": b"A" * 32, "b": b"B" * 32}
    secrets = [bytes(32), *((1 << bit).to_bytes(32, "big") for bit in range(256))]
    for derive in (
        lambda secret: masker.mask_seed(secret, bytes(32), keys),
        lambda secret: masker.self_seed(secret, bytes(32), "a"),
        lambda secret: masker.box_key(secret, bytes(32), *keys.items()),
    ):
        found = {derive(secret) for secret in secrets}
        assert len(found) == len(secrets)
        assert {len(each) for each in found} == {32}
