"""Signatures with ssh keys, as `ssh-keygen -Y sign` makes and `-Y verify` checks them."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from arfm_ros.core.errors import ConfigError, FleetError

TOOL = "ssh-keygen"
TIMEOUT_S = 60.0  # a key on a token wants to be touched
ALLOWED = "allowed_signers"


def sign(data: bytes, key: Path, purpose: str) -> str:
    """Sign with a private key, or a public one whose private key an agent holds.

    `purpose` is ssh's namespace: a signature for something else does not pass. Raises
    `ConfigError` where the key does not sign.
    """
    done = _run(["-Y", "sign", "-q", "-n", purpose, "-f", str(key)], data)
    if done.returncode != 0 or not done.stdout:
        raise ConfigError(f"key {key} does not sign: {_said(done)}")
    return done.stdout.decode()


def signer(data: bytes, signature: str, allowed: Path, purpose: str) -> str:
    """Return who signed, a name in the file `allowed` (ssh-keygen(1), ALLOWED SIGNERS).

    Raises `FleetError` for a signature of nobody who is in it, or of something else;
    `ConfigError` where there is no such file.
    """
    if not allowed.is_file():
        raise ConfigError(
            f'there is no {allowed}: write a line `NAME namespaces="{purpose}" KEY` for each '
            "person whose bundles may drive (docs/fleet.md)"
        )
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "signature"
        path.write_text(signature)
        given = ["-s", str(path), "-f", str(allowed)]
        found = _run(["-Y", "find-principals", *given], b"")
        for name in found.stdout.decode(errors="replace").splitlines():
            words = ["-Y", "verify", "-q", "-n", purpose, "-I", name, *given]
            if _run(words, data).returncode == 0:
                return name
    raise FleetError(f"not signed by anybody in {allowed}")


def _run(words: Sequence[str], data: bytes) -> subprocess.CompletedProcess[bytes]:
    if shutil.which(TOOL) is None:
        raise ConfigError(f"{TOOL} is missing: install openssh-client")
    try:
        return subprocess.run(
            [TOOL, *words], input=data, capture_output=True, timeout=TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise ConfigError(f"{TOOL} did not answer within {TIMEOUT_S:.0f} s") from error


def _said(done: subprocess.CompletedProcess[bytes]) -> str:
    return " ".join(done.stderr.decode(errors="replace").split())[:300]
