"""The multi-party intersection with fixed entropy, terms included: for the tests of results and of transcripts."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
from harness import altered

from privsdk.protocol.messages import Message
from privsdk.protocol.roles import Role
from privsdk.psi.keys.distinct import DistinctKeys, distinct_keys
from privsdk.psi.oprf import okvs, parameters
from privsdk.psi.protocols import multiparty
from privsdk.psi.protocols.terms import agree
from privsdk.testing import SeededEntropy, Sent, together

SESSION = b"a session's own 32 bytes........"
Positions = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]
Change = Callable[[str, Message], Message]


def keys_of(numbers: Collection[int]) -> DistinctKeys:
    return distinct_keys(pa.array([f"customer {n:08}" for n in numbers], pa.string()))


def names_of(count: int) -> list[str]:
    """The first one leads."""
    return ["lead", *(f"p{n}" for n in range(1, count))]


def party(me: str, parties: list[str], keys: DistinctKeys, session: bytes = SESSION) -> Role[Positions]:
    """A party from its terms on."""
    entropy = SeededEntropy(me.encode())
    agreed = yield from agree(
        me,
        [other for other in parties if other != me],
        kind=keys.kind,
        size=keys.size,
        min_count=0,
        session=session,
        entropy=entropy,
    )
    return (yield from multiparty.intersection(keys.encoded, me=me, parties=parties, agreed=agreed, entropy=entropy))


def meet(
    sets: Mapping[str, Collection[int]],
    transcript: list[Sent] | None = None,
    *,
    changed: Mapping[str, Change] | None = None,
    session: bytes = SESSION,
) -> dict[str, list[int]]:
    """By party, its keys that all have, in the joint order; the first party leads, `changed` ones send what they do."""
    parties = list(sets)
    roles = {me: party(me, parties, keys_of(numbers), session) for me, numbers in sets.items()}
    for me, change in (changed or {}).items():
        roles[me] = altered(roles[me], sent=change)
    found = together(roles, transcript)
    held = {me: list(numbers) for me, numbers in sets.items()}
    return {me: [held[me][position] for position in found[me]] for me in parties}


def small_buckets(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(parameters, "BUCKET", size)
    parameters.parameters.cache_clear()


class View(NamedTuple):
    """Per other party, what the leader finds at each of its keys (a store's value ^ F), and the secrets of shares."""

    values: list[Words]
    secrets: dict[tuple[str, str], bytes]


@contextmanager
def watched(monkeypatch: pytest.MonkeyPatch) -> Iterator[View]:
    """What the leader computes within a run of one bucket, and what the others tell each other."""
    view, outputs = View([], {}), []
    honest_mask, honest_decode, honest_exchanged = multiparty.mask, okvs.decode, multiparty._exchanged

    def mask(*given: Any) -> Any:
        masked = honest_mask(*given)
        outputs.append(masked.outputs[:, 0].copy())
        return masked

    def decode(*given: Any) -> Words:
        found = honest_decode(*given)
        view.values.append(found ^ outputs[len(view.values)])
        return found

    def exchanged(me: str, others: list[str], entropy: Any) -> Role[list[bytes]]:
        secrets = yield from honest_exchanged(me, others, entropy)
        own = others.index(me)
        for other, secret in zip([*others[own + 1 :], *others[:own]], secrets, strict=False):
            view.secrets[me, other] = secret
        return secrets

    with monkeypatch.context() as patched:
        patched.setattr(multiparty, "mask", mask)
        patched.setattr(okvs, "decode", decode)
        patched.setattr(multiparty, "_exchanged", exchanged)
        yield view


def words_of(sent: Sent) -> Words:
    """The content of a message of octets, as words of 64 bits."""
    assert sent.table is not None
    (content,) = sent.table["octets"].to_pylist()
    return np.frombuffer(content, np.uint64)


def received(transcript: list[Sent], who: str, tag: str = "") -> list[Sent]:
    return [sent for sent in transcript if sent.receiver == who and sent.tag.endswith(tag)]


def assert_uniform(words: Words, *, unit: int = 64) -> None:
    """As far as it shows: no word is zero or occurs twice, every bit is set in half of them, within 6 deviations."""
    assert len(words) >= 500
    assert words.all()
    assert len(np.unique(words)) == len(words)
    bits = np.unpackbits(words.view(np.uint8)).reshape(-1, unit)
    assert abs(bits.mean(axis=0) - 0.5).max() < 6 * 0.5 / len(bits) ** 0.5
