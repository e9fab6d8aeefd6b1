"""What the tests are made of: the golden snapshots of the repository, and the real data beside it."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

import pyosier

ROOT = Path(__file__).parents[2]
SNAPSHOTS = ROOT / "snapshots"
GOLDEN = sorted(path.stem for path in SNAPSHOTS.glob("*.elf"))


@pytest.fixture(params=GOLDEN)
def golden(request: pytest.FixtureRequest) -> str:
    """The name of each golden snapshot."""
    return str(request.param)


@pytest.fixture
def path() -> Path:
    """One golden snapshot: a 64-bit guest with two processors."""
    return SNAPSHOTS / "deb12-6.1-amd64.elf"


@pytest.fixture
def guest(path: Path) -> pyosier.Guest:
    """The guest in it."""
    return pyosier.open(path, cache=False)


@pytest.fixture
def data() -> Path:
    """The folder of real data that OSIER_DATA names."""
    folder = os.environ.get("OSIER_DATA")
    if not folder:
        pytest.skip("set OSIER_DATA to the folder with the data")
    return Path(folder)


def unpacked(data: Path, name: str) -> Path:
    """The folder of a recording of the data, unpacked once; where the Rust tests unpack it, too."""
    kept = ROOT / "target/osier-data"
    told = os.environ.get("OSIER_UNPACKED")
    for done in ([Path(told) / name] if told else []) + [kept / name]:
        if done.is_dir():
            return done
    archive = data / "panda" / f"{name}.tar.zst"
    if not archive.exists():
        pytest.skip(f"{archive} is not there")
    if shutil.which("zstd") is None:
        pytest.skip("zstd is not installed")
    part = kept / f"{name}.{os.getpid()}"
    part.mkdir(parents=True)
    unpack = f"zstd -dc --long=31 '{archive}' | tar x -C '{part}'"
    subprocess.run(["bash", "-o", "pipefail", "-c", unpack], check=True)
    # The archive has one folder, of its own name.
    (part / name).rename(kept / name)
    part.rmdir()
    return kept / name
