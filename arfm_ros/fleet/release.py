"""Which bundle the robots run: signed manifests in the store, numbered, the highest counts."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from arfm_ros.core.errors import ArfmError, FleetError, SpecError
from arfm_ros.core.values.strict import check_depth, integer, rows, table, text
from arfm_ros.fleet.content import BUNDLES, Item, bundle_item, item_of, open_piece
from arfm_ros.fleet.place import Place
from arfm_ros.fleet.send import send
from arfm_ros.fleet.signing import sign, signer

RELEASES, PURPOSE, FORMAT = "releases", "arfm-release", 1
BYTES_MAX, LOOKED_AT = 1 << 20, 32
SERIAL_MAX = 10**9
EVERYBODY = "*"
RELEASER = "releases"  # who sends a bundle, where robots send episodes


@dataclass(frozen=True, slots=True)
class Release:
    """A bundle for robots; `serial` only grows, also where an older bundle comes back."""

    serial: int
    item: Item
    robots: tuple[str, ...]
    when: str
    signer: str = ""

    def payload(self) -> str:
        """Return what is signed."""
        raw = {"format": FORMAT, "serial": self.serial, "robots": list(self.robots)}
        return json.dumps(raw | {"when": self.when, "item": self.item.as_json()}, sort_keys=True)


def publish(
    place: Place, bundle: Path, key: Path, robots: tuple[str, ...] = (EVERYBODY,)
) -> Release:
    """Send a bundle and say, signed, that these robots run it from now on.

    Raises `FleetError`, `BundleError`, or `ConfigError` for a key that does not sign.
    """
    item = bundle_item(bundle)
    serial = max((number for number, _ in _listed(place)), default=0) + 1
    now = datetime.now(timezone.utc).isoformat(timespec="seconds")
    release = Release(serial, item, robots, now)
    signature = sign(release.payload().encode(), key, PURPOSE)
    send(place, item, lambda name: open_piece(bundle, name), RELEASER)
    both = json.dumps({"signed": release.payload(), "signature": signature}, indent=1)
    place.write(f"{RELEASES}/{serial:09d}-{item.sha256[:12]}.json", both.encode())
    return release


def newest(
    place: Place, robot: str, allowed: Path, after: int, say: Callable[[str], None]
) -> Release | None:
    """Find the newest release for a robot above the number `after`; None where there is none.

    What is not signed, or cannot be read, is told and passed over: it stops none that is.
    """
    for release in _signed(place, allowed, after, say):
        if EVERYBODY in release.robots or robot in release.robots:
            return release
    return None


def _signed(
    place: Place, allowed: Path, after: int, say: Callable[[str], None]
) -> Iterator[Release]:
    for serial, name in sorted(_listed(place), reverse=True)[:LOOKED_AT]:
        if serial <= after:
            return
        try:
            found = _read(place.read(name, 0, BYTES_MAX), allowed)
            if found.serial != serial:
                raise FleetError(f"its number is {found.serial}")
        except FleetError as error:
            say(f"{name} is passed over: {error}")
            continue
        yield found


def _listed(place: Place) -> list[tuple[int, str]]:
    found = []
    for name in place.sizes(RELEASES):
        number = name.rpartition("/")[2].partition("-")[0]
        if number.isdecimal() and name.endswith(".json"):
            found.append((int(number), name))
    return found


def _read(data: bytes, allowed: Path) -> Release:
    """Read a release whose signature holds; nothing of it is looked at before."""
    try:
        raw = table(json.loads(data), "release")
        payload, signature = raw["signed"], text(raw["signature"], "signature")
        if not isinstance(payload, str):
            raise SpecError("what is signed is no text")
    except (ValueError, RecursionError, KeyError, ArfmError) as error:
        raise FleetError(f"no release ({error})") from error
    who = signer(payload.encode(), signature, allowed, PURPOSE)
    try:
        return _release(table(json.loads(payload), "release"), who)
    except (ValueError, RecursionError, KeyError, SpecError) as error:
        raise FleetError(f"{who} signed what is no release ({error})") from error


def _release(raw: Mapping[str, Any], who: str) -> Release:
    check_depth(raw)
    integer(raw["format"], "format", (1, FORMAT))
    item = item_of(raw["item"])
    if item.kind != BUNDLES:
        raise SpecError("it is of no bundle")
    robots = tuple(text(one, "a robot") for one in rows(raw["robots"], "robots", 10_000))
    serial = integer(raw["serial"], "serial", (1, SERIAL_MAX))
    return Release(serial, item, robots, text(raw["when"], "when"), who)
