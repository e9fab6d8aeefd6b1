"""Reads a run's Parquet tables with pyarrow and DuckDB.

read_tables.py OUT REFERENCE

REFERENCE/names.json maps what rows call a snapshot to a folder in REFERENCE, which holds what the
single-snapshot commands print of it: TABLE.jsonl. Exits with 77 when a reader is not installed.
"""

import json
import sys
from datetime import datetime, timezone
from pathlib import Path

try:
    import duckdb
    import pyarrow.parquet as parquet
except ImportError as error:
    print(error)
    sys.exit(77)

# docs/tables.md: a column's documented type by what JSON Lines has in its place.
U64, TEXT, FLAG, INSTANT = "uint64", "string", "bool", "timestamp[us, tz=UTC]"
ADDRESSES = {"taskd", "asid", "pgd", "task", "base", "modd", "flags", "peb"}
TEXTS = {"name", "exe", "cmdline", "path", "file", "process_name"}
WORDS = {"state", "perms", "kind", "found_by", "absent", "snapshot", "id"}
FLAGS = {"kernel_thread", "wow64"}
DUCKDB = {
    U64: {"UBIGINT"},
    TEXT: {"VARCHAR"},
    FLAG: {"BOOLEAN"},
    INSTANT: {"TIMESTAMP WITH TIME ZONE"},
}
TABLES = ["ps", "handles", "current", "threads", "modules", "maps"]


def documented(column):
    """The documented type of a column."""
    if column in WORDS | TEXTS or column.endswith("_hex"):
        return TEXT
    if column in FLAGS:
        return FLAG
    return INSTANT if column == "start" else U64


def microseconds(text):
    """Whole microseconds since 1970 of 2026-11-23T06:29:03.018930216Z."""
    whole, _, fraction = text.rstrip("Z").partition(".")
    seconds = datetime.fromisoformat(whole).replace(tzinfo=timezone.utc).timestamp()
    return int(seconds) * 10**6 + int(fraction.ljust(9, "0")[:6] or 0)


def typed(row, columns):
    """A row of JSON Lines as the Parquet columns have it."""

    def value(column):
        found = row.get(column)
        if found is None:
            return None
        if column == "absent":
            return json.dumps(found, separators=(",", ":"))
        if column in ADDRESSES:
            return int(found, 16)
        return microseconds(found) if column == "start" else found

    return tuple(value(column) for column in columns)


def same(got, wanted, columns):
    """Whether two rows are equal; `absent` is compared as the object that it is."""
    if got == wanted:
        return True
    at = columns.index("absent")
    absent = [json.loads(row[at]) if row[at] else None for row in (got, wanted)]
    return got[:at] == wanted[:at] and absent[0] == absent[1]


def check(reader, table, rows, columns, names, references):
    """Holds (snapshot, id, cells...) rows, in the file's order, against the references."""
    snapshot, expected, place, seen, count = None, [], 0, [], 0
    for row in rows:
        if row[0] != snapshot:
            assert place == len(expected), f"{reader} {table}: {snapshot} has {place} rows"
            snapshot, place = row[0], 0
            expected = references[names[snapshot]]
            seen.append(snapshot)
        assert len(row[1]) == 16, f"{reader} {table}: the id {row[1]}"
        wanted = expected[place]
        assert same(row[2:], wanted, columns), f"{reader} {table} {snapshot}: {row[2:]}, not {wanted}"
        place, count = place + 1, count + 1
    assert place == len(expected), f"{reader} {table}: {snapshot} has {place} rows"
    wanted = [name for name in names if references[names[name]]]
    assert seen == wanted, f"{reader} {table}: snapshots are missing or in another order"
    return count


def of_pyarrow(file, columns):
    """The rows as pyarrow reads them, instants as microseconds."""
    for batch in parquet.ParquetFile(file).iter_batches():
        cells = []
        for column in columns:
            values = batch.column(column)
            values = values.cast("int64") if documented(column) == INSTANT else values
            cells.append(values.to_pylist())
        yield from zip(*cells)


def of_duckdb(file, columns):
    """The rows as DuckDB reads them, instants as microseconds."""
    asked = [
        f'epoch_us("{column}")' if documented(column) == INSTANT else f'"{column}"'
        for column in columns
    ]
    connection = duckdb.connect(config={"threads": 1})
    result = connection.execute(f"select {', '.join(asked)} from read_parquet('{file}')")
    while rows := result.fetchmany(10000):
        yield from rows


def main():
    out, reference = Path(sys.argv[1]), Path(sys.argv[2])
    names = json.loads((reference / "names.json").read_text())
    for table in TABLES:
        file = out / f"{table}.parquet"
        schema = parquet.read_schema(file)
        columns = schema.names
        assert columns[:2] == ["snapshot", "id"] and columns[-1] == "absent", columns
        for column in columns:
            kind = str(schema.field(column).type)
            assert kind == documented(column), f"{table}.{column} is {kind} to pyarrow"
        described = duckdb.sql(f"describe select * from read_parquet('{file}')").fetchall()
        for column, kind, *_ in described:
            assert kind in DUCKDB[documented(column)], f"{table}.{column} is {kind} to DuckDB"
        references = {}
        for folder in set(names.values()):
            text = (reference / folder / f"{table}.jsonl").read_text()
            lines = [json.loads(line) for line in text.splitlines()]
            references[folder] = [typed(line, columns[2:]) for line in lines if "end" not in line]
        counts = {
            check(reader.__name__, table, reader(file, columns), columns[2:], names, references)
            for reader in (of_pyarrow, of_duckdb)
        }
        print(f"{table}: {counts.pop()} rows of {len(names)} snapshots")


main()
