"""A token and a certificate of our own making; nobody but their owner reads them."""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import ssl
import subprocess
from collections.abc import Sequence
from pathlib import Path

from arfm_ros.console.doors import TOKEN_MIN
from arfm_ros.core.errors import ConfigError

DAYS = "397"  # browsers refuse certificates that live longer
TIMEOUT_S = 30
OTHERS = 0o077


def read_token(file: Path) -> str:
    """Read the token of a file that only its owner can read; make both where there is none."""
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as stream:
            stream.write(secrets.token_urlsafe(24) + "\n")
    check_private(file)
    token = file.read_text().strip()
    if len(token) < TOKEN_MIN:
        raise ConfigError(f"the token in {file} has {len(token)} characters, needs {TOKEN_MIN}")
    return token


def check_private(file: Path) -> None:
    """Raise `ConfigError` where others than its owner may read a file."""
    if not file.is_file():
        raise ConfigError(f"there is no file {file}")
    if file.stat().st_mode & OTHERS:
        raise ConfigError(f"others can read {file}: chmod 600 {file}")


def make_certificate(folder: Path, names: Sequence[str]) -> tuple[Path, Path]:
    """Return certificate and key in `folder`, made by openssl where they are not there yet."""
    certificate, key = folder / "console.crt", folder / "console.key"
    if certificate.is_file() and key.is_file():
        return certificate, key
    if shutil.which("openssl") is None:
        raise ConfigError(
            "there is no openssl to make a certificate with: install it, or give one by the "
            "parameters 'certificate' and 'key'"
        )
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    os.close(os.open(key, os.O_WRONLY | os.O_CREAT, 0o600))  # private before there is anything
    said = ",".join(f"{'IP' if _is_address(name) else 'DNS'}:{name}" for name in names)
    done = subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-nodes", "-days", DAYS, "-subj", "/CN=arfm console", "-addext",
         f"subjectAltName={said}", "-keyout", str(key), "-out", str(certificate)],
        capture_output=True, text=True, check=False, timeout=TIMEOUT_S,
    )  # fmt: skip
    if done.returncode != 0:
        key.unlink(missing_ok=True)
        raise ConfigError(f"openssl made no certificate: {done.stderr.strip()[-200:]}")
    key.chmod(0o600)
    return certificate, key


def server_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """Load a certificate and its key; raises `ConfigError` for what does not fit."""
    check_private(key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"certificate {certificate} and key {key}: {error}") from error
    return context


def fingerprint(certificate: Path) -> str:
    """Return the SHA-256 of a certificate as browsers show it."""
    raw = ssl.PEM_cert_to_DER_cert(certificate.read_text())
    digest = hashlib.sha256(raw).hexdigest().upper()
    return ":".join(digest[i : i + 2] for i in range(0, len(digest), 2))


def _is_address(name: str) -> bool:
    return ":" in name or name.replace(".", "").isdigit()
