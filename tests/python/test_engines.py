"""The recipes for Ray and Daft: what they give is what a run gives, a broken snapshot and a file that is no snapshot among the inputs."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import pyosier
from conftest import ROOT, SNAPSHOTS
from test_docs import blocks

COUNT = 100


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working folder with `snapshots/` in it: a hundred of three kernels, one of them cut, and sixteen that are none."""
    place = ROOT / "target/engines" / str(os.getpid())
    folder = place / "snapshots"
    folder.mkdir(parents=True)
    sources = [SNAPSHOTS / f"{name}.elf" for name in ("deb11-5.10-amd64", "deb12-6.1-amd64", "deb11-5.10-686")]
    for number in range(COUNT):
        os.link(sources[number * len(sources) // COUNT], folder / f"n{number:03}.elf")
    cut = folder / "n017.elf"
    content = cut.read_bytes()
    cut.unlink()
    cut.write_bytes(content[:3000])
    # Neighbours, so that a whole batch of them is of no snapshot.
    for number in range(32):
        (folder / f"z{number:02}.elf").write_text("no snapshot")
    monkeypatch.chdir(place)
    yield place
    shutil.rmtree(place)


def recipe(number: int) -> dict[str, Any]:
    """What the recipe has made when it was run."""
    names: dict[str, Any] = {}
    exec(compile(blocks(ROOT / "docs/engines.md")[number], "docs/engines.md", "exec"), names)
    return names


def expected(place: Path) -> Any:
    """The rows of a run over all of them."""
    return pyosier.run([str(place / "snapshots")], tables="ps", root="snapshots").collect()["ps"].to_arrow()


def rows(table: Any) -> list[tuple[Any, ...]]:
    """Rows of a table, in an order of their own."""
    keys = ["snapshot", "pid", "taskd", "name", "uid"]
    return sorted(zip(*(table.column(key).to_pylist() for key in keys), strict=True), key=repr)


def test_ray_gives_the_rows_of_a_run(place: Path) -> None:
    ray = pytest.importorskip("ray", reason="ray is not installed")
    try:
        made = recipe(0)
        import pyarrow

        parts = [part for part in ray.get(made["ps"].to_arrow_refs()) if part.num_columns]
        table = pyarrow.concat_tables(parts)
    finally:
        ray.shutdown()
    assert table.schema.equals(expected(place).schema)
    assert rows(table) == rows(expected(place))


def test_daft_gives_the_rows_of_a_run(place: Path) -> None:
    pytest.importorskip("daft", reason="daft is not installed")
    table = recipe(1)["ps"].to_arrow()
    assert rows(table) == rows(expected(place))
