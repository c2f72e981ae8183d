"""Joint tables in the notebook's hands: their sides, and the file that says where one is.

The file is JSON, `JointRecord`. What it names is at the parties, and serves no other caller.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec
import pyarrow as pa
from msgspec import UNSET

from ..atomic import atomic_write
from ..client.aggregates import OPERATION, AggregateParameters, Aggregates
from ..client.federation import Federation
from ..client.plan import Plan
from ..client.runner import Runner
from ..client.tables import Handle, Side, Table, new_request
from ..display.cards import Card, Grid, grouped
from ..errors import InvalidArgument, UnknownName
from ..errors.calls import verb
from ..errors.inputs import JointFileUnusable
from ..exact.joint.verbs import OFFERED, JointStatistics
from ..protocol.columns.predicates import Name
from ..protocol.control import Finished
from ..protocol.operation import MatchBound, Operand, Request
from .keys.declaration import Key
from .protocols.choose import NAMES

VERSION = 1


class SideRecord(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The table at a party, the name that it gave its side, and until when that outlives its process, if it does; by
    column of its key whether it is compared as it is, none of keys in turn."""

    table: str
    alignment: str
    kept_until: str = ""
    key: dict[str, bool] = {}


class JointRecord(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What there is to know of a joint table; `sides` in the join's order, which says who dials whom, and `join` the
    digest of its request."""

    version: int = VERSION
    caller: str
    purpose: str
    size: int | None
    min_count: int
    protocol: str
    sides: dict[str, SideRecord]
    join: str = ""

    def __post_init__(self) -> None:
        if self.protocol not in NAMES or len(self.sides) < 2:
            raise ValueError("no joint table")

    @classmethod
    def of(cls, request: Request, answers: Mapping[str, Finished]) -> JointRecord:
        """Of a join that has ended."""
        sizes = [answer.value["keys"] for answer in answers.values()]
        keys = {} if request.parameters.get("weaker") else msgspec.convert(request.parameters["keys"], dict[str, Key])
        sides = {
            party: SideRecord(
                table=request.operands[party].table,
                alignment=answers[party].alignment,
                kept_until=answers[party].kept_until,
                key=keys[party].plain if keys else {},
            )
            for party in request.parties
        }
        return cls(
            caller=request.caller,
            purpose=request.purpose,
            size=None if None in sizes else sizes[0],
            min_count=max(answer.value["min_count"] for answer in answers.values()),
            protocol=next(iter(answers.values())).value["protocol"],
            sides=sides,
            join=request.digest(),
        )


class Joint(Handle, JointStatistics):
    """The result of a join: index it with a party's name for that party's side; its verbs take columns of several."""

    def __init__(self, runner: Runner, record: JointRecord, tables: Mapping[str, Table]) -> None:
        self.size = record.size
        self.protocol = record.protocol
        self.min_count = record.min_count
        self.parties = tuple(record.sides)
        self._record = record
        alignments = {party: side.alignment for party, side in record.sides.items()}
        super().__init__(runner, {party: tables[party] for party in self.parties}, alignments)
        self._sides = {party: JointSide(runner, party, tables, record) for party in self.parties}

    @verb
    def save(self, path: str | Path) -> None:
        """Write down where the joint table is, for `psi.load`: to take it up in another notebook without a new join.

        The file holds the names that its parties gave their sides, which serve this caller and purpose alone, and no
        rows. How long each side can be used is its owner's to say; the card tells it.
        """
        atomic_write(Path(path), msgspec.json.format(msgspec.json.encode(self._record)) + b"\n")

    def __getitem__(self, party: str) -> JointSide:
        if not isinstance(party, str) or party not in self._sides:
            raise UnknownName.among("party", party, self._sides, where="in this join")
        return self._sides[party]

    def _ipython_key_completions_(self) -> list[str]:
        return list(self._sides)

    def _reached(self) -> Mapping[str, str]:
        sides = list(self._sides.values())
        columns = {name: write for side in reversed(sides) for name, write in side._reached().items()}
        return columns | {party: f'joint["{party}"]' for party in self._sides}

    def __str__(self) -> str:
        size = f"fewer than {self.min_count}" if self.size is None else f"{self.size:,}"
        *others, last = self.parties
        return f"joint table of {', '.join(others)} and {last}: {size} shared keys"

    def _card(self) -> Card:
        sides = ", ".join(f'["{party}"]' for party in self.parties)
        kept = grouped((_kept(side.kept_until), party) for party, side in self._record.sides.items())
        facts = [("sides", sides), ("offers", OFFERED), ("protocol", NAMES[self.protocol])]
        return Card(title=str(self), facts=[*facts, *((", ".join(at), until) for until, at in kept.items())])


class JointSide(Side, Aggregates):
    """One party's matched rows: exact aggregates of its own columns, by its own or its partner's; see `count`. With
    noise, by its own: `dp.mean(joint["bank"], "income", ...)`, which is charged to every table of the join.

    The partner's columns are named "partner.column", in `by` and `where`. Then the partner takes part: it sends this
    party for each shared key whether it passes, and its label. A key passes if any of its rows there does; its label is
    the one that all those rows have, null where they differ.
    """

    def __init__(
        self,
        runner: Runner,
        party: str,
        tables: Mapping[str, Table],
        record: JointRecord,
        *,
        matched: bool = True,
    ) -> None:
        self.party = party
        self._matched = matched
        self.table = tables[party]
        self._runner = runner
        self._joined = {name: tables[name] for name in record.sides}  # in the join's order
        self._tables = self._joined if matched else {party: self.table}  # whose columns may be asked about
        self._alignments = {name: side.alignment for name, side in record.sides.items()}
        self._record = record

    def _reached(self) -> Mapping[str, str]:
        return {name: f'joint["{self.party}"].mean("{name}")' for name in self.table.columns}

    @property
    def unmatched(self) -> JointSide:
        """The rows of this side that the join did not match: exact aggregates of its own columns, by its own. With
        those of the matched rows they are a left join's figures, with those of all sides an outer join's.

        Examples
        --------
        >>> joint["bank"].unmatched.count(by="segment").release()
        """
        return JointSide(self._runner, self.party, self._joined, self._record, matched=not self._matched)

    def _bounded(self, own: Operand, rows: int) -> dict[str, Operand]:
        one_unit, join = self._record.sides[self.party].key.get(own.unit.id, False), self._record.join
        bound = MatchBound(join=join, rows=min(rows, own.unit.rows) if one_unit else rows, one_unit=one_unit)
        operands = {name: Operand(table=t.name, columns=(), unit=t.unit) for name, t in self._joined.items()}
        operands[self.party] = own
        return {
            name: msgspec.structs.replace(
                operand,
                alignment=self._alignments[name],
                unmatched=UNSET if name != self.party or self._matched else True,
                bound=bound if name == self.party else MatchBound(join=join, rows=0),
            )
            for name, operand in operands.items()
        }

    @property
    def _owner(self) -> str:
        return self.party

    def _name(self, column: str) -> Name:
        known = [*self.table.columns, *(f"{p}.{c}" for p, t in self._tables.items() for c in t.columns)]
        where = f"on {self.party}'s side of this join" + ("" if self._matched else ", in rows not matched")
        if not isinstance(column, str):
            raise UnknownName.among("column", column, known, where=where)
        party, _, rest = column.partition(".")
        if column not in self.table.columns and party in self._tables:
            self._tables[party].type_of(rest)
            return Name(party=party, column=rest)
        if column not in self.table.columns:
            raise UnknownName.among("column", column, known, where=where)
        return Name(party=self.party, column=column)

    def _ask(self, parameters: AggregateParameters) -> Plan[pa.Table]:
        parties = tuple(party for party in self._tables if party in parameters.parties)
        request = new_request(
            self._runner,
            OPERATION,
            parties=parties,
            operands={
                party: Operand(
                    table=self._tables[party].name,
                    columns=parameters.columns_of(party),
                    alignment=self._alignments[party],
                    unmatched=UNSET if self._matched else True,
                )
                for party in parties
            },
            parameters=msgspec.to_builtins(parameters),
        )
        return Plan(self._runner, request, lambda answers: answers[self.party].table)

    def _card(self) -> Card:
        rows = [(name, type_) for name, type_ in self.table.columns.items()]
        return Card(
            title=f"{self.party}'s side of a join ({self.table.name})"
            + ("" if self._matched else ", rows not matched"),
            facts=[
                (
                    "offers",
                    ".count(by=None, where=None), .sum(column, ...), .mean, .variance, .min, .max, .median, .quantile",
                ),
                *([("not matched", ".unmatched has the other rows")] if self._matched else []),
            ],
            grids=(("columns", Grid(header=("column", "type"), rows=rows)),),
        )


class JointVersion(msgspec.Struct, frozen=True):
    version: int


@verb
def load(path: str | Path, fed: Federation) -> Joint:
    """The joint table that `Joint.save` wrote down, taken up again by the same caller, for the same purpose.

    Nothing is asked of the parties and nothing charged; a side that its party has no more is refused when it is used.

    Parameters
    ----------
    path : path
    fed : Federation
        Of the parties of the join, opened as for the join.

    Raises
    ------
    InvalidArgument
        The file is not there, no such file, of another version, caller or purpose.
    UnknownName
        The federation lacks a party of the join, or a party the table.

    Examples
    --------
    >>> psi.join(fed["bank"]["loans"], fed["shop"]["orders"], on="company_id").release().value.save("joint.json")
    >>> psi.load("joint.json", fed)["bank"].count(by="segment").release()
    """
    try:
        content = Path(path).read_bytes()
    except OSError:
        raise InvalidArgument(JointFileUnusable(path=str(path), problem="absent")) from None
    try:
        if msgspec.json.decode(content, type=JointVersion).version != VERSION:
            raise InvalidArgument(JointFileUnusable(path=str(path), problem="version"))
        record = msgspec.json.decode(content, type=JointRecord)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise InvalidArgument(JointFileUnusable(path=str(path), problem="unreadable")) from None
    owned, asked = f"{record.caller} for {record.purpose}", f"{fed.caller} for {fed.purpose}"
    if owned != asked:
        raise InvalidArgument(JointFileUnusable(path=str(path), problem="another's", owned=owned, asked=asked))
    return Joint(fed, record, {party: fed[party][side.table] for party, side in record.sides.items()})


def _kept(until: str) -> str:
    """How long a side can be used, as its party said."""
    return f"kept on disk until {until[:16].replace('T', ' ')} UTC" if until else "kept in memory until it is restarted"
