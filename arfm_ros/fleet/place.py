"""A place that holds files by name: a folder, a machine behind ssh, or an S3-compatible store."""

from __future__ import annotations

import hashlib
import importlib
import os
import socket
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from arfm_ros.core.errors import ArfmError, FleetError
from arfm_ros.episodes.write.durable import sync_folder

PART = 8 << 20  # bytes that are sent or fetched at a time, and lost at most by a break
INCOMING = "incoming"  # what is on its way, below the root
PACKAGES = {"s3": "s3fs", "ssh": "sshfs", "sftp": "sshfs"}


class Place:
    """Files below a root. `moves`: they can be appended to and folders renamed.

    Every call raises `FleetError` for whatever the transport raises.
    """

    def __init__(self, fs: Any, root: str, address: str) -> None:
        self._fs, self._root, self.address = fs, root.rstrip("/"), address
        self._local = _protocol(fs) == "file"
        self.moves = _protocol(fs) in {"file", "ssh"}

    def sizes(self, prefix: str) -> dict[str, int]:
        """List all files below `prefix` (a folder's name): name -> bytes."""
        with self._border(f"list {prefix}"):
            found = self._fs.find(self._path(prefix), detail=True)
            begin = len(self._fs._strip_protocol(self._root).rstrip("/")) + 1
            return {
                str(path)[begin:]: int(row["size"])
                for path, row in found.items()
                if row["type"] == "file"
            }

    def read(self, name: str, begin: int, end: int) -> bytes:
        """Read bytes `begin` to `end` of a file, fewer where it ends before."""
        with self._border(f"read {name}"):
            path = self._path(name)
            if not self.moves:
                return bytes(self._fs.cat_file(path, start=begin, end=end))
            with self._fs.open(path, "rb") as file:
                file.seek(begin)
                return bytes(file.read(end - begin))

    def write(self, name: str, data: bytes) -> None:
        """Write a small file: whoever looks finds it whole or not at all."""
        if not self.moves:
            with self._border(f"write {name}"):
                self._fs.pipe_file(self._path(name), data)
            return
        digest = hashlib.sha256(f"{socket.gethostname()}/{name}".encode()).hexdigest()
        draft = f"{INCOMING}/draft-{digest[:32]}"  # the same again after a break
        self.remove([draft])
        self.append(draft, data)
        self.rename(draft, name)

    def append(self, name: str, data: bytes) -> None:
        """Add bytes to the end of a file, which begins empty; only where `moves`."""
        with self._border(f"write {name}"):
            path = self._path(name)
            self._fs.makedirs(path.rpartition("/")[0], exist_ok=True)
            with self._fs.open(path, "ab") as file:
                file.write(data)
                with suppress(OSError):  # ssh has no such call
                    file.flush()
                    os.fsync(file.fileno())

    def rename(self, old: str, new: str) -> None:
        """Rename a file or folder, over a file but never over a folder; only where `moves`."""
        with self._border(f"rename {old}"):
            source, target = self._path(old), self._path(new)
            self._fs.makedirs(target.rpartition("/")[0], exist_ok=True)
            if not self._local:
                self._fs.mv(source, target)
                return
            os.replace(source, target)
            sync_folder(Path(target).parent)

    def join(self, name: str, parts: Sequence[str]) -> None:
        """Make one file of parts, of `PART` bytes each but the last; only where not `moves`."""
        with self._border(f"join {name}"):
            paths = [self._path(part) for part in parts]
            if hasattr(self._fs, "merge"):  # the store does it, nothing is sent again
                self._fs.merge(self._path(name), paths)
            else:
                self._fs.pipe_file(self._path(name), b"".join(map(self._fs.cat_file, paths)))

    def remove(self, names: Iterable[str]) -> None:
        """Remove files and folders that are there."""
        with self._border("remove files"):
            for path in map(self._path, names):
                with suppress(FileNotFoundError):
                    self._fs.rm(path, recursive=True)

    def exists(self, name: str) -> bool:
        """Tell whether there is a file or folder of this name."""
        with self._border(f"look for {name}"):
            return bool(self._fs.exists(self._path(name)))

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}".rstrip("/")

    @contextmanager
    def _border(self, what: str) -> Generator[None, None, None]:
        try:
            yield
        except ArfmError:
            raise
        except Exception as error:  # noqa: BLE001  a transport raises what it likes
            said = " ".join(str(error).split()) or type(error).__name__
            raise FleetError(f"{self.address}: cannot {what}: {said[:300]}") from error


def open_place(address: str) -> Place:
    """Open a folder, ssh://[USER@]HOST/PATH, s3://BUCKET[/PATH], or what else fsspec knows.

    Keys and the address of a store of one's own come from where its tools have them
    (`~/.ssh`, `AWS_PROFILE`, `AWS_ENDPOINT_URL`). Raises `FleetError`.
    """
    kind = address.partition("://")[0] if "://" in address else "file"
    fsspec = _library("fsspec", address)
    if kind in PACKAGES:
        _library(PACKAGES[kind], address)
    options: dict[str, Any] = {"use_listings_cache": False}
    if kind in {"ssh", "sftp"}:
        fsspec.register_implementation(kind, _library("sshfs", address).SSHFileSystem, True)
        options = {"known_hosts": ()}  # those of ~/.ssh: a host that is not there is refused
    try:
        url = address if kind != "file" else "file://" + str(Path(address).absolute())
        fs, root = fsspec.core.url_to_fs(url, **options)
    except Exception as error:  # noqa: BLE001  a transport raises what it likes
        raise FleetError(f"cannot open {address}: {' '.join(str(error).split())}") from error
    if kind == "file" and not Path(root).is_dir():
        raise FleetError(f"there is no folder {root}: make it, or mount what it is on")
    return Place(fs, root, address)


def _protocol(fs: Any) -> str:
    names = (fs.protocol,) if isinstance(fs.protocol, str) else tuple(fs.protocol)
    if {"file", "local"} & set(names):
        return "file"
    return "ssh" if type(fs).__name__ == "SSHFileSystem" else names[0]


def _library(name: str, address: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise FleetError(
            f"{address} needs the package '{name}': pip install 'arfm_ros[fleet]'"
        ) from error
