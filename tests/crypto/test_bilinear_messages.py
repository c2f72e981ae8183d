"""What each end of a session of products receives, whether it fits or not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pytest
from claims import Cases
from harness import assert_same_shape, looks_uniform
from multiplying import PROVIDERS, Session, dealt, extreme_session, lattice, shares_of
from summing import caught, changing

from privsdk.crypto.bilinear.base import ProductTerms
from privsdk.crypto.bilinear.traffic import Traffic, dealer_traffic, lattice_traffic
from privsdk.errors import PeerGone, ProtocolViolation
from privsdk.errors.sessions import ProductUnfit, TermsDiffer
from privsdk.protocol.messages import Message
from privsdk.testing import Sent

SIZES: dict[str, Any] = {"rows": 5000, "columns": 40, "bits": 8, "prime_bits": 48, "vectors": 4, "rank": 2, "seed": 5}
ONE, OTHER = extreme_session(fill="random", **SIZES), extreme_session(fill="most", **SIZES)


def numbers_in(sent: Sent) -> np.ndarray[Any, np.dtype[np.int64]]:
    assert sent.table is not None
    found: np.ndarray[Any, np.dtype[np.int64]] = sent.table.column("number").to_numpy()
    return found


def run(session: Session, provider: str) -> list[Sent]:
    transcript: list[Sent] = []
    shares_of(session, PROVIDERS[provider], transcript=transcript)
    return transcript


@pytest.mark.parametrize("provider", PROVIDERS)
def test_transcripts_have_one_shape(provider: str) -> None:
    """Nobody sees from outside what is multiplied, zeros or not."""
    zeros = ONE._replace(matrix=np.zeros_like(ONE.matrix), left=[np.zeros_like(f) for f in ONE.left])
    for session in (OTHER, zeros):
        assert_same_shape(run(ONE, provider), run(session, provider))


@pytest.mark.claim("bilinear: with a dealer each end receives uniform numbers, the dealer none that depend on inputs")
def test_with_a_dealer_what_is_received_is_masked(cases: Cases) -> None:
    """With the same keys, two runs' messages differ by exactly what their inputs differ by; each looks uniform."""
    prime, runs = ONE.terms.prime, [run(session, "dealer") for session in (ONE, OTHER)]
    to_dealer = [[(s.sender, s.tag, s.header) for s in sent if s.receiver == "d"] for sent in runs]
    assert to_dealer[0] == to_dealer[1]
    assert not [s.table for s in runs[0] if s.receiver == "d" and s.table is not None]
    from_dealer = [[numbers_in(s).tolist() for s in sent if s.sender == "d"] for sent in runs]
    assert from_dealer[0] == from_dealer[1]
    masked = [[s for s in sent if s.tag == "bilinear.Masked"] for sent in runs]
    inputs = [{"a": [s.matrix, np.empty(0, np.int64), s.left[0]], "b": [*s.vectors, s.right[0]]} for s in (ONE, OTHER)]
    for end in ("a", "b"):
        pairs = [[s for s in sent if s.sender == end] for sent in masked]
        for one, other, mine, theirs in zip(*pairs, inputs[0][end], inputs[1][end], strict=True):
            moved = (numbers_in(other) - numbers_in(one)) % prime
            assert (moved == (theirs - mine).reshape(-1) % prime).all()
            if len(numbers_in(one)) > 1000:
                assert looks_uniform(np.ascontiguousarray(numbers_in(one).view(np.uint8).reshape(-1, 8)[:, :5]))
            cases()


@pytest.mark.parametrize("provider", PROVIDERS)
def test_shares_are_uniform(provider: str) -> None:
    found = shares_of(OTHER, PROVIDERS[provider])
    for shares in (found["a"], found["b"]):
        bottom = np.concatenate([share.reshape(-1) for share in shares]).view(np.uint8).reshape(-1, 8)[:, :5]
        assert looks_uniform(np.ascontiguousarray(bottom))


@pytest.mark.claim("bilinear: bytes are known from the terms alone, to the last")
@pytest.mark.parametrize(("provider", "traffic"), [("lattice", lattice_traffic), ("dealer", dealer_traffic)])
def test_traffic_is_known(provider: str, traffic: Callable[[ProductTerms, str], Traffic], cases: Cases) -> None:
    wanted = traffic(ONE.terms, "a")
    sent = dict.fromkeys(("product 0", "product 1", "rows 0"), 0)
    for message in run(ONE, provider):
        if message.table is not None:
            (name,) = [name for name in sent if f'"{name}"'.encode() in message.header]
            (column,) = message.table.columns
            values = column.combine_chunks()
            sent[name] += sum(map(len, values.to_pylist())) if "blob" in message.table.schema.names else 8 * len(values)
    vectors = 4 * wanted.vector
    expected = {"product 0": wanted.matrix + vectors, "product 1": vectors, "rows 0": wanted.rowwise + wanted.key}
    assert sent == expected
    cases(len(sent))


Change = Callable[[Any], Message]


def changed(field: str, value: Any) -> Change:
    return lambda message: msgspec.structs.replace(message, **{field: value})


def blobs(change: Callable[[list[bytes]], list[bytes]]) -> Change:
    def apply(message: Any) -> Message:
        made = change(message.table.column("blob").to_pylist())
        table = pa.table({"blob": pa.array(made, pa.large_binary())}, schema=message.table.schema)
        return msgspec.structs.replace(message, table=table)

    return apply


def numbers(change: Callable[[list[int]], list[int]]) -> Change:
    def apply(message: Any) -> Message:
        made = change(message.table.column("number").to_pylist())
        table = pa.table({"number": pa.array(made, pa.int64())}, schema=message.table.schema)
        return msgspec.structs.replace(message, table=table)

    return apply


def all_ones(parts: list[bytes]) -> list[bytes]:
    """Coefficients that are none."""
    return [b"\xff" * len(part) for part in parts]


LESS_TERMS = changed("terms", ProductTerms(rows=5000, prime_bits=48))
BLOB_CHANGES = {
    "cut": blobs(lambda parts: [parts[0][:-1], *parts[1:]]),
    "one less": blobs(lambda parts: parts[:-1]),
    "one more": blobs(lambda parts: [*parts, parts[0]]),
    "of another name": changed("name", "else"),
    "empty": blobs(lambda parts: []),
}
NUMBER_CHANGES = {
    "one less": numbers(lambda found: found[:-1]),
    "too large": numbers(lambda found: [1 << 60, *found[1:]]),
    "negative": numbers(lambda found: [-1, *found[1:]]),
    "of another name": changed("name", "else"),
}
# provider, who lies, in which of its messages, how; and who notices
WRONG: list[tuple[str, str, int, Change, str]] = [
    *((p, "a", int(p == "dealer"), LESS_TERMS, "b") for p in PROVIDERS),
    ("dealer", "a", 0, LESS_TERMS, "d"),
    ("dealer", "a", 0, changed("key", b"short"), "d"),
    ("lattice", "a", 0, changed("seed", b"short"), "b"),
    *(("lattice", "b", 1, change, "a") for how, change in BLOB_CHANGES.items() if not how.startswith("one")),
    *(("lattice", "b", 3, change, "a") for change in BLOB_CHANGES.values()),
    *(("lattice", "a", number, change, "b") for number in (1, 3) for change in BLOB_CHANGES.values()),
    ("lattice", "b", 3, blobs(all_ones), "a"),
    ("lattice", "b", 3, blobs(lambda parts: [parts[0], *all_ones(parts[1:])]), "a"),
    ("lattice", "a", 3, blobs(all_ones), "b"),
    *(("dealer", "a", number, change, "b") for number in (2, 6) for change in NUMBER_CHANGES.values()),
    *(("dealer", "b", number, change, "a") for number in (2, 4) for change in NUMBER_CHANGES.values()),
    *(("dealer", "d", number, change, "a") for number in (0, 2) for change in NUMBER_CHANGES.values()),
    ("dealer", "a", 5, changed("name", "product 0"), "d"),
    ("dealer", "a", 5, changed("count", 100), "d"),
    ("dealer", "a", 7, changed("count", 100), "d"),
]


@pytest.mark.claim("bilinear: a message that does not fit ends the session, naming who sent it")
@pytest.mark.parametrize(("provider", "liar", "number", "change", "victim"), WRONG)
def test_wrong_messages(provider: str, liar: str, number: int, change: Change, victim: str, cases: Cases) -> None:
    wrapped = dict.fromkeys("abd", caught)
    wrapped[liar] = lambda role: caught(changing(number, change)(role))
    found = shares_of(ONE, PROVIDERS[provider], wrapped=wrapped)[victim]
    assert isinstance(found, ProtocolViolation), found
    assert isinstance(found.detail, TermsDiffer if change is LESS_TERMS else ProductUnfit)
    assert found.detail.peer == liar
    assert liar in str(found)
    cases()


def test_an_end_that_leaves() -> None:
    def leaving(role: Any) -> Any:
        yield next(role)

    wrapped = dict.fromkeys("abd", caught) | {"b": leaving}
    for make in (lattice, dealt):
        assert isinstance(shares_of(ONE, make, wrapped=wrapped)["a"], PeerGone)


@pytest.mark.parametrize("provider", PROVIDERS)
def test_what_is_not_by_the_terms_is_refused(provider: str) -> None:
    """As the noise that hides a result is for so many and so large ones, and masks are for one product."""
    wide = ONE.matrix.copy()
    wide[7, 7] = -(1 << 8)
    wrong = {
        "integers of 8 bits": ONE._replace(matrix=wide),
        "needs a matrix": ONE._replace(matrix=ONE.matrix[1:]),
        "more vectors": ONE._replace(vectors=[*ONE.vectors, ONE.vectors[0][:, :1]]),
        "numbers modulo": ONE._replace(vectors=[ONE.vectors[0] - ONE.terms.prime]),
        "row-wise": ONE._replace(left=ONE.left * 2, right=ONE.right * 2),
        "more rank": ONE._replace(left=[np.hstack(ONE.left * 2)], right=[np.hstack(ONE.right * 2)]),
    }
    for match, session in wrong.items():
        with pytest.raises(ValueError, match=match):
            shares_of(session, PROVIDERS[provider])


def test_a_name_is_used_once() -> None:
    products = dealt("a", ONE.terms)
    next(products.matrix("x", ONE.matrix))
    with pytest.raises(ValueError, match="two products named x"):
        next(products.matrix("x", ONE.matrix))
