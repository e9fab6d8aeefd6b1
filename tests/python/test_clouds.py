"""Snapshots in the stores of Google and Azure: the rows of the file, lists, changes, and nobody's secrets.

Google's requests are those of its XML interface, which moto answers as S3's. Azure's are answered by Azurite, Microsoft's own
emulator.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import pyosier
from bucket import ACCOUNT_KEY, BUCKET, KEY, NAMES, Store, osier, rows, storing
from conftest import SNAPSHOTS

ACCOUNT = "devstoreaccount1"

Put = Callable[[str, bytes], None]


class Cloud:
    """A store: how its addresses begin, how an object is put there, and what the environment says of it."""

    def __init__(self, scheme: str, put: Put, environment: dict[str, str]) -> None:
        """A store."""
        self.base = f"{scheme}://{BUCKET}/"
        self.put = put
        self.environment = environment


@contextmanager
def google(folder: Path) -> Iterator[Cloud]:
    """moto as Google's store, without its tokens."""
    pytest.importorskip("moto", reason="moto, a server of S3, is not installed")
    signed = {"Authorization": f"AWS4-HMAC-SHA256 Credential={KEY}/20260101/us-east-1/s3/aws4_request"}

    class Unsigned(Store):
        def ask(self, method: str, path: str, body: bytes = b"", headers: Any = {}) -> Any:
            return super().ask(method, path, body, {**headers, **signed})

    with storing({}, Unsigned) as store:
        account = folder / "account.json"
        said = {
            "gcs_base_url": f"http://127.0.0.1:{store.server_port}",
            "disable_oauth": True,
            "client_email": "",
            "private_key": "",
            "private_key_id": "",
        }
        account.write_text(json.dumps(said))
        yield Cloud("gs", store.put, {"GOOGLE_SERVICE_ACCOUNT": str(account), "GOOGLE_ALLOW_HTTP": "true"})


@contextmanager
def azure(folder: Path) -> Iterator[Cloud]:
    """Azurite, with a container."""
    azurite = shutil.which("azurite-blob")
    if azurite is None:
        pytest.skip("azurite-blob is not on the path: npm install --global azurite")
    blobs = pytest.importorskip("azure.storage.blob", reason="azure-storage-blob is not installed")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ["--blobPort", str(port), "--inMemoryPersistence", "--loose", "--skipApiVersionCheck", "--silent"]
    server = subprocess.Popen([azurite, *options], cwd=folder)
    try:
        endpoint = f"http://127.0.0.1:{port}/{ACCOUNT}"
        for _ in range(300):
            with socket.socket() as asked:
                if asked.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        service = blobs.BlobServiceClient(endpoint, credential=ACCOUNT_KEY)
        container = service.create_container(BUCKET)

        def put(key: str, content: bytes) -> None:
            container.upload_blob(key, content, overwrite=True)

        said = {
            "AZURE_STORAGE_ACCOUNT_NAME": ACCOUNT,
            "AZURE_STORAGE_ACCOUNT_KEY": ACCOUNT_KEY,
            "AZURE_STORAGE_ENDPOINT": endpoint,
            "AZURE_ALLOW_HTTP": "true",
        }
        yield Cloud("az", put, said)
    finally:
        server.terminate()
        server.wait()


@pytest.fixture(scope="module", params=[google, azure], ids=["gs", "az"])
def begun(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """A store: two snapshots, and a broken one."""
    with request.param(tmp_path_factory.mktemp("cloud")) as cloud:
        [one, two] = [(SNAPSHOTS / f"{name}.elf").read_bytes() for name in NAMES]
        cloud.put(f"in/{NAMES[0]}.elf", one)
        cloud.put(f"in/deep er/{NAMES[1]}.elf", two)
        cloud.put("in/broken.elf", two[:3000])
        yield cloud


@pytest.fixture
def cloud(begun: Cloud, monkeypatch: pytest.MonkeyPatch) -> Cloud:
    """The store, and an environment that says where it is."""
    for name in [name for name in os.environ if name.startswith(("AWS_", "AZURE_", "GOOGLE_"))]:
        monkeypatch.delenv(name)
    for name, value in begun.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return begun


def test_rows_are_those_of_the_file(cloud: Cloud, tmp_path: Path) -> None:
    address = f"{cloud.base}in/deep er/{NAMES[1]}.elf"
    for _ in range(2):
        done = osier("ps", address, cache=tmp_path)
        assert done.returncode == 0, done.stderr
        assert done.stdout == rows(NAMES[1])
    guest = pyosier.open(address, cache=False)
    assert list(guest.maps()) == list(pyosier.open(SNAPSHOTS / f"{NAMES[1]}.elf", cache=False).maps())
    for kept in tmp_path.rglob("*"):
        assert not kept.is_file() or ACCOUNT_KEY.encode() not in kept.read_bytes()


def test_a_run_takes_a_prefix_and_says_what_failed(cloud: Cloud, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = osier("run", f"{cloud.base}in/", "--tables", "ps", "--to", "jsonl", "-o", out, cache=tmp_path)
    assert done.returncode == 3, done.stderr
    lines = [json.loads(line) for line in (out / "manifest.jsonl").read_text().splitlines()]
    told = [(line["snapshot"], line["status"]) for line in lines]
    assert told == [
        ("broken.elf", "failed"),
        (f"{NAMES[0]}.elf", "complete"),
        (f"deep er/{NAMES[1]}.elf", "complete"),
    ]


def test_an_object_that_is_replaced_is_read_again(cloud: Cloud, tmp_path: Path) -> None:
    [one, two] = [(SNAPSHOTS / f"{name}.elf").read_bytes() for name in NAMES]
    address = f"{cloud.base}moving.elf"
    cloud.put("moving.elf", one)
    assert osier("ps", address, cache=tmp_path).stdout == rows(NAMES[0])
    cloud.put("moving.elf", two)
    assert osier("ps", address, cache=tmp_path).stdout == rows(NAMES[1])


def test_what_is_not_there_is_an_error_that_names_it(cloud: Cloud, tmp_path: Path) -> None:
    address = f"{cloud.base}none.elf"
    done = osier("ps", address, cache=tmp_path)
    assert done.returncode == 1
    assert address in done.stderr
    assert "404" in done.stderr, done.stderr


def test_many_objects_are_listed(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    if cloud.base.startswith("az"):
        pytest.skip("a page of Azurite's lists has five thousand names")
    monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "50")
    for number in range(60):
        cloud.put(f"many/{number:04}", b"no snapshot")
    cloud.put("many/z.elf", (SNAPSHOTS / f"{NAMES[0]}.elf").read_bytes())
    parts = list(pyosier.run(f"{cloud.base}many/", tables="ps", cache=False))
    assert [part.manifest["snapshot"] for part in parts] == ["z.elf"]
