"""The texts of errors of what was given: names, and files."""

from __future__ import annotations

from ..errors.details import FileMisread, Misread, NameUnknown, Text


def unknown(d: NameUnknown) -> Text:
    meant = f"did you mean {d.nearest!r}? " if d.nearest else ""
    listed = f"known: {', '.join(d.known)}" if d.known else "there are none"
    return Text(f"no {d.kind} named {d.name!r}{f' {d.where}' if d.where else ''}", meant + listed)


def file(d: FileMisread) -> Text:
    what, row = f"{d.where} cannot be read from {d.file}", f"row {d.row}" if d.row else "a row"
    readings = " or ".join(d.readings)
    add = f"declare it beside the table's path, as in csv = {{ {d.declare} }}, or in ps.csv(...)"
    said: dict[Misread, Text] = {
        "unreadable": Text(what, "check that the file is intact, and of the kind that its name says"),
        "empty": Text(f"{what}: it is empty", "give a file with a header and rows"),
        "encoding": Text(f"{what}: {row} is in another encoding", add),
        "delimiter": Text(f"{what}: more than one delimiter fits", f"declare csv = {{ ... }} with {readings}"),
        "names": Text(f"{what}: the first row has names that are empty or there twice", f"repair them, or {add}"),
        "header": Text(f"{what}: the first row reads as data", f"{add}, or header = true where it has the names"),
        "ragged": Text(
            f"{what}: {row} has {d.readings[0] if d.readings else 'other'} fields where there are "
            f"{d.readings[-1] if d.readings else 'others'} columns",
            "repair the row; fields with a delimiter need quotes",
        ),
        "readings": Text(f"{what}: more than one reading fits {d.column}", f"declare csv = {{ ... }} with {readings}"),
        "type": Text(f"{what}: {d.column} is not {readings} in {row}", f"repair the value, or {add}"),
    }
    return said[d.problem]
