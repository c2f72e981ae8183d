"""Labels and filters of a join's other side: two parties, one message.

    partner P (label column, conditions)                 owner O (values, conditions)
    --- KeyLabels: for each joint key passes, labels ------>
                                                         aggregates its own rows of the keys that pass, by labels

Joint keys are in the order that the join gave them at both. A key passes if any of P's rows of it passes all of P's
conditions; its label, for each label column, is the one that all its passing rows have, null where they differ or it is
null. Of a key that does not pass no label is sent. The message also carries P's minimum count.

Learns: O which joint keys pass P's conditions, the label of those, and P's minimum count. P nothing. An eavesdropper
the number of joint keys, from the length of the message.

Assumes: semi-honest parties. Two parties: any collusion is of one with the caller, who then learns what both do.

Cost: a bit and the labels for each joint key.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ..errors import DataError, ProtocolViolation, StaleJoin
from ..protocol.columns.predicates import Where, passing
from ..protocol.messages import Message
from ..protocol.operation import RoleInput
from ..protocol.roles import Role, hear, tell

_KINDS = {"text": pa.large_string(), "whole number": pa.int64(), "truth": pa.bool_()}


class KeyLabels(Message, frozen=True, kw_only=True, tag="aggregate.Labels"):
    """For each joint key whether it passes the sender's conditions, and its label in each label column as text.

    `join` is the session that made the joint table, `kinds` what the labels of each column are.
    """

    MAX_BYTES = 1 << 30
    join: bytes
    kinds: tuple[str, ...]
    min_count: int
    table: pa.Table


class Labelled(NamedTuple):
    """What the owner makes of it: for each of its rows whether its key passes, and the labels; both owners' minimum."""

    passes: npt.NDArray[np.bool_]
    labels: list[pa.ChunkedArray]
    min_count: int


def label_kind(party: str, column: str, type_: pa.DataType) -> str:
    """What labels a column of this type gives; raises DataError where it can give none."""
    if pa.types.is_string(type_) or pa.types.is_large_string(type_):
        return "text"
    if pa.types.is_integer(type_) and type_ != pa.uint64():
        return "whole number"
    if pa.types.is_boolean(type_):
        return "truth"
    raise DataError(
        f"{party}'s {column} is {type_}, which cannot label another party's rows",
        hint="use a column of text, whole numbers or booleans",
    )


def schema(columns: int) -> pa.Schema:
    """Of the message's table, with so many label columns."""
    return pa.schema([("passes", pa.bool_()), *((f"label {n}", pa.large_string()) for n in range(columns))])


def partner(given: RoleInput, by: Sequence[str], where: Where, *, owner: str) -> Role[None]:
    """Party P: `by` and `where` name its own columns."""
    keys = _keys(given)
    keep = passing(given.table, where)
    passes = np.zeros(keys.max(initial=-1) + 1, dtype=np.bool_)
    passes[keys[keep]] = True
    kinds = tuple(label_kind(given.party, each, given.table.schema.field(each).type) for each in by)
    shown = [given.table[each].cast(pa.large_string()).filter(pa.array(keep)) for each in by]
    labels = [_agreed(keys[keep], each, len(passes)) for each in shown]
    given.services.screen([], given.min_count)  # it tells of each key, under grants for that, and of no sum
    table = pa.table([pa.array(passes), *labels], schema=schema(len(by)))
    yield from tell(owner, KeyLabels(join=given.joint, kinds=kinds, min_count=given.min_count, table=table))


def owner(given: RoleInput, *, partner: str, columns: int) -> Role[Labelled]:
    """Party O, up to its own computation; so many `columns` of the groups are P's."""
    keys = _keys(given)
    heard = yield from hear(partner, KeyLabels)
    if heard.join != given.joint:
        raise StaleJoin(
            f"the two sides are of different joins of {given.party} and {partner}", hint="use the sides of one join"
        )
    if heard.table.num_rows != keys.max(initial=-1) + 1:
        raise ProtocolViolation(f"{partner} sent labels of another number of joint keys")
    if not set(heard.kinds) <= _KINDS.keys() or len(heard.kinds) != columns or heard.table.schema != schema(columns):
        raise ProtocolViolation(f"{partner} sent labels of another kind")
    labels = list[pa.ChunkedArray]()
    for kind, column in zip(heard.kinds, heard.table.columns[1:], strict=True):
        try:
            labels.append(column.cast(_KINDS[kind]))
        except pa.ArrowException:  # its message may quote a label
            raise ProtocolViolation(f"{partner} sent a label that is no {kind}") from None
    if heard.table["passes"].null_count:
        raise ProtocolViolation(f"{partner} left open whether a key passes")
    passes = heard.table["passes"].to_numpy()
    of_rows = [each.take(pa.array(keys)) for each in labels]
    return Labelled(passes[keys], of_rows, max(given.min_count, heard.min_count))


def _agreed(keys: npt.NDArray[np.int64], labels: pa.ChunkedArray, size: int) -> pa.Array:
    """For each of `size` keys the label that all its rows have; null where they differ, are null or there is none."""
    encoded = labels.combine_chunks().dictionary_encode()
    codes = pc.fill_null(encoded.indices, -1).to_numpy().astype(np.int64)
    least, most = np.full(size, len(labels)), np.full(size, -1)
    np.minimum.at(least, keys, codes)
    np.maximum.at(most, keys, codes)
    agreed = (least == most) & (most >= 0)
    return encoded.dictionary.take(pa.array(least, mask=~agreed))


def _keys(given: RoleInput) -> npt.NDArray[np.int64]:
    if given.keys is None or not given.joint:
        raise DataError(f"{given.party} has no joint keys for these rows", hint="use the side of a join")
    return given.keys
