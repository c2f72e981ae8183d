"""What reaches each party of an embedded federation, kept as an attacker would."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import pytest
from seen import Received

from privsdk.protocol.conversation import Conversation


@pytest.fixture
def received(monkeypatch: pytest.MonkeyPatch) -> Received:
    """Every message that a party received of another, by receiver, in order."""
    kept: Received = defaultdict(list)
    receive = Conversation.receive

    def keeping(self: Conversation, *given: Any, **options: Any) -> Any:
        message = receive(self, *given, **options)
        kept[self._outgoing.sender].append((self._incoming.sender, message))
        return message

    monkeypatch.setattr(Conversation, "receive", keeping)
    return kept
