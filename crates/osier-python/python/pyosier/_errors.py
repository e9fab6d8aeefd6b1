"""The exceptions of pyosier: one class for each kind of error, under one base class."""

from __future__ import annotations


class Error(Exception):
    """The base class of everything that pyosier raises of its own."""

    path: str | None = None
    """The file that the error is about, where it is about one."""
    offset: int | None = None
    """Where in that file it is damaged or could not be read: bytes from the start."""


class NotFoundError(Error, FileNotFoundError):
    """A file that was named is not there."""


class NotASnapshotError(Error):
    """The file is no snapshot, or none of several files is."""


class DamagedError(Error):
    """The file contradicts its own format."""


class UnsupportedError(Error):
    """The format, or what was asked of it, is known and not read here."""


class NoKernelError(Error):
    """No kernel was found in the snapshot."""


class SymbolsMissingError(Error):
    """A kernel was found, but not its types or symbols; the message names what helps."""


class ContradictionError(Error):
    """What was said is not what the snapshot shows."""


class UsageError(Error, ValueError):
    """What was said cannot be understood."""


class ReadError(Error, OSError):
    """The operating system refused to read or write a file."""


class ClosedError(Error, ValueError):
    """The guest or snapshot was closed."""


class NoProcessError(Error, LookupError):
    """No process has this pid, several have, or it has no memory of its own."""


class UnknownNameError(Error, LookupError):
    """The profile has no symbol, type or member of this name."""


class FaultError(Error):
    """A byte of the guest's memory could not be read."""

    cause: str = ""
    """What stood in the way: a word of docs/rows.md, such as not-present."""
    va: int | None = None
    """The virtual address that was asked for."""
    pa: int | None = None
    """The physical address of the byte, or of the page-table entry that could not be read."""
    level: int | None = None
    """The paging level whose entry stood in the way; 1 is the page table."""
    entry: int | None = None
    """The page-table entry that stood in the way."""
