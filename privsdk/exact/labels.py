"""Labels and filters of a join's other side: two parties, one message.

    partner P (label column, conditions)                 owner O (values, conditions)
    --- KeyLabels: for each joint key passes, label ------->
                                                         aggregates its own rows of the keys that pass, by label

Joint keys are in the order that the join gave them at both. A key passes if any of P's rows of it passes all of P's
conditions; its label is the one that all its passing rows have, null where they differ or it is null. Of a key that
does not pass no label is sent. The message also carries P's minimum count.

Learns: O which joint keys pass P's conditions, the label of those, and P's minimum count. P nothing. An eavesdropper
the number of joint keys, from the length of the message.

Assumes: semi-honest parties. Two parties: any collusion is of one with the caller, who then learns what both do.

Cost: a bit and the label for each joint key.
"""

from __future__ import annotations

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

NONE = "none"
_KINDS = {"text": pa.large_string(), "whole number": pa.int64(), "truth": pa.bool_(), NONE: pa.large_string()}


class KeyLabels(Message, frozen=True, kw_only=True, tag="aggregate.Labels"):
    """For each joint key whether it passes the sender's conditions, and its label as text.

    `join` is the session that made the joint table, `kind` what the labels are.
    """

    SCHEMA = pa.schema([("passes", pa.bool_()), ("label", pa.large_string())])
    MAX_BYTES = 1 << 30
    join: bytes
    kind: str
    min_count: int
    table: pa.Table


class Labelled(NamedTuple):
    """What the owner makes of it: for each of its rows whether its key passes, and the label; both owners' minimum."""

    passes: npt.NDArray[np.bool_]
    label: pa.ChunkedArray
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


def partner(given: RoleInput, by: str | None, where: Where, *, owner: str) -> Role[None]:
    """Party P: `by` and `where` name its own columns."""
    keys = _keys(given)
    keep = passing(given.table, where)
    passes = np.zeros(keys.max(initial=-1) + 1, dtype=np.bool_)
    passes[keys[keep]] = True
    kind = NONE if by is None else label_kind(given.party, by, given.table.schema.field(by).type)
    label = pa.nulls(len(passes), pa.large_string())
    if by is not None:
        label = _agreed(keys[keep], given.table[by].cast(pa.large_string()).filter(pa.array(keep)), len(passes))
    given.services.screen([], given.min_count)  # it tells of each key, under grants for that, and of no sum
    table = pa.table({"passes": pa.array(passes), "label": label}, schema=KeyLabels.SCHEMA)
    yield from tell(owner, KeyLabels(join=given.joint, kind=kind, min_count=given.min_count, table=table))


def owner(given: RoleInput, *, partner: str, labelled: bool) -> Role[Labelled]:
    """Party O, up to its own computation; `labelled` where the groups are by P's column."""
    keys = _keys(given)
    heard = yield from hear(partner, KeyLabels)
    if heard.join != given.joint:
        raise StaleJoin(
            f"the two sides are of different joins of {given.party} and {partner}", hint="use the sides of one join"
        )
    if heard.table.num_rows != keys.max(initial=-1) + 1:
        raise ProtocolViolation(f"{partner} sent labels of another number of joint keys")
    if heard.kind not in _KINDS or (heard.kind != NONE) != labelled:
        raise ProtocolViolation(f"{partner} sent labels of another kind")
    try:
        label = heard.table["label"].cast(_KINDS[heard.kind])
    except pa.ArrowException:  # its message may quote a label
        raise ProtocolViolation(f"{partner} sent a label that is no {heard.kind}") from None
    if heard.table["passes"].null_count:
        raise ProtocolViolation(f"{partner} left open whether a key passes")
    passes = heard.table["passes"].to_numpy()
    return Labelled(passes[keys], label.take(pa.array(keys)), max(given.min_count, heard.min_count))


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
