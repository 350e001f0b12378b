"""How long a fleet takes for a new bundle and back, and for its episodes; and what kills leave."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from uuid import uuid4

from arfm_ros.core.errors import ConfigError, FleetError
from arfm_ros.fleet.exchange import collect, finished, fleet
from arfm_ros.fleet.place import Place, open_place
from arfm_ros.fleet.release import publish
from arfm_ros.fleet.robot import Robot
from arfm_ros.fleet.send import ITEMS
from arfm_ros.fleet.simulated import command, record, simulated_robot

TARGET_S = 60.0
POLL_S, START_S, PATIENCE_S = 0.2, 60.0, 900.0
REGION = "us-east-1"


@dataclass(frozen=True, slots=True)
class Load:
    """What each robot has, and how often it looks."""

    episodes: int = 3
    megabytes: float = 4.0
    every_s: float = 5.0


@dataclass(frozen=True, slots=True)
class Taken:
    """Seconds from a release to the last robot that runs it; `upload_s` from the first start."""

    robots: int
    first_s: float  # of processes that start together
    there_s: float
    back_s: float
    upload_s: float
    megabytes: float

    def as_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Broken:
    """What so many kills left."""

    kills: int
    episodes: int
    arrived: int
    equal: bool  # the hashes of all bags
    left: int  # files in the store that belong to nothing


@contextmanager
def s3_server(scratch: Path) -> Generator[str, None, None]:
    """Serve S3 on this machine, as moto does it, and give the address of an empty store."""
    if not all(find_spec(name) for name in ("moto", "s3fs")):
        raise ConfigError("it needs moto's S3 server: pip install 'arfm_ros[fleet,s3server]'")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    words = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    keys = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing"}
    os.environ |= {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}", "AWS_DEFAULT_REGION": REGION}
    os.environ |= keys
    with (scratch / "server.log").open("w") as log:
        server = subprocess.Popen(words, stdout=log, stderr=log)
    try:
        bucket = f"fleet-{uuid4().hex}"
        _wait(lambda: _make_bucket(bucket), START_S, "the S3 server")
        yield f"s3://{bucket}/fleet"
    finally:
        server.terminate()
        server.wait()


def _make_bucket(bucket: str) -> bool:
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()  # of a server before this one
    try:
        s3fs.S3FileSystem().mkdir(bucket)
    except Exception:  # noqa: BLE001  it is not up yet, and says so in its own ways
        return False
    return True


def measure(
    address: str, scratch: Path, robots: int, bundles: Sequence[Path], load: Load
) -> Taken:
    """Let so many robots start with the first bundle, change to the second, and back."""
    place, key = open_place(address), scratch / "key"
    _make_key(key)
    fleet_of = [simulated_robot(scratch, f"robot{n:02d}") for n in range(robots)]
    for robot in fleet_of:
        record(robot, load.episodes, load.megabytes)
        _allow(robot, key)
    publish(place, bundles[0], key)
    with ExitStack() as stack:
        begin_s = time.monotonic()
        for robot in fleet_of:
            stack.enter_context(_process(command(address, scratch, robot.name, load.every_s)))
        _wait_for(place, robots, 1)
        first_s = time.monotonic() - begin_s
        _wait(lambda: _arrived(place) == robots * load.episodes, PATIENCE_S, "episodes")
        upload_s = time.monotonic() - begin_s
        changes = []
        for serial, bundle in enumerate((bundles[1], bundles[0]), 2):
            begin_s = time.monotonic()
            publish(place, bundle, key)
            _wait_for(place, robots, serial)
            changes.append(time.monotonic() - begin_s)
    bags = [bag.stat().st_size for robot in fleet_of for bag in robot.episodes.rglob("*.mcap")]
    return Taken(robots, first_s, *changes, upload_s, sum(bags) / 1e6)


def break_often(address: str, scratch: Path, kills: int, load: Load, seed: int) -> Broken:
    """Kill a robot that sends, each time at another moment, then let it finish."""
    draw, robot = random.Random(seed), simulated_robot(scratch, "broken")
    record(robot, load.episodes, load.megabytes)
    _allow(robot, _make_key(scratch / "key"))
    words = command(address, scratch, robot.name, 0)
    begin_s = time.monotonic()
    with _process(words) as whole:
        time.sleep(0.01)
        whole.wait(PATIENCE_S)
    place, takes_s = open_place(address), time.monotonic() - begin_s
    place.remove(list(place.sizes("")))
    for _ in range(kills):
        with _process(words):
            time.sleep(draw.uniform(0.3, 1.0) * takes_s)
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL, timeout=PATIENCE_S)
    out = scratch / "collected"
    done = collect(place, out, lambda text: None)
    sent, got = (_hashes(finished(folder)) for folder in (robot.episodes, out))
    known = {name.split("/")[2].removesuffix(".json") for name in place.sizes(ITEMS)}
    left = [name for name in place.sizes("episodes") if name.split("/")[1] not in known]
    left += place.sizes("incoming")
    return Broken(kills, len(sent), done.sent, sent == got, len(left))


def variant(bundle: Path, scratch: Path) -> Path:
    """Copy a bundle with another card: another bundle for a store."""
    made = shutil.copytree(bundle, scratch / "variant", dirs_exist_ok=True)
    (made / "README.md").write_text("the same policy under another name\n")
    return Path(made)


def _hashes(folders: Sequence[Path]) -> list[str]:
    bags = [bag for folder in folders for bag in folder.glob("*.mcap")]
    return sorted(hashlib.sha256(bag.read_bytes()).hexdigest() for bag in bags)


def _arrived(place: Place) -> int:
    return len(place.sizes(ITEMS))


def _wait_for(place: Place, robots: int, serial: int) -> None:
    def done() -> bool:
        rows = fleet(place)
        wrong = [str(row.get("refused")) for row in rows if row.get("refused")]
        if wrong:
            raise FleetError(f"a robot refused release {serial}: {wrong[0]}")
        return sum(row.get("serial") == serial for row in rows) == robots

    _wait(done, PATIENCE_S, f"release {serial} on {robots} robots")


def _wait(done: Any, seconds: float, what: str) -> None:
    until_s = time.monotonic() + seconds
    while not done():
        if time.monotonic() > until_s:
            raise FleetError(f"no {what} within {seconds:.0f} s")
        time.sleep(POLL_S)


@contextmanager
def _process(words: Sequence[str]) -> Generator[subprocess.Popen[bytes], None, None]:
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def _make_key(path: Path) -> Path:
    if not path.exists():
        words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "bench", "-f", str(path)]
        subprocess.run(words, check=True, timeout=START_S)
    return path


def _allow(robot: Robot, key: Path) -> None:
    robot.home.mkdir(parents=True, exist_ok=True)
    public = " ".join(key.with_name(f"{key.name}.pub").read_text().split()[:2])
    robot.allowed.write_text(f'bench namespaces="arfm-release" {public}\n')
