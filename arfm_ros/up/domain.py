"""Pick a ROS_DOMAIN_ID that nobody on this machine uses, and keep others of us off it."""

from __future__ import annotations

import os
import random
import socket

from arfm_ros.core.errors import ConfigError

# Ports of DDS (RTPS 9.6.1.1): 7400 + 250 * domain + 10 + 2 * participant for unicast discovery.
FIRST_PORT, DOMAIN_GAIN, UNICAST_OFFSET = 7400, 250, 10
DOMAINS = range(1, 102)  # above 101 the ports meet Linux's ephemeral ones


def reserve_domain() -> tuple[int, socket.socket | None]:
    """Return (domain id, reservation); keep the reservation alive as long as the domain is used.

    What the user set in ROS_DOMAIN_ID is taken as it is.
    """
    chosen = os.environ.get("ROS_DOMAIN_ID", "")
    if chosen:
        if not chosen.isdecimal():
            raise ConfigError(f"ROS_DOMAIN_ID is '{chosen}', needs a number from 0 to 101")
        return int(chosen), None
    for domain in random.sample(DOMAINS, len(DOMAINS)):
        reservation = _reserve(domain)
        if reservation is not None:
            return domain, reservation
    raise ConfigError("all ROS domains of this machine are in use: set ROS_DOMAIN_ID")


def in_use(domain: int) -> bool:
    """Say whether a participant on this machine listens in `domain`."""
    port = FIRST_PORT + DOMAIN_GAIN * domain + UNICAST_OFFSET
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind(("0.0.0.0", port))
        except OSError:
            return True
    return False


def _reserve(domain: int) -> socket.socket | None:
    """Hold an abstract socket named after the domain: it vanishes with its process."""
    if in_use(domain):
        return None
    holder = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        holder.bind(f"\0arfm_ros_domain_{domain}")
    except OSError:
        holder.close()
        return None
    return holder
