"""Makes a snapshot of very many mappings out of a golden one.

python tests/python/crowd.py OUT PROCESSES MAPPINGS

A task_struct and a vm_area_struct of the golden snapshot are copied, and the copies linked into the
kernel's lists, in physical memory that the kernel maps and the file does not hold. The kernel's other
lists (the pid table, the tree of areas) know nothing of them, and the endings say so.
"""

from __future__ import annotations

import struct
import sys
from pathlib import Path

import pyosier

GOLDEN = Path(__file__).parents[2] / "snapshots/deb11-5.10-amd64.elf"
PAGE = 4096


class Memory:
    """Physical memory that is added to a snapshot, and where the kernel sees it."""

    def __init__(self, guest: pyosier.Guest, length: int) -> None:
        """Room for this many bytes, in one piece."""
        task = guest.symbol("init_task")
        leader = next(row.taskd for row in guest.processes() if row.taskd not in (None, task))
        assert leader is not None
        self.bias = leader - guest.translate(leader).pa
        self.length = -(-length // PAGE) * PAGE
        self.at = self._free(guest)
        self.bytes = bytearray(self.length)

    def _free(self, guest: pyosier.Guest) -> int:
        for start, length, kept in (header[2:] for header in segments(GOLDEN.read_bytes())):
            at = start + -(-kept // PAGE) * PAGE
            if start + length - at >= self.length and self._mapped(guest, at):
                return at
        raise SystemExit("no stretch of memory that is not in the file is long enough")

    def _mapped(self, guest: pyosier.Guest, at: int) -> bool:
        try:
            pages = range(at, at + self.length, PAGE)
            return all(guest.translate(self.bias + page).pa == page for page in pages)
        except pyosier.FaultError:
            return False


def offset(guest: pyosier.Guest, kind: str, member: str) -> int:
    """Where a member lies in its structure."""
    return guest.type(kind).members[member].offset


def make(out: Path, processes: int, mappings: int) -> None:
    """Writes the snapshot."""
    guest = pyosier.open(GOLDEN, cache=False)
    task_size, area_size = 9728, 256
    memory = Memory(guest, processes * task_size + mappings * area_size)
    areas = memory.at
    tasks = memory.at + mappings * area_size
    changed: dict[int, bytes] = {}

    def poke(va: int, value: int, width: int = 8) -> None:
        pa = guest.translate(va).pa
        changed[pa] = value.to_bytes(width, "little")

    row = max(guest.processes(), key=lambda row: guest.maps(row).count())
    assert row.taskd is not None
    task = guest.object("task_struct", row.taskd)
    mm = task.mm
    first = next(iter(guest.maps(row)))
    assert first.modd is not None
    members = guest.type("vm_area_struct")
    area = guest.read(first.modd, members.size)
    start, end, after, prior = (
        offset(guest, "vm_area_struct", name) for name in ("vm_start", "vm_end", "vm_next", "vm_prev")
    )
    for nth in range(mappings):
        copy = bytearray(area.ljust(area_size, b"\0"))
        struct.pack_into("<Q", copy, start, 0x10_0000 + nth * 0x2000)
        struct.pack_into("<Q", copy, end, 0x10_0000 + nth * 0x2000 + 0x1000)
        behind = memory.bias + areas + (nth + 1) * area_size if nth + 1 < mappings else 0
        struct.pack_into("<Q", copy, after, behind)
        front = memory.bias + areas + (nth - 1) * area_size if nth else 0
        struct.pack_into("<Q", copy, prior, front)
        place = nth * area_size
        memory.bytes[place : place + area_size] = copy
    poke(mm.address_ + offset(guest, "mm_struct", "mmap"), memory.bias + areas)
    for name, value in (("map_count", mappings), ("mm_users", processes + 1)):
        poke(mm.address_ + offset(guest, "mm_struct", name), value, 4)

    known = guest.type("task_struct")
    wanted = {name: member.offset for name, member in known.members.items()}
    size = min(known.size, task_size)
    copied = bytearray(task_size)
    for piece in range(0, size, 8):
        # Not all of the structure is in the golden snapshot.
        try:
            copied[piece : piece + 8] = guest.read(row.taskd + piece, 8)
        except pyosier.FaultError:
            continue
    link = wanted["tasks"]
    before = row.taskd
    last = struct.unpack_from("<Q", copied, link)[0]
    for nth in range(processes):
        copy = bytearray(copied)
        va = memory.bias + tasks + nth * task_size
        struct.pack_into("<Q", copy, wanted["group_leader"], va)
        following = va + task_size + link if nth + 1 < processes else last
        struct.pack_into("<QQ", copy, link, following, before + link)
        place = tasks - memory.at + nth * task_size
        memory.bytes[place : place + task_size] = copy
        before = va
    poke(row.taskd + link, memory.bias + tasks + link)
    poke(last + 8, before + link)
    write(out, memory, changed)


def segments(whole: bytes | bytearray) -> list[tuple[bytes, int, int, int, int]]:
    """The program headers of an ELF core: the bytes, offset, address, length, and how much of it is kept."""
    (table,) = struct.unpack_from("<Q", whole, 32)
    size, count = struct.unpack_from("<HH", whole, 54)
    found = []
    for nth in range(count):
        header = bytes(whole[table + nth * size : table + (nth + 1) * size])
        kind, _, at, _, start, kept, length = struct.unpack_from("<IIQQQQQ", header)
        found.append((header, at, start, length if kind == 1 else 0, kept))
    return found


def write(out: Path, memory: Memory, changed: dict[int, bytes]) -> None:
    """The golden file with these changes, and one more segment."""
    whole = bytearray(GOLDEN.read_bytes())
    headers = []

    def load(at: int, start: int, kept: int, length: int) -> None:
        headers.append(struct.pack("<IIQQQQQQ", 1, 6, at, 0, start, kept, length, 0))

    for header, at, start, length, kept in segments(whole):
        for pa, value in changed.items():
            if length and start <= pa < start + kept:
                place = at + pa - start
                whole[place : place + len(value)] = value
        if length and start <= memory.at < start + length:
            rest = memory.at + memory.length
            load(at, start, kept, memory.at - start)
            load(-1 % (1 << 64), memory.at, memory.length, memory.length)
            load(0, rest, 0, start + length - rest)
        else:
            headers.append(header)
    whole += bytes(-len(whole) % PAGE)
    added = struct.pack("<Q", len(whole))
    whole += memory.bytes
    struct.pack_into("<Q", whole, 32, len(whole))
    struct.pack_into("<H", whole, 56, len(headers))
    whole += b"".join(headers).replace(b"\xff" * 8, added)
    out.write_bytes(whole)


if __name__ == "__main__":
    make(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
