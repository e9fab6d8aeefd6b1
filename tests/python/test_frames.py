"""polars, pandas, pyarrow and DuckDB take an answer as it stands."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import crowd
import pyosier
from test_rows import QUESTIONS as WORDS



def columns(answer: pyosier.Answer[pyosier.Row]) -> dict[str, list[object]]:
    """The columns of the rows themselves."""

    def shown(value: object) -> object:
        # Columns have no surrogates: bytes that are no text are written by their numbers.
        if isinstance(value, str):
            return value.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
        return value

    rows = list(answer)
    if not rows:
        return {}
    return {name: [shown(getattr(row, name)) for row in rows] for name in type(rows[0]).fields}


@pytest.mark.parametrize("word", WORDS)
def test_pyarrow(guest: pyosier.Guest, word: str) -> None:
    pa = pytest.importorskip("pyarrow")
    answer = guest.ask(word)
    table = pa.table(answer)
    assert table.num_rows == answer.count()
    assert pa.RecordBatchReader.from_stream(answer).read_all() == table
    assert pa.schema(answer) == table.schema == answer.to_arrow().schema
    for name, values in columns(answer).items():
        # Tables have an `id` of their own, the snapshot's.
        assert table["mount_id" if name == "id" else name].to_pylist() == values, name
    assert set(table["snapshot"].to_pylist()) <= {"deb12-6.1-amd64.elf"}


def test_tables_are_parquets(guest: pyosier.Guest, path: Path, tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    run = [sys.executable, "-m", "pyosier", "run", str(path), "-o", str(tmp_path / "out")]
    # Pages are not all in the distilled snapshot, so that the run is partial.
    ran = subprocess.run([*run, "--to", "parquet", "--tables", ",".join(WORDS), "-q"], check=False)
    assert ran.returncode == 3
    for word in WORDS:
        written = parquet.read_table(tmp_path / "out" / f"{word}.parquet")
        answered = pa.table(guest.ask(word))
        assert written.schema.equals(answered.schema, check_metadata=False)
        assert written.equals(answered), word


def test_polars(guest: pyosier.Guest) -> None:
    pl = pytest.importorskip("polars")
    answer = guest.maps()
    frame = pl.DataFrame(answer)
    assert frame.equals(answer.to_polars()) and frame.height == answer.count()
    assert frame["base"].dtype == pl.UInt64
    assert frame["base"].to_list() == [row.base for row in answer]


def test_pandas(guest: pyosier.Guest) -> None:
    pytest.importorskip("pyarrow")
    pd = pytest.importorskip("pandas")
    answer = guest.processes()
    frame = answer.to_pandas()
    assert str(frame["pgd"].dtype) == "uint64[pyarrow]"
    values = [None if value is pd.NA else int(value) for value in frame["pgd"]]
    assert values == [row.pgd for row in answer] and None in values


@pytest.mark.parametrize("word", WORDS)
def test_pandas_takes_an_answer_as_it_stands(guest: pyosier.Guest, word: str) -> None:
    pa = pytest.importorskip("pyarrow")
    pd = pytest.importorskip("pandas")
    answer = guest.ask(word)
    taken = pd.DataFrame.from_arrow(answer)
    assert len(taken) == answer.count() and list(taken.columns) == pa.schema(answer).names
    # No number becomes floating point where one is missing: an address would lose its last digits.
    own = {"uint64": "UInt64", "int64": "Int64", "bool": "boolean"}
    for field in pa.schema(answer):
        if kind := own.get(str(field.type)):
            column = taken[field.name]
            assert str(column.dtype) == kind, field.name
            values = [None if value is pd.NA else value for value in column]
            assert values == pa.table(answer)[field.name].to_pylist(), field.name


def test_duckdb(guest: pyosier.Guest) -> None:
    duckdb = pytest.importorskip("duckdb")
    maps = guest.maps()
    [(rows,)] = duckdb.sql("select count(*) from maps").fetchall()
    assert rows == maps.count()
    joined = "select count(*) from maps a join maps b on a.modd = b.modd and a.pid = b.pid"
    [(rows,)] = duckdb.sql(joined).fetchall()
    assert rows >= maps.count()


def test_several_threads_give_what_one_gives(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    # So many processes that their mappings are walked by a thread for each processor.
    crowd.make(tmp_path / "crowd.elf", 1100, 7)
    guest = pyosier.open(tmp_path / "crowd.elf", cache=False)
    by_rows, by_columns = guest.maps(), guest.maps()
    rows = list(by_rows)
    assert len(rows) > 7000
    table = pa.table(by_columns)
    for name in ("pid", "base", "name", "modd"):
        assert table[name].to_pylist() == [getattr(row, name) for row in rows], name
    assert by_columns.ends == by_rows.ends and by_columns.losses == by_rows.losses
    assert by_columns.count() == len(rows) and not by_columns.complete
    assert pa.table(guest.maps()) == table
    # What all rows say alike stands in memory once for many batches.
    ids = table["id"].chunks
    assert len(ids) >= 8 and len({chunk.buffers()[2].address for chunk in ids}) < len(ids) / 2
    assert set(table["id"].to_pylist()) == {ids[0][0].as_py()}
    [first] = {row.pid for row in rows[:1]}
    assert pa.table(guest.maps(first)).num_rows == sum(row.pid == first for row in rows)
