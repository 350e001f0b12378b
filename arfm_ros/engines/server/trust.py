"""Which servers may get the pictures and drive the robot: those that the operator confirmed.

A bundle is data from a stranger. It says where its server is, and nothing more: the operator
confirms the host once, names the environment variable that holds the key, and allows a line that
anybody can read.
"""

from __future__ import annotations

import ipaddress
import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from arfm_ros.core.errors import BundleError, ConfigError

SCHEMES = {"ws": 80, "wss": 443, "tcp": 5555, "http": 80, "https": 443}  # and usual ports
NEEDED = (
    "ws://HOST:PORT or wss://HOST:PORT (openpi), tcp://HOST:PORT (GR00T), or http://HOST:PORT "
    "or https://HOST:PORT (OpenVLA)"
)
PRIVATE = {"ws": "wss://", "tcp": "an SSH tunnel to this machine", "http": "https://"}
HEADER = "# Servers that may get the robot's pictures and drive it, one host:port a line.\n"


@dataclass(frozen=True, slots=True)
class Access:
    """What the operator allows; nothing of it comes from a bundle."""

    key_variable: str = ""  # environment variable that holds the server's API key
    allow_plain: bool = False  # unencrypted to another machine: all on the way read and write
    known_hosts: Path | None = None  # default: `known_hosts_path()`

    def key(self, where: str) -> str:
        """Return the key, '' where none is named. Raises `ConfigError` for a variable not set."""
        if not self.key_variable:
            return ""
        if self.key_variable not in os.environ:
            raise ConfigError(f"set {self.key_variable} to the API key of {where}")
        return os.environ[self.key_variable]


NOTHING = Access()  # no key, no plain line to another machine


def known_hosts_path() -> Path:
    """Return the file of confirmed hosts: arfm_ros/known_hosts of the user's configuration."""
    home = os.environ.get("XDG_CONFIG_HOME", "")
    folder = Path(home) if home.startswith("/") else Path.home() / ".config"
    return folder / "arfm_ros" / "known_hosts"


def host_of(uri: str) -> str:
    """Return `host:port` of an address of a server, see `SCHEMES`. Raises `BundleError`."""
    try:
        parts = urlsplit(uri)
        host, port = parts.hostname, parts.port or SCHEMES.get(parts.scheme)
    except ValueError as error:
        raise BundleError(f"server '{uri[:100]}' is no address: {error}") from error
    odd = not uri.isprintable() or " " in uri
    if not host or port is None or parts.username or parts.password or odd:
        raise BundleError(f"server '{uri[:100]}', needs {NEEDED}")
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def is_loopback(uri: str) -> bool:
    """Tell whether a server is on this machine."""
    host = urlsplit(uri).hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def known_hosts(access: Access) -> list[str]:
    """Read the hosts that were confirmed. Raises `ConfigError` for a file that cannot be read."""
    path = access.known_hosts or known_hosts_path()
    try:
        lines = path.read_text().splitlines() if path.exists() else []
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read {path}: {error}") from error
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def trust_host(host: str, access: Access) -> Path:
    """Remember a confirmed `host:port` and return the file. Raises `ConfigError`."""
    path, known = access.known_hosts or known_hosts_path(), known_hosts(access)
    if host in known:
        return path
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.write_text(HEADER + "".join(f"{one}\n" for one in (*known, host)))
        draft.chmod(0o600)
        draft.replace(path)
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error}") from error
    return path


def require_trust(uri: str, access: Access, bundle: Path) -> None:
    """Raise `BundleError`, with the command to run, unless the operator allowed a server.

    A server on this machine needs no confirmation: nothing leaves it.
    """
    host = host_of(uri)
    if is_loopback(uri):
        return
    check = f"arfm check {bundle}"
    use = PRIVATE.get(uri.partition("://")[0])
    if use and not access.allow_plain:
        raise BundleError(
            f"{uri} is not encrypted: whoever is on the way reads the pictures and can drive the "
            f"robot; use {use}, or allow it (allow_plain, or `{check} --allow-plain`)"
        )
    if host not in known_hosts(access):
        raise BundleError(
            f"nobody confirmed the server {host}, which would get the robot's pictures and drive "
            f"it: if you know it, run `{check} --trust-host {host}`"
        )
