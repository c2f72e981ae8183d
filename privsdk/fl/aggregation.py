"""Aggregation modes: how clients' updates are added up, each under the name that a user gives and a request carries.

A mode is a class that is registered here. It owns the sum that a training runs on and whatever follows from it: the
trainings that it goes with, who coordinates, without whom a run fails, what owners must have granted, and what a
coalition of parties learns. Everything else in `fl` asks the mode and never compares its name. What a mode promises is
argued in the file of its sum.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar, NamedTuple, TypeVar

from ..client.runner import Runner, pick_key_holder, willing
from ..crypto.seal.schemes import ExactScheme
from ..crypto.sums.all_to_all import MOST, PeerSum, alone, to_all
from ..crypto.sums.base import PlainSum, Sum
from ..crypto.sums.encrypted import EncryptedSum
from ..crypto.sums.masked import MaskedSum
from ..errors import InvalidArgument, UnknownName
from ..governance.learns import Coalition, EveryContribution, Knowledge, Learns
from ..governance.policy import Disclosure
from ..protocol.operation import RoleInput
from ..protocol.roles import Role, colocated

T = TypeVar("T")
S = TypeVar("S")


class SumOfOthers(Knowledge, frozen=True):
    """`one` says that all but one know the sum to be that one's."""

    one: bool = False

    def __str__(self) -> str:
        whose = ", which all but one know to be that one's" if self.one else ""
        return f"no more than the sum of the other clients' updates{whose}"


class NothingBeyond(Knowledge, frozen=True):
    tells = False
    template = "nothing that {party} does not see"
    party: str


class Participants(NamedTuple):
    """Who adds up.

    Attributes
    ----------
    clients : in the request's order
    coordinator : who has the sum, or answers with it where every client has it
    fewest : clients that a round needs
    drawn : clients that are drawn for a round
    """

    clients: tuple[str, ...]
    coordinator: str
    fewest: int
    drawn: int


class AggregationMode(ABC):
    """What most modes have in common: one coordinator, who sees sums alone, of the clients that are left in a round.

    Attributes
    ----------
    name : what a user writes and a request carries
    whole : whether a sum is of all clients or of none, so that a client that is lost ends the run
    hides : whether nobody sees a single client's update
    replicated : whether every client runs the coordinator's half by itself
    statistic : the use of a column whose training statistics are summed
    """

    name: ClassVar[str]
    whole: ClassVar[bool] = False
    hides: ClassVar[bool] = True
    replicated: ClassVar[bool] = False
    statistic: ClassVar[Disclosure] = Disclosure.HE_OPERAND

    @abstractmethod
    def sum(self, given: RoleInput, participants: Participants, *, within_s: float) -> Sum:
        """The sum, for one party's role."""

    @abstractmethod
    def check(self, participants: Participants, sums: Sequence[tuple[int, int]]) -> None:
        """Raise InvalidArgument where these cannot add up so; `sums` has the length and the largest total of each."""

    def coordinator(self, runner: Runner, clients: tuple[str, ...], wanted: str | None, operation: str) -> str:
        """The named party, or the first that brings no table and allows the operation; where there is none a client,
        if nobody sees a single one's update."""
        if wanted is None:
            others = tuple(party for party in runner.parties if party not in clients)
            return willing(runner, (*others, *clients) if self.hides or not others else others, operation)
        if wanted not in runner.parties:
            raise UnknownName.among("party", str(wanted), runner.parties)
        return wanted

    def leaders(self, participants: Participants) -> tuple[str, ...]:
        """Who runs the coordinator's half."""
        return participants.clients if self.replicated else (participants.coordinator,)

    def adds_up(self, participants: Participants) -> tuple[str, ...]:
        """The clients that have others' updates, though in a form that only the coordinator could open."""
        return ()

    def both(self, me: str, participants: Participants, coordinating: Role[S], training: Role[T]) -> Role[tuple[S, T]]:
        """The two halves of a party that coordinates and trains."""
        return colocated(me, coordinating, training)

    @abstractmethod
    def keys(self, coordinator: str) -> str:
        """Who holds which keys, as a plan says it; "" where there are none."""

    @abstractmethod
    def coalition(self, participants: Participants, *, noisy: bool) -> Learns:
        """What parties learn who put together what they hold; `noisy` where clients add noise to their own steps."""


MODES: dict[str, AggregationMode] = {}


def register(mode: type[AggregationMode]) -> type[AggregationMode]:
    """Let trainings ask for a mode by its name."""
    if mode.name in MODES:
        raise ValueError(f"aggregation {mode.name!r} is registered twice")
    MODES[mode.name] = mode()
    return mode


def mode_named(name: str) -> AggregationMode:
    """The mode of this name; raises UnknownName."""
    if not isinstance(name, str) or name not in MODES:
        raise UnknownName.among("aggregation", str(name), MODES)
    return MODES[name]


@register
class MaskedMode(AggregationMode):
    """Under masks that cancel out in the sum: `crypto.sums.masked`."""

    name = "masked"

    def sum(self, given: RoleInput, participants: Participants, *, within_s: float) -> Sum:
        return MaskedSum(
            me=given.party,
            coordinator=participants.coordinator,
            session=given.session,
            entropy=given.entropy,
            identity=given.services.identity,
            fewest=participants.fewest,
            floor=given.min_parties + 1,  # every client sees the model; min_parties leaves out one who does
            within_s=within_s,
        )

    def check(self, participants: Participants, sums: Sequence[tuple[int, int]]) -> None:
        clients, drawn = participants.clients, participants.drawn
        if len(clients) < 2:
            raise InvalidArgument(
                f"{clients[0]} trains alone: the masked sum of one client is its own update",
                hint='take the tables of two parties or more, or aggregation="clear"',
            )
        if drawn < 2:
            raise InvalidArgument(
                f"rounds of {drawn} of {len(clients)} clients: the masked sum of one client is its own update",
                hint='let a round need two clients or more, by fewest or participation, or use aggregation="clear"',
            )

    def keys(self, coordinator: str) -> str:
        return f"{coordinator} coordinates; more than half of a round's clients unmask its sum"

    def coalition(self, participants: Participants, *, noisy: bool) -> Learns:
        """Fewer clients than unmask a sum: every round is of `fewest` or more, and takes more than half of them."""
        clients, coordinator = participants.clients, participants.coordinator
        others = tuple(client for client in clients if client != coordinator)
        most = max(2, participants.fewest) - 1 - (coordinator in clients)
        return Learns.of(Coalition((coordinator,), most, others), SumOfOthers())


@register
class EncryptedMode(AggregationMode):
    """Under homomorphic encryption: `crypto.sums.encrypted`. The coordinator holds the key, the last client adds up."""

    name = "encrypted"
    whole = True

    def sum(self, given: RoleInput, participants: Participants, *, within_s: float) -> Sum:
        return EncryptedSum(me=given.party, clients=participants.clients, coordinator=participants.coordinator)

    def check(self, participants: Participants, sums: Sequence[tuple[int, int]]) -> None:
        """A key holder apart from the clients, and sums that fit the plaintext."""
        if participants.coordinator in participants.clients:
            raise InvalidArgument(
                f"{participants.coordinator} trains and cannot hold the key: it would decrypt the others' updates",
                hint='name a coordinator without a table, or use aggregation="clear"',
            )
        for length, largest in sums:
            ExactScheme(parties=len(participants.clients), length=length, max_units=largest)

    def coordinator(self, runner: Runner, clients: tuple[str, ...], wanted: str | None, operation: str) -> str:
        return pick_key_holder(runner, clients, wanted, operation)

    def keys(self, coordinator: str) -> str:
        return f"{coordinator} coordinates and holds the key"

    def adds_up(self, participants: Participants) -> tuple[str, ...]:
        return participants.clients[-1:]

    def coalition(self, participants: Participants, *, noisy: bool) -> Learns:
        members = (*self.adds_up(participants), participants.coordinator)
        return Learns.of(Coalition(members), EveryContribution(contribution="noisy updates" if noisy else "updates"))


@register
class AllToAllMode(AggregationMode):
    """Under masks, without a coordinator: `crypto.sums.all_to_all`."""

    name = "all-to-all"
    whole = True
    replicated = True

    def sum(self, given: RoleInput, participants: Participants, *, within_s: float) -> Sum:
        return PeerSum(
            me=given.party, clients=participants.clients, session=given.session, entropy=given.entropy
        )  # fmt: skip

    def check(self, participants: Participants, sums: Sequence[tuple[int, int]]) -> None:
        """Few clients, each of whom sends to all."""
        clients = participants.clients
        if not (2 <= len(clients) <= MOST and participants.coordinator in clients):
            raise InvalidArgument(
                f"sums from all to all are of 2 to {MOST} clients and without another coordinator, not of "
                f"{len(clients)}",
                hint='use aggregation="masked"',
            )

    def coordinator(self, runner: Runner, clients: tuple[str, ...], wanted: str | None, operation: str) -> str:
        """All average; one of them answers."""
        if wanted is not None and wanted not in clients:
            raise InvalidArgument(
                f"with all-to-all updates no party but the clients coordinates, such as {wanted}",
                hint='leave coordinator out, or use aggregation="masked"',
            )
        return wanted or clients[-1]

    def both(self, me: str, participants: Participants, coordinating: Role[S], training: Role[T]) -> Role[tuple[S, T]]:
        """A copy of the coordinator at every client, which hears what all clients send."""
        return colocated(me, alone(me, coordinating), to_all(me, participants.clients, training))

    def keys(self, coordinator: str) -> str:
        return "every client sends its masked update to all others; nobody coordinates"

    def coalition(self, participants: Participants, *, noisy: bool) -> Learns:
        clients = participants.clients
        return Learns.of(Coalition((), len(clients) - 1, clients), SumOfOthers(one=True))


@register
class ClearMode(AggregationMode):
    """Without protection: the coordinator sees every client's update, which owners must have granted."""

    name = "clear"
    hides = False
    statistic = Disclosure.AGGREGATE

    def sum(self, given: RoleInput, participants: Participants, *, within_s: float) -> Sum:
        """Of training statistics; updates come one by one."""
        return PlainSum(coordinator=participants.coordinator, within_s=within_s)

    def check(self, participants: Participants, sums: Sequence[tuple[int, int]]) -> None:
        """Any clients may, and one alone."""

    def keys(self, coordinator: str) -> str:
        return ""

    def coalition(self, participants: Participants, *, noisy: bool) -> Learns:
        """The coordinator has it all already."""
        clients, coordinator = participants.clients, participants.coordinator
        others = tuple(client for client in clients if client != coordinator)
        return Learns.of(Coalition((coordinator,), len(others) - 1, others), NothingBeyond(party=coordinator))
