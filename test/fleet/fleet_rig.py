"""Stores of every kind for tests, robots beside them, and lines that break."""

import asyncio
import subprocess
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

import pytest
from episode_rig import write_some

from arfm_ros.episodes.write.content import Making
from arfm_ros.fleet.place import Place, open_place
from arfm_ros.fleet.robot import Robot

KINDS = ("folder", "memory", "s3", "ssh")


def make_key(folder: Path, name: str = "eve") -> Path:
    """Make an ssh key without a passphrase."""
    folder.mkdir(parents=True, exist_ok=True)
    words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", folder / name]
    subprocess.run(words, check=True, timeout=60)
    return folder / name


def allow(key: Path, file: Path, name: str = "eve") -> Path:
    """Write the line that lets a key's owner say what drives."""
    file.parent.mkdir(parents=True, exist_ok=True)
    public = " ".join(key.with_suffix(".pub").read_text().split()[:2])
    file.write_text(f'{name} namespaces="arfm-release" {public}\n')
    return file


def make_robot(root: Path, name: str = "r1", episodes: int = 3, **options) -> Robot:
    """Make a robot with some episodes, no two of them alike."""
    for n in range(episodes):
        making = Making(info={"robot": name})
        write_some(root / "episodes" / f"{name}_{n:04d}", 20 + n, making=making)
    home = root / "bundles"
    return Robot(name, home, root / "episodes", home / "allowed_signers", **options)


@contextmanager
def store(kind: str, root: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[str, None, None]:
    """Give the address of an empty store."""
    known = {"folder": _folder, "memory": _memory, "s3": _s3, "ssh": _ssh}
    with known[kind](root, monkeypatch) as address:
        yield address


@contextmanager
def _folder(root: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[str, None, None]:
    (root / "store").mkdir()
    yield str(root / "store")


@contextmanager
def _memory(root: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[str, None, None]:
    memory = pytest.importorskip("fsspec").filesystem("memory")
    memory.store.clear()
    yield "memory://fleet"
    memory.store.clear()


@lru_cache
def s3_server() -> str:
    """Serve S3 from this process, as moto does it, until it ends."""
    server = pytest.importorskip("moto.server").ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    return "http://{}:{}".format(*server.get_host_and_port())


@contextmanager
def _s3(root: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[str, None, None]:
    s3fs = pytest.importorskip("s3fs")
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_server())
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    bucket = f"fleet-{uuid4().hex}"
    s3fs.S3FileSystem().mkdir(bucket)
    yield f"s3://{bucket}/one"


@contextmanager
def _ssh(root: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[str, None, None]:
    """Serve SFTP from this process to the key of a user who knows this host."""
    asyncssh = pytest.importorskip("asyncssh")
    pytest.importorskip("sshfs")
    home, target = root / "home" / ".ssh", root / "far"
    target.mkdir()
    user, host = make_key(home, "id_ed25519"), make_key(root, "host")
    monkeypatch.setenv("HOME", str(root / "home"))
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, daemon=True).start()

    async def listen():
        options = {"authorized_client_keys": str(user.with_suffix(".pub")), "sftp_factory": True}
        return await asyncssh.listen("127.0.0.1", 0, server_host_keys=[str(host)], **options)

    server = asyncio.run_coroutine_threadsafe(listen(), loop).result(20)
    port = server.sockets[0].getsockname()[1]
    public = " ".join(host.with_suffix(".pub").read_text().split()[:2])
    (home / "known_hosts").write_text(f"[127.0.0.1]:{port} {public}\n")
    yield f"ssh://robot@127.0.0.1:{port}{target}"
    loop.call_soon_threadsafe(server.close)


class Torn:
    """A file of which half arrives."""

    def __init__(self, file: BinaryIO) -> None:
        self.flush, self.fileno, self._file = file.flush, file.fileno, file

    def write(self, data: bytes) -> None:
        self._file.write(data[: len(data) // 2])


class Breaking:
    """A file system whose line breaks at call number `left`: before it, or in its middle."""

    def __init__(self, fs, left: int) -> None:
        self._fs, self._left = fs, left
        self.protocol = fs.protocol

    def __getattr__(self, name: str):
        there = getattr(self._fs, name)
        if not callable(there) or name.startswith("_"):
            return there
        if name == "open":
            return self._open
        return lambda *args, **kwargs: self._call(there, name, args, kwargs)

    def _call(self, there: Callable, name: str, args: tuple, kwargs: dict):
        self._left -= 1
        if self._left == 0 and name != "rm":
            there(*args, **kwargs)  # it is done, but nobody hears of it
        if self._left <= 0:
            raise ConnectionResetError("the line broke")
        return there(*args, **kwargs)

    @contextmanager
    def _open(self, path: str, mode: str):
        self._left -= 1
        with self._fs.open(path, mode) as file:
            yield Torn(file) if self._left <= 0 and mode == "ab" else file
        if self._left <= 0:
            raise ConnectionResetError("the line broke")


def breaking(address: str, after: int) -> Place:
    """Open a place whose line breaks after so many calls."""
    place = open_place(address)
    place._fs = Breaking(place._fs, after)
    return place
