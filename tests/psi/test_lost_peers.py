"""A peer whose streams break in the middle of a join: every other party says which and when, and the run is spent."""

from __future__ import annotations

import threading
from typing import Any

import pyarrow as pa
import pytest
from claims import Cases

import privsdk as ps
from privsdk import psi
from privsdk.errors import Cancelled, PeerError, PeerFailed, PeerGone, PrivsdkError
from privsdk.protocol.conversation import Conversation
from privsdk.protocol.messages import Packed, tag_of

# protocol, parties in order, who is lost, at which of its messages, and the phase the others are in
LOST: list[tuple[str, tuple[str, ...], str, str, str]] = [
    ("kkrt", ("a", "b"), "a", "psi.Opening", ""),
    ("kkrt", ("a", "b"), "a", "psi.baseot.Offer", "hashing keys"),
    ("kkrt", ("a", "b"), "b", "psi.baseot.Choices", "hashing keys"),
    ("kkrt", ("a", "b"), "a", "psi.kkrt.Corrections", "intersecting"),
    ("kkrt", ("a", "b"), "b", "psi.kkrt.Tags", "intersecting"),
    ("kkrt", ("a", "b"), "a", "psi.kkrt.Matches", "intersecting"),
    ("multiparty", ("a", "b", "c"), "b", "psi.Terms", ""),
    ("multiparty", ("a", "b", "c"), "b", "psi.multiparty.Share", "hashing keys"),
    ("multiparty", ("a", "b", "c"), "a", "psi.baseot.Offer", "hashing keys"),
    ("multiparty", ("a", "b", "c"), "a", "psi.kkrt.Corrections", "intersecting"),
    ("multiparty", ("a", "b", "c"), "c", "psi.multiparty.Programmed", "intersecting"),
    ("multiparty", ("a", "b", "c"), "a", "psi.multiparty.Shared", "intersecting"),
]


@pytest.mark.claim("a party killed in the middle of a join is named, the run ends at all others and is charged there")
@pytest.mark.parametrize(("protocol", "parties", "lost", "tag", "phase"), LOST, ids=lambda each: str(each)[-20:])
def test_a_lost_peer_is_named(
    protocol: Any,
    parties: tuple[str, ...],
    lost: str,
    tag: str,
    phase: str,
    monkeypatch: pytest.MonkeyPatch,
    cases: Cases,
) -> None:
    honest = Conversation.send
    told: dict[str, PrivsdkError] = {}
    cut: list[Conversation] = []
    others_told = threading.Event()

    def send(self: Conversation, packed: Packed) -> None:
        if self._outgoing.sender == lost:
            if tag_of(type(packed.message)) == tag or cut:
                cut.append(self)
            if cut:  # as where its process is killed: nothing of it arrives any more, not even why
                self._channel.close()
                raise PeerGone(f"{lost} was cut off")
        honest(self, packed)

    tables = {party: {"t": pa.table({"id": range(30 + n, 80 + n)})} for n, party in enumerate(parties)}
    with ps.embedded(tables, store=None, quiet=True) as fed:
        call = fed._link.call

        def record(party: str, asked: Any, kind: Any) -> Any:
            try:
                return call(party, asked, kind)
            except PrivsdkError as error:
                if party == lost:  # nor does it answer the notebook, which else would cancel the run at the others
                    others_told.wait(timeout=60)
                told[party] = error
                others_told.set()
                raise

        monkeypatch.setattr(fed._link, "call", record)
        monkeypatch.setattr(Conversation, "send", send)
        with pytest.raises(PeerError) as error:
            psi.join(*(fed[party]["t"] for party in parties), on="id", protocol=protocol).release(timeout_s=120)
        assert error.value.run_id
        assert set(told) == set(parties)
        for party in set(parties) - {lost}:
            assert isinstance(told[party], PeerGone | PeerFailed | Cancelled)  # the notebook cancels the rest
            assert told[party].party == party
            assert told[party].run_id == error.value.run_id
            cases()
        direct = [told[p] for p in set(parties) - {lost} if isinstance(told[p], PeerGone)]
        assert any(lost in each.message and each.phase == phase for each in direct), told
        for described in fed._describe().values():
            assert described.running == 0
            assert described.balances[0].exact_spent == 1
        assert all(report.first_bad < 0 for report in fed.verify_audit().values())
