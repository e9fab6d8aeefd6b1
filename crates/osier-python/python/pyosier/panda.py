"""PyPANDA's names for the OSI part of a script, over a snapshot.

A script that asks PANDA's OSI runs with one changed import::

    from pyosier.panda import Panda

    panda = Panda("recording-rr-snp")
    for process in panda.get_processes(panda.get_cpu()):
        print(process.pid, panda.ffi.string(process.name).decode())

There is one instant and no emulator: what needs one (callbacks, run) raises NotImplementedError. PANDA's
order, its names of files and its numbers where it has none are kept; pyosier.Guest has what it loses.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, overload

from ._errors import Error, FaultError
from ._pyosier import (
    File,
    Guest,
    open,
    panda_cpu,
    panda_current,
    panda_heap,
    panda_mappings,
    panda_modules,
    panda_processes,
    panda_read,
    panda_translate,
)

__all__ = [
    "Cpu",
    "Ffi",
    "GArray",
    "GArrayIterator",
    "Null",
    "Osi",
    "OsiLinux",
    "OsiModule",
    "OsiProc",
    "OsiProcHandle",
    "OsiProcMem",
    "OsiThread",
    "Panda",
    "ffi",
]


class Null:
    """A null pointer: equal to itself alone, and false."""

    def __bool__(self) -> bool:
        """A null pointer is false."""
        return False

    def __repr__(self) -> str:
        """As cffi shows it."""
        return "<cdata 'void *' NULL>"


class Ffi:
    """As much of cffi as scripts use on what OSI gives."""

    NULL = Null()
    """The null pointer."""

    def string(self, text: bytes | Null, maxlen: int = -1) -> bytes:
        """The bytes of a C string."""
        if isinstance(text, Null):
            raise RuntimeError("cannot use string() on <cdata 'char *' NULL>")
        return text if maxlen < 0 else text[:maxlen]


ffi = Ffi()
"""The module's own, which is also each Panda's."""

Text = bytes | Null


@dataclass(frozen=True)
class Cpu:
    """A processor of the snapshot."""

    cpu_index: int = 0


@dataclass(frozen=True)
class OsiProc:
    """A process. pages is always NULL, as in PANDA."""

    taskd: int
    pgd: int
    asid: int
    pid: int
    ppid: int
    name: Text
    create_time: int
    pages: Null = Ffi.NULL


@dataclass(frozen=True)
class OsiModule:
    """A mapping, or a kernel module."""

    modd: int
    base: int
    size: int
    name: Text
    file: Text
    offset: int
    flags: int


@dataclass(frozen=True)
class OsiThread:
    """A thread."""

    pid: int
    tid: int


@dataclass(frozen=True)
class OsiProcHandle:
    """What names a process."""

    taskd: int
    asid: int


@dataclass(frozen=True)
class OsiProcMem:
    """Where the heap of a process begins and ends."""

    start_brk: int
    brk: int


@dataclass(frozen=True)
class _Mapping:
    """What PyPANDA's get_mapping_by_addr gives: Python's own texts."""

    base: int
    file: str | None
    modd: int
    name: str | None
    size: int


T = TypeVar("T")

_EMULATED = ("cb_", "run", "ppp", "hook", "queue_", "enable_", "disable_", "revert", "set_")
"""How PyPANDA's names begin that need an emulator."""


class GArray(Sequence[T], Generic[T]):
    """A list as OSI gives it; len is its length."""

    def __init__(self, rows: Sequence[T]) -> None:
        """A list of these rows."""
        self._rows = rows

    @property
    def len(self) -> int:
        """Number of elements."""
        return len(self._rows)

    def __len__(self) -> int:
        """Number of elements."""
        return len(self._rows)

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[T]: ...
    def __getitem__(self, index: int | slice) -> T | Sequence[T]:
        """The element at this index."""
        return self._rows[index]


class GArrayIterator(Generic[T]):
    """An iterator of a list that knows its length."""

    def __init__(self, rows: Sequence[T]) -> None:
        """An iterator of these rows."""
        self.garray = rows
        self.garray_len = len(rows)
        self.current_idx = 0

    def __iter__(self) -> Iterator[T]:
        """Begin again."""
        self.current_idx = 0
        return self

    def __next__(self) -> T:
        """The next element."""
        if self.current_idx >= self.garray_len:
            raise StopIteration
        self.current_idx += 1
        return self.garray[self.current_idx - 1]

    def __len__(self) -> int:
        """Number of elements."""
        return self.garray_len


def _index(cpu: Cpu | int | None) -> int:
    if isinstance(cpu, int):
        return cpu
    return 0 if cpu is None else cpu.cpu_index


def _text(value: bytes | None) -> Text:
    return Ffi.NULL if value is None else value


def _process(row: tuple[int, int, int, int, int, bytes | None, int]) -> OsiProc:
    *numbers, name, created = row
    taskd, pgd, asid, pid, ppid = numbers
    return OsiProc(taskd, pgd, asid, pid, ppid, _text(name), created)


def _module(row: tuple[int, int, int, bytes | None, bytes | None, int, int]) -> OsiModule:
    modd, base, size, name, file, offset, flags = row
    return OsiModule(modd, base, size, _text(name), _text(file), offset, flags)


class Osi:
    """The plugin osi: what panda.plugins["osi"] is."""

    def __init__(self, guest: Guest) -> None:
        """The plugin over this guest."""
        self._guest = guest

    def get_processes(self, cpu: Cpu | int | None) -> GArray[OsiProc] | Null:
        """Every process, in PANDA's order; NULL when there is none."""
        rows = panda_processes(self._guest)
        return GArray([_process(row) for row in rows]) if rows else Ffi.NULL

    def get_process_handles(self, cpu: Cpu | int | None) -> GArray[OsiProcHandle] | Null:
        """The handle of every process."""
        rows = panda_processes(self._guest)
        return GArray([OsiProcHandle(row[0], row[2]) for row in rows]) if rows else Ffi.NULL

    def get_current_process(self, cpu: Cpu | int | None) -> OsiProc | Null:
        """The process that the processor runs."""
        process, _ = panda_current(self._guest, _index(cpu))
        return Ffi.NULL if process is None else _process(process)

    def get_current_process_handle(self, cpu: Cpu | int | None) -> OsiProcHandle | Null:
        """The handle of the process that the processor runs."""
        process, _ = panda_current(self._guest, _index(cpu))
        return Ffi.NULL if process is None else OsiProcHandle(process[0], process[2])

    def get_current_thread(self, cpu: Cpu | int | None) -> OsiThread | Null:
        """The thread that the processor runs."""
        _, thread = panda_current(self._guest, _index(cpu))
        return Ffi.NULL if thread is None else OsiThread(*thread)

    def get_process(
        self, cpu: Cpu | int | None, handle: OsiProcHandle | OsiProc | Null
    ) -> OsiProc | Null:
        """The process that a handle names."""
        if not isinstance(handle, Null):
            for row in panda_processes(self._guest):
                if row[0] == handle.taskd:
                    return _process(row)
        return Ffi.NULL

    def get_process_pid(self, cpu: Cpu | int | None, handle: OsiProcHandle | OsiProc) -> int:
        """The pid of the process that a handle names; -1 when it names none."""
        process = self.get_process(cpu, handle)
        return -1 if isinstance(process, Null) else process.pid

    def get_process_ppid(self, cpu: Cpu | int | None, handle: OsiProcHandle | OsiProc) -> int:
        """The parent's pid of the process that a handle names; -1 when it names none."""
        process = self.get_process(cpu, handle)
        return -1 if isinstance(process, Null) else process.ppid

    def get_mappings(
        self, cpu: Cpu | int | None, process: OsiProc | OsiProcHandle | Null
    ) -> GArray[OsiModule] | Null:
        """The mappings of a process; NULL when it has none."""
        rows = [] if isinstance(process, Null) else panda_mappings(self._guest, process.taskd)
        return GArray([_module(row) for row in rows]) if rows else Ffi.NULL

    def get_modules(self, cpu: Cpu | int | None) -> GArray[OsiModule] | Null:
        """The kernel modules; NULL on Linux, of whose modules PANDA lists none."""
        rows = panda_modules(self._guest)
        return GArray([_module(row) for row in rows]) if rows else Ffi.NULL

    def get_mapping_base_address_by_name(
        self, cpu: Cpu | int | None, process: OsiProc | OsiProcHandle | Null, name: str | bytes
    ) -> int:
        """The base of the first mapping of this name; 0 when there is none."""
        wanted = name.encode() if isinstance(name, str) else name
        for module in _rows(self.get_mappings(cpu, process)):
            if module.name == wanted:
                return module.base
        return 0

    def has_mapping_prefix(
        self, cpu: Cpu | int | None, process: OsiProc | OsiProcHandle | Null, prefix: str | bytes
    ) -> bool:
        """Whether a mapping's name begins so."""
        wanted = prefix.encode() if isinstance(prefix, str) else prefix
        names = (module.name for module in _rows(self.get_mappings(cpu, process)))
        return any(isinstance(name, bytes) and name.startswith(wanted) for name in names)

    def get_proc_mem(
        self, cpu: Cpu | int | None, process: OsiProc | OsiProcHandle
    ) -> OsiProcMem | Null:
        """Where the heap of a process begins and ends."""
        bounds = panda_heap(self._guest, process.taskd)
        return Ffi.NULL if bounds is None else OsiProcMem(*bounds)

    def get_one_proc(self, rows: GArray[OsiProc], index: int) -> OsiProc:
        """An element of a list of processes."""
        return rows[index]

    def get_one_module(self, rows: GArray[OsiModule], index: int) -> OsiModule:
        """An element of a list of mappings."""
        return rows[index]

    def cleanup_garray(self, rows: GArray[Any] | Null) -> None:
        """Nothing: Python frees lists."""


class OsiLinux:
    """The plugin osi_linux: what panda.plugins["osi_linux"] is."""

    def __init__(self, guest: Guest) -> None:
        """The plugin over this guest."""
        self._guest = guest

    def _file(self, process: OsiProc | OsiProcHandle | Null, fd: int) -> File | None:
        if isinstance(process, Null) or self._guest.os != "linux":
            return None
        files = self._guest.files(process)
        return next((file for file in files if file.fd == fd), None)

    def osi_linux_fd_to_filename(
        self, cpu: Cpu | int | None, process: OsiProc | OsiProcHandle | Null, fd: int
    ) -> Text:
        """What a descriptor names, as /proc/PID/fd shows it; NULL when it is not open."""
        file = self._file(process, fd)
        return Ffi.NULL if file is None or file.path is None else bytes(file.raw("path"))

    def osi_linux_fd_to_pos(
        self, cpu: Cpu | int | None, process: OsiProc | OsiProcHandle | Null, fd: int
    ) -> int:
        """How far a descriptor has got, in bytes; all ones when it is not open."""
        file = self._file(process, fd)
        return (1 << 64) - 1 if file is None or file.pos is None else file.pos


def _rows(rows: GArray[T] | Null) -> Sequence[T]:
    return () if isinstance(rows, Null) else rows


class Panda:
    """A snapshot behind PyPANDA's names.

    snapshot is a path or a pyosier.Guest; without it, the environment's OSIER_SNAPSHOT names the file.
    What PyPANDA is told of its emulator (arch, generic, qcow, mem and so on) is not needed; what
    pyosier.open is told may be said in known.
    """

    def __init__(
        self,
        snapshot: str | os.PathLike[str] | Guest | None = None,
        *,
        known: dict[str, Any] | None = None,
        **emulator: Any,
    ) -> None:
        """Open the snapshot."""
        if isinstance(snapshot, Guest):
            self.guest = snapshot
        else:
            path = snapshot if snapshot is not None else os.environ.get("OSIER_SNAPSHOT")
            if path is None:
                raise Error("name a snapshot, or set OSIER_SNAPSHOT to one")
            self.guest = open(path, **(known or {}))
        self.ffi = ffi
        self.bits = self.guest.pointer_bytes * 8
        self.endianness = "little"
        self.arch_name = "x86_64" if self.bits == 64 else "i386"
        self._osi = Osi(self.guest)
        # As untyped as PyPANDA's, whose scripts look for NULL as they like.
        self._osi_linux = OsiLinux(self.guest)
        self.plugins: dict[str, Any] = {"osi": self._osi, "osi_linux": self._osi_linux}

    def __getattr__(self, name: str) -> Any:
        """What needs an emulator is told from what is misspelt."""
        if name.startswith(_EMULATED):
            raise NotImplementedError(f"panda.{name} needs an emulator, and a snapshot has none")
        raise AttributeError(f"pyosier.panda has no {name}")

    def get_cpu(self, index: int = 0) -> Cpu:
        """A processor of the snapshot, for the argument cpu of everything else."""
        return Cpu(index)

    def load_plugin(self, name: str, args: dict[str, Any] | None = None) -> None:
        """The plugins of OSI are there already; of others there is none."""
        if not name.startswith(("osi", "wintrospection")):
            raise NotImplementedError(f"the plugin {name} needs an emulator, and a snapshot has none")

    def garray_len(self, rows: GArray[Any] | Null) -> int:
        """The length of a list; 0 of NULL."""
        return len(_rows(rows))

    def get_current_process(self, cpu: Cpu | int | None) -> OsiProc | None:
        """The process that the processor runs; None when it is not known."""
        process = self._osi.get_current_process(cpu)
        return None if isinstance(process, Null) else process

    def get_process_name(self, cpu: Cpu | int | None) -> str | None:
        """The name of the process that the processor runs."""
        process = self.get_current_process(cpu)
        if process is None or isinstance(process.name, Null):
            return None
        return process.name.decode("utf8", "ignore")

    def get_processes(self, cpu: Cpu | int | None) -> GArrayIterator[OsiProc]:
        """Every process, in PANDA's order."""
        return GArrayIterator(_rows(self._osi.get_processes(cpu)))

    def get_processes_dict(self, cpu: Cpu | int | None) -> dict[int, dict[str, Any]]:
        """Every process by its pid: name, pid, parent_pid, create_time."""
        return {
            process.pid: {
                "name": _string(process.name),
                "pid": process.pid,
                "parent_pid": process.ppid,
                "create_time": process.create_time,
            }
            for process in self.get_processes(cpu)
        }

    def get_mappings(self, cpu: Cpu | int | None) -> GArrayIterator[OsiModule]:
        """The mappings of the process that the processor runs."""
        osi = self._osi
        return GArrayIterator(_rows(osi.get_mappings(cpu, osi.get_current_process(cpu))))

    def get_mapping_by_addr(self, cpu: Cpu | int | None, addr: int) -> _Mapping | None:
        """The current process's mapping that holds an address, with Python's texts in it."""
        for m in self.get_mappings(cpu):
            if m.base <= addr < m.base + m.size:
                return _Mapping(m.base, _string(m.file), m.modd, _string(m.name), m.size)
        return None

    def get_file_name(self, cpu: Cpu | int | None, fd: int) -> bytes | None:
        """What a descriptor of the current process names; None when it names nothing."""
        process = self._osi.get_current_process(cpu)
        name = self._osi_linux.osi_linux_fd_to_filename(cpu, process, fd)
        return None if isinstance(name, Null) else name

    def current_asid(self, cpu: Cpu | int | None) -> int:
        """The root of the page table that the processor translates by."""
        return panda_cpu(self.guest, _index(cpu))[0]

    def current_pc(self, cpu: Cpu | int | None) -> int:
        """The processor's instruction pointer."""
        return panda_cpu(self.guest, _index(cpu))[1]

    def in_kernel(self, cpu: Cpu | int | None) -> bool:
        """Whether the processor runs in the kernel's mode."""
        return panda_cpu(self.guest, _index(cpu))[2] == 0

    in_kernel_mode = in_kernel

    def in_kernel_code_linux(self, cpu: Cpu | int | None) -> bool:
        """Whether the instruction pointer is one of the kernel's."""
        return self.address_in_kernel_code_linux(self.current_pc(cpu))

    def address_in_kernel_code_linux(self, addr: int) -> bool:
        """Whether an address is one of the kernel's half."""
        return addr >= (0xFFFF_8000_0000_0000 if self.bits == 64 else 0xC000_0000)

    def virt_to_phys(self, cpu: Cpu | int | None, addr: int) -> int:
        """The physical address of a virtual one, as the processor sees it; -1 when there is none."""
        try:
            return panda_translate(self.guest, _index(cpu), addr)
        except FaultError:
            return -1

    def virtual_memory_read(
        self, cpu: Cpu | int | None, addr: int, length: int, fmt: str = "bytearray"
    ) -> Any:
        """Memory as the processor sees it: bytes, or as fmt says an int, a str or a ptrlist."""
        try:
            return self._as(panda_read(self.guest, _index(cpu), addr, length), fmt)
        except FaultError as fault:
            raise ValueError(f"Failed to read guest memory at address {addr:x}: {fault}") from fault

    def physical_memory_read(self, addr: int, length: int, fmt: str = "bytearray") -> Any:
        """The machine's memory: bytes, or as fmt says an int, a str or a ptrlist."""
        try:
            return self._as(self.guest.read(addr, length, physical=True), fmt)
        except FaultError as fault:
            raise ValueError(f"Failed to read guest memory at address {addr:x}: {fault}") from fault

    def _as(self, read: bytes, fmt: str) -> Any:
        if fmt == "bytearray":
            return read
        if fmt == "int":
            return int.from_bytes(read, "little")
        if fmt == "str":
            return read.split(b"\0")[0]
        if fmt == "ptrlist":
            width = self.bits // 8
            if len(read) % width:
                raise ValueError(f"Memory of size {len(read)} does not evenly divide into {width} bytes")
            pieces = range(0, len(read), width)
            return [int.from_bytes(read[at : at + width], "little") for at in pieces]
        raise ValueError(f"fmt={fmt} unsupported")

    def read_str(self, cpu: Cpu | int | None, ptr: int, max_length: int | None = None) -> str:
        """The text at an address, up to its NUL."""
        read = b""
        while b"\0" not in read and (max_length is None or len(read) < max_length):
            # To the end of the page: the next one is asked for when the text goes on there.
            at = ptr + len(read)
            read += self.virtual_memory_read(cpu, at, 4096 - at % 4096)
        return read.split(b"\0")[0][:max_length].decode("utf8", "ignore")


def _string(text: Text) -> str | None:
    return None if isinstance(text, Null) else text.decode("utf8", "ignore")
