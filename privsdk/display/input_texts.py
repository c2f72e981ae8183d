"""The texts of errors of what was given: names, calls, sides of joins."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..errors.details import Detail, Text, nearest
from ..errors.inputs import (
    BeyondBound,
    CallMisfit,
    FederationClosed,
    GroupKeysMisfit,
    GroupsMisfit,
    JointColumnUnfit,
    JointFileUnusable,
    JointMismatch,
    JointProblem,
    JointQuestion,
    JointUnusable,
    KeysMisfit,
    LevelMisfit,
    MissingNumbers,
    NameUnknown,
    NotOffered,
    NotTables,
    NotWritable,
    RowsPerKeyMisfit,
    SeveralRowsOfKey,
    TitleUnfit,
    ValidationMisfit,
    WrongType,
)
from ..errors.refusals import MatchesUnbounded
from ..errors.sessions import CertificateUnfit, Unfit
from .natural import ARGUMENTS, INSTEAD, OVER_A_JOIN

Language = Mapping[type[Detail], Callable[[Any], Text]]

_USES = {
    "[]": "takes no brackets",
    "len": "has no length",
    "iteration": "cannot be gone through",
    "arithmetic": "is no number to calculate or compare with",
}
_NO_CONDITIONS = 'conditions are for dp and for one owner\'s exact figures, such as table.count(where={"x": (0, 9)})'
_MOST_NAMES = 24  # that an object has, listed


def unknown(d: NameUnknown) -> Text:
    meant = f"did you mean {d.nearest!r}? " if d.nearest else ""
    listed = f"known: {', '.join(d.known)}" if d.known else "there are none"
    if d.several:
        return Text(f"one {d.kind} is named where several were given: {d.name}", f"ask for each by itself; {listed}")
    return Text(f"no {d.kind} named {d.name!r}{f' {d.where}' if d.where else ''}", meant + listed)


def not_offered(d: NotOffered) -> Text:
    instead = INSTEAD.get(d.of, {})
    listed = f"it has {', '.join(d.known[:_MOST_NAMES])}{', ...' if len(d.known) > _MOST_NAMES else ''}"
    if d.index:
        hint = f"write {d.index}"
    elif d.near and d.name not in instead:
        hint = f"did you mean {d.near}? {listed}"
    else:
        hint = instead.get(d.name) or instead.get("*") or listed
    return Text(f"{d.of} {_USES.get(d.name) or f'has no {d.name}'}", hint)


def misfit(d: CallMisfit) -> Text:
    said = [f"takes no {', '.join(d.unexpected)}"] if d.unexpected else []
    said += [f"is given {', '.join(d.twice)} twice"] if d.twice else []
    said += [f"lacks {', '.join(d.missing)}"] if d.missing else []
    if d.given > d.placed:
        said.append(f"takes {d.placed or 'none'} by place, and {d.given} were given: name the others")
    meant = {name: _meant(name, d.known) for name in d.unexpected}
    hints = [f"{right} in place of {name}" for name, right in meant.items() if right]
    hints += [_NO_CONDITIONS] if "where" in d.unexpected else []
    if len(hints) < len(d.unexpected) or set(d.missing) - set(meant.values()) or d.given > d.placed:
        hints.append(f"it takes {', '.join(d.known)}")
    return Text(f"{d.verb} {' and '.join(said)}", "; ".join(hints))


def _meant(name: str, known: tuple[str, ...]) -> str:
    usual = ARGUMENTS.get(name, "")
    return usual if usual in known else nearest(name, known)


def not_writable(d: NotWritable) -> Text:
    return Text(f"a {d.kind} file has no form for a column of this", "save it as .parquet or .arrow")


def not_tables(d: NotTables) -> Text:
    write = OVER_A_JOIN if d.given in ("Joint", "JointSide") else 'use fed.tables("name") or fed["party"]["name"]'
    return Text(f"tables were expected, not a {d.given}", write)


def keys(d: KeysMisfit) -> Text:
    by_party = "on={" + ", ".join(f'"{party}": "id"' for party in d.parties) + "}"
    if d.wrong == "none":
        return Text(
            "on names no key column",
            'give a column, columns that are one key, as in on=["name", "born"], or psi.key(...) to normalise them; '
            f"where parties call them differently, {by_party}",
        )
    if d.wrong == "mixed":
        write = 'a list of columns is one key; for keys in turn write each as psi.key("name", "born")'
        return Text("on mixes columns and keys", write)
    if d.wrong == "parties":
        named, parties = ", ".join(d.named) or "nobody", ", ".join(d.parties)
        return Text(f"on has keys of {named} for the tables of {parties}", f"give one for each party: {by_party}")
    if d.wrong == "numbers":
        write = (
            "give each party as many: the second keys are compared among rows that the first do not match, and so on"
        )
        return Text("on has more keys in turn for one party than for another", write)
    if d.wrong == "several":
        return Text(f"{d.operation} compares one key", "only psi.join takes several, weaker ones in turn")
    return Text(f"on has more than {d.number} keys in turn", f"give at most {d.number}, the exact one first")


def wrong_type(d: WrongType) -> Text:
    return Text(f"{d.name} is {'an' if d.given.startswith(tuple('aeiou')) else 'a'} {d.given}", f"give {d.wanted}")


def certificate(d: CertificateUnfit) -> Text:
    of, new = f"the certificate of {d.member}", "have a new one made: python -m privsdk certificates FOLDER NAME..."
    said: dict[Unfit, Text] = {
        "key": Text(
            f"{of} is of another key than the key file", "name the certificate and the key that belong together"
        ),
        "expired": Text(f"{of} expired at {d.until}", new),
        "early": Text(f"{of} is not valid before {d.since}", "compare this machine's clock with the date"),
        "authority": Text(f"{of} is of another authority than the authority file", "name the authority that issued it"),
    }
    return said[d.why]


def joint(d: JointUnusable) -> Text:
    said: dict[JointProblem, str] = {
        "gone": f"{d.party} no longer has this joint table",
        "expired": f"{d.party} kept this joint table for as long as its owner allows, and no longer",
        "revoked": f"{d.party}'s owner has revoked this joint table: {d.why}",
        "changed": f"{d.party}/{d.table} has changed since the join",
        "another's": "this joint table belongs to another caller, purpose or table",
        "damaged": f"{d.party} cannot read the file of this joint table: it is damaged, or another key's",
    }
    return Text(said[d.problem], "join again with psi.join (a new charge)")


def joint_file(d: JointFileUnusable) -> Text:
    match d.problem:
        case "absent":
            return Text(f"there is no file {d.path}", "check the path")
        case "another's":
            return Text(
                f"{d.path} is of {d.owned}, and this federation is opened by {d.asked}",
                "open the federation as you did for the join",
            )
        case "version":
            return Text(f"{d.path} was saved by another version of privsdk", "load it with that one, or join again")
        case _:
            return Text(f"{d.path} is not what Joint.save writes, or is damaged", "give the path of such a file")


def group_keys(d: GroupKeysMisfit) -> Text:
    if d.entries != d.different:
        twice = d.entries - d.different
        return Text(f"{twice:,} of {d.entries:,} keys stand there before", "name each key once")
    if not 0 < d.entries <= d.most:
        return Text(f"there are {d.entries:,} keys", f"give 1 to {d.most:,} different keys")
    each = ", ".join(f"<{column}>" for column in dict.fromkeys(d.by))
    return Text(f"keys by {', '.join(d.by)} are not one value for each", f"give tuples: keys=[({each}), ...]")


def groups(d: GroupsMisfit) -> Text:
    hint = 'name each group column once: by="region", or by=["region", "year"]'
    return Text("by names one column twice" if d.by else "by names no column", hint)


def level(d: LevelMisfit) -> Text:
    given = "without a level" if d.level is None else f"at {d.level:g}"
    return Text(f"a quantile {given}", "give a level between 0 and 1; 0.5: median; the ends are min and max")


def rows_per_key(d: RowsPerKeyMisfit) -> Text:
    if d.joint:
        return Text(f"rows_per_key is {d.given}", "give at least 1: the most rows of one joint key that enter")
    return Text("rows_per_key is about a side of a join", 'leave it out, or ask about joint["party"]')


def matches(d: MatchesUnbounded) -> Text:
    table, exact = f"{d.party}/{d.table}", 'ask for exact figures, such as joint["party"].mean("column")'
    many = f"{table} protects all rows of one {d.id}, who may have any number of keys ({', '.join(d.key)}) in this join"
    turns = f"{table} was joined by several keys in turn, where one row changes how many others match"
    open_ = "how far one moves the answer is not bounded"
    said = {
        "unit": Text(f"{many}: {open_}", f"join on {d.id}; or {exact}"),
        "turns": Text(f"{turns}: {open_}", f"join by one key; or {exact}"),
    }
    crafted = f"{d.party} refuses: with noise rows of a join are bounded by unit and by key, and all its parties pay"
    return said.get(d.why, Text(crafted, 'let the verb make the request: dp.mean(joint["party"], ...)'))


def validation(d: ValidationMisfit) -> Text:
    said: dict[str, Text] = {
        "folds": Text(f"folds is {d.number}", f"give a whole number from 2 to {d.most}"),
        "trainings": Text(f"candidates and folds make {d.number} trainings", f"ask for up to {d.most}"),
        "apart": Text(
            "the candidates differ in columns, label, parties or seed", "validate these in calls of their own"
        ),
        "labels": Text("the models predict different things", "compare models of one kind of label"),
        "exact": Text(
            "cross-validation tells exact scores, of whole folds", "leave privacy, name, evaluate_every and by out"
        ),
        "grid": Text(f"the grid is {d.grid}", 'give lists of values by argument: grid={"rounds": [10, 40]}'),
        "untold": Text("no party told a score", "use fewer folds: each takes its party's minimum count of rows"),
    }
    return said[d.wrong]


def title(d: TitleUnfit) -> Text:
    return Text(
        f"{d.title!r} cannot be a party's title",
        f"give one line of 1 to {d.most} letters of any script, without any that are not seen or turn others",
    )


def beyond_bound(d: BeyondBound) -> Text:
    what = "exceeds the declared bound" if d.total else "holds a value beyond the declared bound"
    return Text(
        f"{d.party}'s {d.column} {what} of {d.bound:g}: nothing was encrypted or sent", "declare a larger bound"
    )


def several_rows(d: SeveralRowsOfKey) -> Text:
    return Text(
        f"{d.party}/{d.table} has several rows of a joint key; statistics over the join take one of each",
        "ask its owner for a view with one row a key, such as SELECT key, avg(x) AS x ... GROUP BY key",
    )


def joint_column(d: JointColumnUnfit) -> Text:
    of = f"{d.party}'s {d.column}"
    few = f"fewer than {d.min_count} joint keys"
    said = {
        "few": Text(f"{of} has values at {few}", "use another column, or a join with more keys"),
        "infinite": Text(f"{of} holds an infinite value", "ask its owner to clean it"),
        "constant": Text(f"{of} is constant over the joint keys", "leave it out"),
        "alike": Text(f"{of} has one value at all but {few}: sums with it would tell of those", "leave it out"),
        "together": Text(
            f"one joint key makes up a combination of {of}: sums with these columns would tell of that key",
            "leave one of those that are nearly alike out, or ask for fewer at once",
        ),
        "groups": Text(f"no value of {of} is that of {d.min_count} joint keys", "use edges, or a coarser column"),
    }
    return said[d.why]


def joint_mismatch(d: JointMismatch) -> Text:
    said = {
        "join": Text(f"{d.party}'s side is of another join", "use the sides of one join"),
        "keys": Text(f"{d.party} has another number of joint keys"),
        "number": Text("the join has another number of keys", "ask by the joint table that psi.join gave"),
        "columns": Text(f"{d.party} encodes more columns than were asked for"),
        "complete": Text(f"{d.party} opened a number of complete keys beyond all of them"),
        "figures": Text(f"{d.party} answered without figures"),
    }
    return said[d.wrong]


def joint_question(d: JointQuestion) -> Text:
    said = {
        "keys": Text(
            f"fewer than {d.least} shared keys" if d.least else f"more than {d.most:,} shared keys",
            f"join tables with {'more' if d.least else 'fewer'} keys in common",
        ),
        "twice": Text("a column is named twice", "name each column once"),
        "shape": Text(f"columns of 1 to {d.most} parties of one join are taken, as many as named", "psi.join first"),
        "features": Text("a regression on no features", 'give them, as in ["bank.income", "shop.spent"]'),
        "ridge": Text("ridge is no penalty", "give a finite number, 0 or more"),
        "one-party": Text(f"both columns are {d.party}'s", f"{d.write} has them exactly"),
        "edges": Text(f"the edges of {d.column} do not rise", "give each above the one before"),
        "weights": Text(
            f"{d.column} has {d.number} values that are told; weight of evidence takes two",
            "make the crosstab with the two-valued column second",
        ),
    }
    return said[d.wrong]


def missing_numbers(d: MissingNumbers) -> Text:
    return Text(
        f"numbers are missing at {' and '.join(d.parties)}, and more than two parties take part: only of two are keys "
        "left out",
        "use columns of two parties, or ask for a view that fills them, as coalesce(x, 0)",
    )


def closed(_: FederationClosed) -> Text:
    return Text("the federation is closed", "open it again by ps.embedded(...) or ps.connect(...), and take its tables")


ENGLISH: Language = {
    NameUnknown: unknown,
    KeysMisfit: keys,
    JointUnusable: joint,
    JointFileUnusable: joint_file,
    GroupKeysMisfit: group_keys,
    GroupsMisfit: groups,
    LevelMisfit: level,
    RowsPerKeyMisfit: rows_per_key,
    MatchesUnbounded: matches,
    ValidationMisfit: validation,
    BeyondBound: beyond_bound,
    SeveralRowsOfKey: several_rows,
    JointColumnUnfit: joint_column,
    MissingNumbers: missing_numbers,
    JointMismatch: joint_mismatch,
    JointQuestion: joint_question,
    TitleUnfit: title,
    NotOffered: not_offered,
    CallMisfit: misfit,
    FederationClosed: closed,
    CertificateUnfit: certificate,
    NotTables: not_tables,
    WrongType: wrong_type,
    NotWritable: not_writable,
}
