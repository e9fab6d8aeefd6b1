"""Reads a machine that has stopped.

A memory dump or a PANDA recording goes in; processes, threads, modules and mappings come out::

    import pyosier

    guest = pyosier.open("memory.elf")
    for process in guest.processes():
        print(process.pid, process.name)

An answer is a table to polars, pandas, pyarrow and DuckDB as it stands. docs/python.md has the rest.
"""

from ._errors import (
    ClosedError,
    ContradictionError,
    DamagedError,
    Error,
    FaultError,
    NoKernelError,
    NoProcessError,
    NotASnapshotError,
    NotFoundError,
    ReadError,
    SymbolsMissingError,
    UnknownNameError,
    UnsupportedError,
    UsageError,
)
from ._pyosier import (
    Absent,
    Answer,
    Current,
    End,
    Event,
    Guest,
    Handle,
    Life,
    Mapping,
    Module,
    Page,
    Process,
    Row,
    Rows,
    Snapshot,
    Step,
    Thread,
    Translation,
    __version__,
    open,
    snapshot,
)

__all__ = [
    "Absent",
    "Answer",
    "ClosedError",
    "ContradictionError",
    "Current",
    "DamagedError",
    "End",
    "Error",
    "Event",
    "FaultError",
    "Guest",
    "Handle",
    "Life",
    "Mapping",
    "Module",
    "NoKernelError",
    "NoProcessError",
    "NotASnapshotError",
    "NotFoundError",
    "Page",
    "Process",
    "ReadError",
    "Row",
    "Rows",
    "Snapshot",
    "Step",
    "SymbolsMissingError",
    "Thread",
    "Translation",
    "UnknownNameError",
    "UnsupportedError",
    "UsageError",
    "__version__",
    "open",
    "snapshot",
]
