"""Who is let in: the token, sessions that end, and names under which a page may call itself."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

NS = 1_000_000_000
LOCAL = ("127.0.0.1", "localhost", "::1")
TOKEN_MIN = 16  # characters
SESSIONS_MAX = 64
TRIES, TRY_NS = 5, 30 * NS  # wrong tokens from one address, and how long they are remembered


def is_loopback(host: str) -> bool:
    """Tell whether a host to listen on is reached from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def host_refusal(host: str, names: Sequence[str]) -> str:
    """Say why a Host header is none of ours, '' if it is.

    A page of a stranger whose name was made to point here (DNS rebinding) comes with that name;
    numbers cannot be pointed elsewhere.
    """
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        name = ""
    if name in {*LOCAL, *(one.lower() for one in names)} or _is_number(name):
        return ""
    return f"this console is not called '{name[:60]}': add it to the parameter 'names'"


def origin_refusal(origin: str | None, scheme: str, host: str) -> str:
    """Say why a page may not speak to us, '' if it is our own; no browser sends no Origin."""
    if origin is None or origin == f"{scheme}://{host}":
        return ""
    return "a page from elsewhere may not command this robot"


def _is_number(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


@dataclass(slots=True)
class Keyring:
    """Sessions opened with one token; without a token everybody is let in (loopback only)."""

    token: str = field(default="", repr=False)
    session_ns: int = 12 * 3600 * NS
    _sessions: dict[bytes, int] = field(default_factory=dict, repr=False)  # digest -> its end
    _wrong: dict[str, list[int]] = field(default_factory=dict)  # address -> when

    def open(self, token: str, address: str, now_ns: int) -> tuple[str, str]:
        """Return a new session's secret and ''; or '' and why it is refused."""
        wrong = [at for at in self._wrong.get(address, []) if now_ns - at < TRY_NS]
        if len(wrong) >= TRIES:
            return "", f"too many wrong tokens: wait {TRY_NS // NS} s"
        if not self._same(token):
            self._wrong[address] = [*wrong, now_ns]
            return "", "the token is wrong"
        self._wrong.pop(address, None)
        self._sessions = {key: end for key, end in self._sessions.items() if end > now_ns}
        while len(self._sessions) >= SESSIONS_MAX:
            del self._sessions[min(self._sessions, key=self._sessions.__getitem__)]
        secret = secrets.token_urlsafe(32)
        self._sessions[_digest(secret)] = now_ns + self.session_ns
        return secret, ""

    def admits(self, session: str, bearer: str, now_ns: int) -> bool:
        """Tell whether a session's secret, or the token itself, lets somebody in."""
        if not self.token:
            return True
        if bearer:
            return self._same(bearer)
        return self._sessions.get(_digest(session), 0) > now_ns

    def _same(self, token: str) -> bool:
        return bool(self.token) and hmac.compare_digest(_digest(token), _digest(self.token))


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
