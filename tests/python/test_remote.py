"""A snapshot behind an address is the one in the file, and what cannot be read of it is an error."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import crowd
import pyosier
from pyosier.panda import Panda
from server import Server, serving


@pytest.fixture
def server(path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server of one golden snapshot."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serving(path.read_bytes()) as begun:
        yield begun


def test_rows_are_those_of_the_file(server: Server, guest: pyosier.Guest, tmp_path: Path) -> None:
    address = server.address("dumps/memory.elf?signature=secret")
    distant = pyosier.open(address, cache=tmp_path)
    assert distant.path == Path(address) or str(distant.path) == address
    for word in ("ps", "maps", "files", "net"):
        assert list(distant.ask(word)) == list(guest.ask(word))
    banner = guest.symbol("linux_banner")
    assert distant.read(banner, 32) == guest.read(banner, 32)
    processes = Panda(distant).get_processes_dict(0)
    assert processes == Panda(guest).get_processes_dict(0)
    asked = server.requests
    assert list(pyosier.open(address, cache=tmp_path).processes()) == list(guest.processes())
    # Its blocks were kept.
    assert server.requests - asked < 5
    snapshot = pyosier.snapshot(address, cache=False)
    assert snapshot.format == "elf-core"
    assert list(snapshot.attach().processes()) == list(guest.processes())


def test_tables_have_the_last_part_of_the_address(server: Server) -> None:
    pa = pytest.importorskip("pyarrow")
    address = server.address("dumps/memory.elf?signature=secret")
    table = pa.table(pyosier.open(address, cache=False).processes())
    assert set(table["snapshot"].to_pylist()) == {"memory.elf"}
    run = pyosier.run([address], tables="ps", cache=False).collect()
    assert pa.table(run["ps"]) == table


def test_what_cannot_be_had_is_an_error(
    server: Server, guest: pyosier.Guest, tmp_path: Path
) -> None:
    # What is asked for lies behind what opening reads.
    large = tmp_path / "large.elf"
    crowd.make(large, 1000, 290)
    server.served = large.read_bytes()
    address = server.address("memory.elf")
    distant = pyosier.open(address, cache=False)
    snapshot = pyosier.snapshot(address, cache=False)
    before = distant.modules()
    assert before.complete
    server.broken = True
    with pytest.raises(pyosier.ReadError, match="403"):
        list(distant.maps())
    # Whatever is asked from now on may be short of it, and so it is an error, too.
    with pytest.raises(pyosier.ReadError, match="403"):
        distant.read(distant.symbol("linux_banner"), 8)
    with pytest.raises(pyosier.ReadError, match="403"):
        before.count()
    with pytest.raises(pyosier.ReadError, match="403"):
        snapshot.attach()
    with pytest.raises(pyosier.ReadError, match="403"):
        pyosier.open(address, cache=False)
    with pytest.raises(pyosier.Error, match="from the environment") as raised:
        pyosier.open("s3://identity:secret@bucket/memory.elf", cache=False)
    assert "secret" not in str(raised.value)
    with pytest.raises(pyosier.ReadError):
        pyosier.diff(address, guest, cache=False)
