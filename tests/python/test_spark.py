"""The format osier of Spark: its rows are those of a run, whatever becomes of snapshots and executors."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from conftest import ROOT, SNAPSHOTS
from test_docs import blocks

pytest.importorskip("pyspark", reason="pyspark is not installed")
if shutil.which("java") is None and not os.environ.get("JAVA_HOME"):
    pytest.skip("java, which Spark runs in, is not installed", allow_module_level=True)

import pyosier
import pyosier.spark

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

OSIER = Path(sys.executable).parent / "osier"
COUNT = 500
BROKEN = "n217.elf"


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """Five hundred snapshots of three kernels, one of which is broken, and files that are not snapshots."""
    place = ROOT / "target/spark" / str(os.getpid())
    place.mkdir(parents=True)
    sources = [SNAPSHOTS / f"{name}.elf" for name in ("deb11-5.10-amd64", "deb12-6.1-amd64", "deb11-5.10-686")]
    for number in range(COUNT):
        os.link(sources[number * len(sources) // COUNT], place / f"n{number:03}.elf")
    content = (place / BROKEN).read_bytes()
    (place / BROKEN).unlink()
    (place / BROKEN).write_bytes(content[:3000])
    (place / "notes.txt").write_text("no snapshot")
    yield place
    shutil.rmtree(place)


@pytest.fixture(scope="module")
def spark() -> Iterator[SparkSession]:
    """Two executors, each a process of its own."""
    from pyspark.sql import SparkSession

    os.environ["PYSPARK_PYTHON"] = sys.executable
    os.environ["SPARK_LOCAL_IP"] = "127.0.0.1"
    made: Any = SparkSession.builder
    session = (
        made.master("local-cluster[2,1,1024]")
        .config("spark.ui.enabled", "false")
        .config("spark.executor.memory", "1g")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.sql.session.timeZone", "UTC")
        .getOrCreate()
    )
    pyosier.spark.register(session)
    yield session
    session.stop()


@pytest.fixture(scope="module")
def run(folder: Path) -> Iterator[Path]:
    """What `osier run` writes of them."""
    out = folder.with_name(f"{folder.name}.out")
    done = subprocess.run(
        [OSIER, "run", folder, "--tables", "ps,modules", "--to", "parquet", "-q", "-o", out], check=False
    )
    assert done.returncode == 3
    yield out
    shutil.rmtree(out)


def read(spark: SparkSession, folder: Path | str, **options: str) -> DataFrame:
    """A table of the snapshots."""
    return spark.read.format("osier").options(**options).load(str(folder))


def same(frame: DataFrame, written: DataFrame) -> None:
    """Asserts that two tables have the same columns and rows."""
    assert frame.schema == written.schema
    assert frame.count() == written.count() > 0
    assert frame.exceptAll(written).isEmpty()
    assert written.exceptAll(frame).isEmpty()


def test_rows_are_those_of_a_run(spark: SparkSession, folder: Path, run: Path) -> None:
    for table in ("ps", "modules"):
        same(read(spark, folder, tables=table), spark.read.parquet(str(run / f"{table}.parquet")))


def test_a_snapshot_that_fails_is_a_row_of_the_manifest(
    spark: SparkSession, folder: Path, run: Path
) -> None:
    rows = read(spark, folder, tables="manifest", ask="ps,modules").collect()
    told = {row["snapshot"]: row["status"] for row in rows}
    assert len(told) == len(rows) == COUNT
    assert [name for name, status in told.items() if status != "complete"] == [BROKEN]
    assert told[BROKEN] == "failed"


def test_an_executor_that_is_killed_costs_no_rows(
    spark: SparkSession, folder: Path, run: Path
) -> None:
    executors = children("CoarseGrainedExecutorBackend")
    assert len(executors) == 2
    columns = ["snapshot", "id", "pid", "ppid", "name", "taskd", "start", "cmdline", "absent"]
    frame = read(spark, folder, tables="ps", batch="4").select(*columns)
    assert frame.rdd.getNumPartitions() >= COUNT // 4
    rows: list[Any] = []
    job = threading.Thread(target=lambda: rows.extend(frame.collect()))
    job.start()
    tracker = spark.sparkContext.statusTracker()
    for _ in range(600):
        stages = [tracker.getStageInfo(stage) for stage in tracker.getActiveStageIds()]
        if any(stage and stage.numCompletedTasks > 4 for stage in stages):
            break
        time.sleep(0.05)
    assert job.is_alive(), "the job was over before an executor was killed"
    os.kill(executors[0], signal.SIGKILL)
    job.join()
    assert executors[0] not in children("CoarseGrainedExecutorBackend")
    written = spark.read.parquet(str(run / "ps.parquet")).select(*columns)
    same(spark.createDataFrame(rows, written.schema), written)


def children(name: str) -> list[int]:
    """The processes below this one that have this word among their arguments."""
    parents, found = {}, []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(place.name)] = int((place / "stat").read_text().rpartition(")")[2].split()[1])
            if name.encode() in (place / "cmdline").read_bytes():
                found.append(int(place.name))
        except OSError:
            continue

    def below(pid: int) -> bool:
        while pid in parents and pid != os.getpid():
            pid = parents[pid]
        return pid == os.getpid()

    return sorted(filter(below, found))


def test_what_is_said_of_the_snapshot_is_read_alone(spark: SparkSession, folder: Path) -> None:
    frame = read(spark, folder, tables="ps")
    for wanted in (
        frame.where(frame.snapshot == "n007.elf"),
        frame.where(frame.snapshot.isin("n007.elf", "none")),
        frame.where(frame.snapshot.startswith("n007")),
    ):
        # A task of sixteen snapshots at most.
        assert wanted.rdd.getNumPartitions() == 1
        assert {row["snapshot"] for row in wanted.select("snapshot").distinct().collect()} == {"n007.elf"}
    assert frame.where(frame.snapshot == "none").count() == 0
    assert frame.where(frame.pid == 1).select("snapshot").distinct().count() == COUNT - 1


def test_profiles_go_to_the_executors(spark: SparkSession, folder: Path, tmp_path: Path) -> None:
    profiles = tmp_path / "profiles"
    profiles.mkdir()
    place = folder / "n000.elf"
    assert read(spark, place, shipped="false", cache="false").count() == 0
    for file in (ROOT / "symbols").rglob("*.osp"):
        shutil.copy(file, profiles)
    frame = read(spark, place, shipped="false", cache="false", profiles=str(profiles))
    assert frame.count() == pyosier.open(place, cache=False).processes().count()
    # They were written there, and are not read from the driver's folder.
    sent = {file.name for file in Path(tempfile.gettempdir()).glob("osier-profiles-*/*.osp")}
    assert {file.name for file in profiles.iterdir()} <= sent


def test_roots_patterns_and_several_paths(spark: SparkSession, folder: Path) -> None:
    frame = read(spark, f"{folder}/n00?.elf", root=str(folder.parent))
    names = {row["snapshot"] for row in frame.select("snapshot").distinct().collect()}
    assert names == {f"{folder.name}/n00{digit}.elf" for digit in range(10)}
    both = [str(folder / "n001.elf"), str(folder / "n002.elf")]
    frame = spark.read.format("osier").load(both)
    assert frame.select("snapshot").distinct().count() == 2


def test_the_example_of_the_documentation_runs(spark: SparkSession) -> None:
    names: dict[str, Any] = {"spark": spark}
    examples = blocks(ROOT / "docs/scale.md")
    assert examples
    for example in examples:
        exec(compile(example, "docs/scale.md", "exec"), names)
    assert names["ps"].count() > 100
    assert names["failed"].count() == 0


def test_what_cannot_be_understood_is_an_error(spark: SparkSession, folder: Path) -> None:
    for options, why in (
        ({"tables": "ps,modules"}, "one of tables for each"),
        ({"tables": "nothing"}, "nothing"),
        ({"batch": "0"}, "a number from 1 on"),
        ({"infer": "perhaps"}, "true or false"),
        ({"color": "red"}, "no option color"),
    ):
        with pytest.raises(Exception, match=why):
            read(spark, folder, **options).count()
