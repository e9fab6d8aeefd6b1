"""Tables of many snapshots as Spark's, by its Python data sources (Spark 4.1 and later).

::

    import pyosier.spark

    pyosier.spark.register(spark)
    ps = spark.read.format("osier").option("tables", "ps").load("/srv/dumps")

docs/scale.md has the options. pyspark and pyarrow must be installed, and pyosier wherever an executor runs.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow
from pyspark.sql.datasource import (
    DataSource,
    DataSourceReader,
    EqualTo,
    Filter,
    In,
    InputPartition,
    StringContains,
    StringEndsWith,
    StringStartsWith,
)
from pyspark.sql.types import (
    BooleanType,
    DataType,
    DecimalType,
    DoubleType,
    LongType,
    StringType,
    StructField,
    StructType,
    TimestampType,
)

from . import _pyosier
from ._errors import NotASnapshotError, UsageError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

__all__ = ["Batch", "Osier", "Reader", "register"]

# Snapshots of one task, where nobody says how many.
_BATCH = 16
# Rows that are handed to Spark at a time.
_ROWS = 1 << 16
# The most bytes of profiles that go to the executors.
_MOST = 256 << 20
_WORDS = {"true": True, "false": False}
_TEXTS = ("group", "os")
_FLAGS = ("infer", "search", "shipped")
_COUNTS = ("cache_bytes", "memory_limit", "scratch_limit")
_OWN = ("ask", "batch", "cache", "path", "paths", "profile", "profiles", "root", "tables", "time_limit")

_Planned = tuple[str, str, bool, str | None]


def register(spark: SparkSession) -> None:
    """Let this session read the format osier, and hand conditions to data sources in Python."""
    # Spark refuses a reader that takes conditions where it hands on none, as it does unless told.
    spark.conf.set("spark.sql.python.filterPushdown.enabled", "true")
    spark.dataSource.register(Osier)


class Osier(DataSource):
    """The format osier: a table of many snapshots."""

    @classmethod
    def name(cls) -> str:
        """Tell the format's name."""
        return "osier"

    def schema(self) -> StructType:
        """Tell the columns of the table, in Spark's types."""
        return _columns(_Said(self.options).table)

    def reader(self, schema: StructType) -> Reader:
        """Make the reader of the table."""
        return Reader(_Said(self.options), schema)


class Batch(InputPartition):
    """Snapshots that one task reads: neighbours in the list of inputs."""

    def __init__(self, inputs: list[_Planned]) -> None:
        """Hold the inputs, with the names that all of them were given together."""
        super().__init__(None)
        self.inputs = inputs


class _Said:
    """What the options say."""

    def __init__(self, options: Mapping[str, str]) -> None:
        said = {name.lower(): value for name, value in options.items()}
        unknown = sorted(set(said) - {*_TEXTS, *_FLAGS, *_COUNTS, *_OWN})
        if unknown:
            raise UsageError(f"the format osier has no option {unknown[0]}")
        self.table = said.get("tables", "ps").strip()
        if "," in self.table:
            raise UsageError("a data frame is one table: say one of tables for each")
        asked = said.get("ask", "ps") if self.table == "manifest" else self.table
        self.ask = [word.strip() for word in asked.split(",")]
        self.paths = _paths(said)
        self.root = _everywhere(said["root"]) if "root" in said else None
        self.batch = _count("batch", said.get("batch", str(_BATCH)))
        self.known: dict[str, Any] = {name: said[name] for name in _TEXTS if name in said}
        self.known |= {name: _flag(name, said[name]) for name in _FLAGS if name in said}
        self.known |= {name: _count(name, said[name]) for name in _COUNTS if name in said}
        if "time_limit" in said:
            self.known["time_limit"] = float(said["time_limit"])
        self.cache: bool | str = said.get("cache", "true")
        self.cache = _WORDS.get(self.cache.lower(), self.cache)
        self.profile = said.get("profile")
        self.profiles = said.get("profiles")


def _paths(said: Mapping[str, str]) -> list[str]:
    """The paths of load; Hadoop's `file:` is a path of this machine."""
    paths = json.loads(said["paths"]) if "paths" in said else [said.get("path", "")]
    if not all(paths):
        raise UsageError("load() needs the paths of snapshots")
    return [_everywhere(path.removeprefix("file://")) for path in paths]


def _everywhere(path: str) -> str:
    """The same path whatever folder an executor works in; an address as it is."""
    return path if "://" in path else os.path.abspath(path)


def _flag(name: str, value: str) -> bool:
    try:
        return _WORDS[value.lower()]
    except KeyError:
        raise UsageError(f"the option {name} is true or false, not {value}") from None


def _count(name: str, value: str) -> int:
    if not value.isascii() or not value.isdigit() or int(value) == 0:
        raise UsageError(f"the option {name} is a number from 1 on, not {value}")
    return int(value)


def _columns(table: str) -> StructType:
    """The columns of a table as Spark has them, the same that it makes of the Parquet file."""
    arrow = pyarrow.schema(_pyosier.planned_columns(table))
    return StructType([StructField(field.name, _type(field.type), True) for field in arrow])


def _type(arrow: pyarrow.DataType) -> DataType:
    """What Spark has for a type. It has no unsigned ones."""
    types = pyarrow.types
    if types.is_uint64(arrow):
        return DecimalType(20, 0)
    if types.is_int64(arrow):
        return LongType()
    if types.is_float64(arrow):
        return DoubleType()
    if types.is_boolean(arrow):
        return BooleanType()
    if types.is_timestamp(arrow):
        return TimestampType()
    if types.is_string(arrow):
        return StringType()
    raise TypeError(f"Spark is given no {arrow}")


def _arrow(spark: DataType) -> pyarrow.DataType:
    """The type of a column that is handed to Spark."""
    if isinstance(spark, DecimalType):
        return pyarrow.decimal128(20, 0)
    if isinstance(spark, LongType):
        return pyarrow.int64()
    if isinstance(spark, DoubleType):
        return pyarrow.float64()
    if isinstance(spark, BooleanType):
        return pyarrow.bool_()
    if isinstance(spark, TimestampType):
        return pyarrow.timestamp("us", "UTC")
    return pyarrow.string()


class Reader(DataSourceReader):
    """Plans which snapshots each task reads, and reads them there."""

    def __init__(self, said: _Said, schema: StructType) -> None:
        """Take the profiles that were named, which go to the executors with this reader."""
        self._said = said
        self._schema = schema
        self._profile = _files([said.profile] if said.profile else [])
        folder = sorted(Path(said.profiles).iterdir()) if said.profiles else []
        self._profiles = _files([str(file) for file in folder if file.is_file()])
        self._wanted: list[Filter] = []

    def pushFilters(self, filters: list[Filter]) -> list[Filter]:  # noqa: N802
        """Keep what is said of the column snapshot: others are not read. Spark looks at the rows all the same."""
        kinds = (EqualTo, In, StringStartsWith, StringEndsWith, StringContains)
        for pushed in filters:
            if isinstance(pushed, kinds) and pushed.attribute == ("snapshot",):
                self._wanted.append(pushed)
        return filters

    def partitions(self) -> list[InputPartition]:
        """List the inputs, once, and cut the list."""
        said = self._said
        found = _pyosier.planned_inputs(said.paths, root=said.root, cache=said.cache)
        inputs = [one for one in found if all(_fits(one[1], pushed) for pushed in self._wanted)]
        cuts = range(0, len(inputs), said.batch)
        # Without any, Spark would ask for everything that there is.
        return [Batch(inputs[cut : cut + said.batch]) for cut in cuts] or [Batch([])]

    def read(self, partition: InputPartition) -> Iterator[pyarrow.RecordBatch]:
        """Read the snapshots of one task."""
        said = self._said
        assert isinstance(partition, Batch)
        if not partition.inputs:
            return
        known = dict(said.known, cache=said.cache)
        if self._profile:
            [name] = self._profile
            known["profile"] = _unpacked(self._profile) / name
        if self._profiles:
            known["profiles"] = _unpacked(self._profiles)
        target = pyarrow.schema([(field.name, _arrow(field.dataType)) for field in self._schema])
        try:
            for part in _pyosier.planned_run(partition.inputs, said.ask, **known):
                if said.table == "manifest":
                    table: _pyosier.Table | None = _pyosier.planned_manifest(part)
                else:
                    table = part.tables.get(said.table)
                if table is not None:
                    rows = pyarrow.table(table).cast(target)
                    yield from rows.to_batches(max_chunksize=_ROWS)
        except NotASnapshotError:
            # Files of folders alone, and none of them is a snapshot: there may be some in other tasks.
            return


def _fits(name: str, pushed: Filter) -> bool:
    """Whether a snapshot of this name may have rows that are wanted."""
    value = getattr(pushed, "value", None)
    if isinstance(pushed, EqualTo):
        return bool(name == value)
    if isinstance(pushed, In):
        return name in pushed.value
    if not isinstance(value, str):
        return True
    if isinstance(pushed, StringStartsWith):
        return name.startswith(value)
    if isinstance(pushed, StringEndsWith):
        return name.endswith(value)
    return value in name


def _files(paths: list[str]) -> dict[str, bytes]:
    """The files by their names, with what is in them."""
    files = {Path(path).name: Path(path).read_bytes() for path in paths}
    if sum(map(len, files.values())) > _MOST:
        raise UsageError(f"profiles of more than {_MOST >> 20} MiB are put where executors find them, not sent there")
    return files


def _has(folder: Path, files: Mapping[str, bytes], user: int) -> bool:
    """Whether the folder is this user's, and still has all of these files."""
    if folder.is_symlink() or not folder.is_dir() or folder.stat().st_uid != user:
        return False
    paths = [(folder / name, len(content)) for name, content in files.items()]
    return all(path.is_file() and path.stat().st_size == size for path, size in paths)


def _unpacked(files: Mapping[str, bytes]) -> Path:
    """A folder with these files, made once on a machine."""
    digest = hashlib.sha256()
    for name, content in sorted(files.items()):
        digest.update(f"{name} {len(content)} ".encode())
        digest.update(content)
    user = os.getuid() if hasattr(os, "getuid") else 0
    folder = Path(tempfile.gettempdir()) / f"osier-profiles-{user}-{digest.hexdigest()[:32]}"
    if _has(folder, files, user):
        return folder
    made = Path(tempfile.mkdtemp(prefix="osier-profiles-"))
    for name, content in files.items():
        (made / name).write_bytes(content)
    try:
        made.rename(folder)
    except OSError:
        # Another task was first, or the name is somebody else's, or what was in it was cleaned away.
        if _has(folder, files, user):
            shutil.rmtree(made, ignore_errors=True)
            return folder
        return made
    return folder
