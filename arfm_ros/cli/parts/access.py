"""The options by which an operator allows a policy's server, and the question about its host."""

from __future__ import annotations

import argparse
import sys

from arfm_ros.core.errors import ConfigError
from arfm_ros.engines.server.trust import Access, host_of, is_loopback, known_hosts, trust_host


def add_access(parser: argparse.ArgumentParser) -> None:
    """Declare what only an operator may say about a policy on a server."""
    group = parser.add_argument_group("a policy on a server (docs/security.md)")
    group.add_argument(
        "--trust-host",
        default="",
        metavar="HOST:PORT",
        help="confirm for good that this server may get the pictures and drive the robot",
    )
    group.add_argument(
        "--key-variable", default="", metavar="NAME", help="environment variable with its API key"
    )
    group.add_argument(
        "--allow-plain", action="store_true", help="also unencrypted to another machine"
    )


def granted(args: argparse.Namespace, uri: str) -> Access:
    """Return what the operator allows for the server `uri`; ask about a host that is new.

    Raises `ConfigError` where the confirmed host is not that of the server.
    """
    access = Access(args.key_variable, args.allow_plain)
    host = host_of(uri)
    if args.trust_host:
        if args.trust_host != host:
            raise ConfigError(f"--trust-host {args.trust_host}, but the server is {host}")
        print(f"{host} is confirmed: kept in {trust_host(host, access)}")
    elif not is_loopback(uri) and host not in known_hosts(access) and sys.stdin.isatty():
        question = f"The server {host} gets the robot's pictures and drives it. Trust it? [y/N] "
        if input(question).strip().lower() in {"y", "yes"}:
            print(f"{host} is confirmed: kept in {trust_host(host, access)}")
    return access
