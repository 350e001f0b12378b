"""Tokens, sessions that end, and names that a stranger may have pointed here."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from arfm_ros.console.certificates import (
    fingerprint,
    make_certificate,
    read_token,
    server_context,
)
from arfm_ros.console.doors import (
    NS,
    TRIES,
    TRY_NS,
    Keyring,
    host_refusal,
    is_loopback,
    origin_refusal,
)
from arfm_ros.core.errors import ConfigError

TOKEN = "a token of twenty-seven ones"


@pytest.mark.parametrize("host", ["127.0.0.1:8420", "localhost:8420", "[::1]:8420", "10.0.0.7:80"])
def test_numbers_and_local_names_are_ours(host: str) -> None:
    assert host_refusal(host, ()) == ""


@pytest.mark.parametrize("host", ["evil.example:8420", "", "localhost.evil.example", "[::1"])
def test_a_name_that_was_pointed_here_is_not(host: str) -> None:
    assert "names" in host_refusal(host, ("robot",))


def test_names_of_this_machine_are_ours_when_they_are_said() -> None:
    assert host_refusal("Robot:8420", ("robot",)) == ""


def test_a_page_from_elsewhere_may_not_speak() -> None:
    assert origin_refusal("http://localhost:8420", "http", "localhost:8420") == ""
    assert origin_refusal(None, "http", "localhost:8420") == ""  # not a browser
    for origin in ("http://evil.example", "null", "http://localhost:1", "https://localhost:8420"):
        assert origin_refusal(origin, "http", "localhost:8420") != ""


def test_loopback_is_told_from_the_rest() -> None:
    assert is_loopback("127.0.0.1") and is_loopback("::1") and is_loopback("localhost")
    assert not is_loopback("0.0.0.0") and not is_loopback("::") and not is_loopback("robot")


def test_a_session_ends_by_its_time_and_the_wrong_token_opens_none() -> None:
    ring = Keyring(TOKEN, session_ns=NS)
    assert ring.open("wrong", "a", 0) == ("", "the token is wrong")
    secret, refusal = ring.open(TOKEN, "a", 0)
    assert refusal == "" and ring.admits(secret, "", NS - 1)
    assert not ring.admits(secret, "", NS)
    assert not ring.admits("", "", 0) and not ring.admits("guess", "", 0)
    assert ring.admits("", TOKEN, 0) and not ring.admits("", "wrong", 0)


def test_guessing_is_slow() -> None:
    ring = Keyring(TOKEN)
    for k in range(TRIES):
        ring.open("wrong", "a", k)
    assert "too many" in ring.open(TOKEN, "a", TRIES)[1]
    assert ring.open(TOKEN, "b", TRIES)[1] == ""  # another address may go on
    assert ring.open(TOKEN, "a", TRIES + TRY_NS)[1] == ""


def test_neither_token_nor_sessions_are_shown() -> None:
    ring = Keyring(TOKEN)
    secret, _ = ring.open(TOKEN, "a", 0)
    assert TOKEN not in repr(ring) and secret not in repr(ring)


def test_a_token_is_made_private_and_a_public_one_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "token"
    token = read_token(file)
    assert len(token) >= 24 and file.stat().st_mode & 0o777 == 0o600
    assert read_token(file) == token
    file.chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        read_token(file)
    file.chmod(0o600)
    file.write_text("short")
    with pytest.raises(ConfigError, match="needs 16"):
        read_token(file)


def test_a_certificate_of_our_own_is_made_once_with_a_private_key(tmp_path: Path) -> None:
    certificate, key = make_certificate(tmp_path / "tls", ("localhost", "127.0.0.1"))
    assert key.stat().st_mode & 0o777 == 0o600
    assert isinstance(server_context(certificate, key), ssl.SSLContext)
    print_before = fingerprint(certificate)
    assert len(print_before.split(":")) == 32
    again = make_certificate(tmp_path / "tls", ("localhost",))
    assert fingerprint(again[0]) == print_before
    key.chmod(0o640)
    with pytest.raises(ConfigError, match="chmod 600"):
        server_context(certificate, key)
