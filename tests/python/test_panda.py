"""PyPANDA's names over a snapshot: a script in the manner of the public ones, and PANDA's own answers."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import pyosier
from conftest import SNAPSHOTS, unpacked
from pyosier.panda import Null, OsiProcHandle, Panda

RECORDINGS = ["amd64-5.10", "i386-5.10-nonpae", "amd64-5.10-kaslr-pti-running"]


def osi_test(panda: Panda) -> str:
    """What PANDA's osi_test prints, as a PyPANDA script would make it."""
    ffi, cpu = panda.ffi, panda.get_cpu()
    width = panda.bits // 4
    line = "-" * 49

    def text(value: bytes | Null) -> str:
        return "(null)" if value == ffi.NULL else ffi.string(value).decode("utf-8", "surrogateescape")

    current = panda.get_current_process(cpu)
    assert current is not None
    name = text(current.name) if current.pid else "N/A"
    printed = f"Current process: {name} PID:{current.pid} PPID:{current.ppid}\n\n"
    processes = panda.get_processes(cpu)
    printed += f"Process list ({len(processes)} procs):\n"
    for process in processes:
        printed += f"  {text(process.name):<16}\t{process.pid}\t{process.ppid}\n"
    printed += f"\n{line}\n\n"
    mappings = panda.plugins["osi"].get_mappings(cpu, current)
    if mappings == ffi.NULL:
        printed += "No mapped dynamic libraries.\n"
    else:
        printed += f"Dynamic libraries list ({panda.garray_len(mappings)} libs):\n"
        for index in range(panda.garray_len(mappings)):
            m = panda.plugins["osi"].get_one_module(mappings, index)
            printed += f"\t0x{m.base:0{width}x}\t{m.size}\t{text(m.name):<24} {text(m.file)}\n"
    return printed + f"\nNo mapped kernel modules.\n\n{line}\n\n"


def printed(path: Path) -> str:
    """What the command prints."""
    command = [sys.executable, "-m", "pyosier", "osi-test", str(path)]
    done = subprocess.run(command, capture_output=True, check=False)
    return done.stdout.decode("utf-8", "surrogateescape")


def test_a_script_prints_what_osi_test_does(golden: str) -> None:
    path = SNAPSHOTS / f"{golden}.elf"
    assert osi_test(Panda(path)) == printed(path)


def test_names_and_shapes(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OSIER_SNAPSHOT", str(path))
    panda = Panda(generic="x86_64", mem="1G")
    panda.load_plugin("osi_linux", args={"kconf_group": "debian"})
    cpu = panda.get_cpu()
    processes = panda.get_processes_dict(cpu)
    assert processes[1]["name"] == "sleep" and processes[1]["parent_pid"] == 0
    assert set(processes[1]) == {"name", "pid", "parent_pid", "create_time"}
    osi = panda.plugins["osi"]
    first = next(process for process in panda.get_processes(cpu) if process.pid == 1)
    handle = OsiProcHandle(first.taskd, first.asid)
    assert osi.get_process(cpu, handle) == first and osi.get_process_pid(cpu, handle) == 1
    assert osi.get_process_ppid(cpu, handle) == 0 and first.pages == panda.ffi.NULL
    assert osi.get_process_pid(cpu, OsiProcHandle(0, 0)) == -1
    thread = osi.get_current_thread(cpu)
    running = panda.get_current_process(cpu)
    assert running is not None and thread.pid == running.pid
    assert panda.get_process_name(cpu) == panda.ffi.string(running.name).decode()
    mappings = osi.get_mappings(cpu, first)
    assert mappings.len == len(list(mappings)) == len(list(panda.guest.maps(1)))
    [stack] = [m for m in mappings if panda.ffi.string(m.name) == b"[stack]"]
    assert osi.get_mapping_base_address_by_name(cpu, first, "[stack]") == stack.base
    assert osi.has_mapping_prefix(cpu, first, "[st") and not osi.has_mapping_prefix(cpu, first, "x")
    memory = osi.get_proc_mem(cpu, first)
    assert memory.start_brk <= memory.brk
    assert osi.get_modules(cpu) == panda.ffi.NULL
    linux = panda.plugins["osi_linux"]
    for file in panda.guest.files(1):
        assert linux.osi_linux_fd_to_filename(cpu, first, file.fd) == file.raw("path")
        assert linux.osi_linux_fd_to_pos(cpu, first, file.fd) == file.pos
    assert linux.osi_linux_fd_to_filename(cpu, first, 4096) == panda.ffi.NULL
    assert linux.osi_linux_fd_to_pos(cpu, first, 4096) == (1 << 64) - 1
    other = panda.get_cpu(1)
    opened = {file.fd: file.raw("path") for file in panda.guest.files(185)}
    assert panda.get_process_name(other) == "spinner-0" and len(opened) > 5
    for fd, path_of in opened.items():
        assert fd is not None and panda.get_file_name(other, fd) == path_of
    assert panda.get_file_name(cpu, 0) is None and panda.get_file_name(other, 4096) is None
    [kernel] = [p for p in panda.get_processes(cpu) if p.pid == 2]
    assert osi.get_mappings(cpu, kernel) == panda.ffi.NULL and kernel.asid == (1 << 64) - 1
    banner = panda.guest.symbol("linux_banner")
    assert panda.read_str(cpu, banner).startswith("Linux version 6.1.0")
    assert panda.read_str(cpu, banner, 5) == "Linux"
    assert panda.virtual_memory_read(cpu, banner, 5) == b"Linux"
    assert panda.virtual_memory_read(cpu, banner, 2, fmt="int") == 0x694C
    assert len(panda.virtual_memory_read(cpu, banner, 16, fmt="ptrlist")) == 2
    physical = panda.virt_to_phys(cpu, banner)
    assert panda.physical_memory_read(physical, 5, fmt="str") == b"Linux"
    assert panda.virt_to_phys(cpu, 0x10) == -1
    with pytest.raises(ValueError, match="Failed to read guest memory"):
        panda.virtual_memory_read(cpu, 0x10, 1)
    assert panda.in_kernel(cpu) in (True, False) and panda.current_asid(cpu) % 4096 == 0
    for name in ("run_replay", "cb_before_block_exec", "queue_blocking"):
        with pytest.raises(NotImplementedError):
            getattr(panda, name)
    with pytest.raises(AttributeError):
        panda.nothing
    with pytest.raises(NotImplementedError):
        panda.load_plugin("taint2")
    with pytest.raises(RuntimeError):
        panda.ffi.string(panda.ffi.NULL)


def fields(line: str) -> dict[str, str]:
    """The fields NAME=VALUE of a line of PANDA's answers."""
    return dict(part.split("=", 1) for part in line.split("\t") if "=" in part)


@pytest.mark.parametrize("name", RECORDINGS)
def test_answers_are_pandas(name: str, data: Path) -> None:
    folder = unpacked(data, name)
    panda = Panda(folder / f"{name}-rr-snp", known={"cache": False})
    cpu, osi, ffi = panda.get_cpu(), panda.plugins["osi"], panda.ffi
    lines = (folder / "osi/at.0.osi.txt").read_text(errors="surrogateescape").splitlines()

    def of(kind: str) -> list[str]:
        return [line for line in lines if line.startswith(f"{kind}\t")]

    def text(value: bytes | Null) -> str:
        return "(null)" if value == ffi.NULL else ffi.string(value).decode("utf-8", "surrogateescape")

    def process(row: Any) -> dict[str, object]:
        parts = ("pid", "ppid", "taskd", "pgd", "asid", "create_time")
        return {part: getattr(row, part) for part in parts} | {"name": text(row.name)}

    def theirs(line: str) -> dict[str, object]:
        known = fields(line)
        called = known.pop("name")
        return {part: int(value, 0) for part, value in known.items()} | {"name": called}

    processes = list(panda.get_processes(cpu))
    assert [process(row) for row in processes] == [theirs(line) for line in of("PROC")]
    assert process(panda.get_current_process(cpu)) == theirs(of("CURRENT")[0])
    thread = fields(of("CURTHREAD")[0])
    assert osi.get_current_thread(cpu).tid == int(thread["tid"])
    handles = [(int(f["taskd"], 0), int(f["asid"], 0)) for f in map(fields, of("HANDLE"))]
    assert [(h.taskd, h.asid) for h in osi.get_process_handles(cpu)] == handles
    for row in processes:
        wanted = [line for line in of("MAP") if line.split("\t")[1] == str(row.pid)]
        mappings = osi.get_mappings(cpu, row)
        assert (mappings == ffi.NULL) == (not wanted)
        for ours, line in zip(() if mappings == ffi.NULL else mappings, wanted, strict=True):
            known = fields(line)
            assert ours.modd == int(known["vma"], 0) and ours.size == int(known["size"])
            assert ours.offset == int(known["off"], 0) and ours.flags == int(known["flags"], 0)
            assert (text(ours.name), text(ours.file)) == (known["name"], known["file"])
            assert ours.base == int(line.split("\t")[3].split("-")[0], 16)
        memory = [fields(line) for line in of("MEM") if line.split("\t")[1] == str(row.pid)]
        for known in memory:
            heap = osi.get_proc_mem(cpu, row)
            assert (heap.start_brk, heap.brk) == (int(known["start_brk"], 0), int(known["brk"], 0))
    # Registers of the first block; that of the third recording is the first in the kernel's mode.
    if name != "amd64-5.10-kaslr-pti-running":
        head = lines[0]
        [asid] = re.findall(r"asid=(0x[0-9a-f]+)", head)
        assert panda.current_asid(cpu) == int(asid, 0)
        assert panda.in_kernel(cpu) == ("in_kernel=1" in head)
    assert osi_test(panda) == printed(folder / f"{name}-rr-snp")
