"""A policy bundle: the folder that `arfm export` writes, checked when it is opened."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from arfm_ros.core.errors import BundleError, SpecError
from arfm_ros.core.values.spec import PolicySpec
from arfm_ros.core.values.strict import check_depth, table, text

POLICY, PREFIX, STEP, REFERENCE, PARITY = (
    "policy.json",
    "prefix.onnx",
    "step.onnx",
    "reference.npz",
    "parity.json",
)
STEP_RTC = "step_rtc.onnx"  # of bundles whose chunks follow on
VIEW = "view.onnx"  # of one camera's picture, where the prefix takes its tokens
CHUNK, CHUNK_RTC = "chunk.onnx", "chunk_rtc.onnx"  # all steps in one, where a bundle has them
WEIGHTS = "weights.safetensors"  # what the graphs refer to
JSON_MAX = 2**24  # bytes of a JSON file
FILES_MAX = 64  # that policy.json may name
BLOCK = 2**24  # bytes; weights may be larger than memory
SETTLED_NS = 1_000_000_000
AGAIN = "export it again or fetch the bundle again"

_HASHED: dict[Path, tuple[tuple[int, ...], str]] = {}  # by file: what it was, and its hash


@dataclass(frozen=True, slots=True, eq=False)
class Bundle:
    """An opened bundle whose graphs are the ones that were exported."""

    path: Path
    spec: PolicySpec
    sha256: str  # over the graphs and the specification, normalisation included
    provenance: Mapping[str, Any]
    remote: Mapping[str, Any] | None = None  # how to reach the server that has the network
    files: frozenset[str] = frozenset()  # whose hashes were verified

    @property
    def name(self) -> str:
        """Name of the policy."""
        return self.spec.name

    @property
    def graphs(self) -> tuple[str, ...]:
        """Name the graphs that every engine runs, without the files' suffix."""
        view = (VIEW,) if VIEW in self.files else ()
        return tuple(name.removesuffix(".onnx") for name in (*view, *_graphs_of(self.spec)))

    def whole(self, names: Sequence[str]) -> list[str]:
        """Give those of `names` whose graph the bundle has; a file that nobody hashed is none."""
        return [name for name in names if f"{name}.onnx" in self.files]

    def check_robot(
        self,
        joints: Sequence[str],
        cameras: Sequence[str],
        dt_s: float,
        others: Sequence[str] = (),
    ) -> None:
        """Raise `BundleError` naming every difference to a robot.

        `joints` are the names the robot reports and takes, gripper included; `cameras` the names
        it publishes; `dt_s` the time between two actions; `others` what it reports beside its
        joints, as a simulator does objects' poses. More cameras and others than needed are fine.
        """
        spec, wrong = self.spec, []
        missing = [camera.name for camera in spec.cameras if camera.name not in cameras]
        if missing:
            wrong.append(f"cameras {_list(missing)} missing, robot has {_list(cameras)}")
        reported = [*joints, *others]
        for kind, names, has in (
            ("states", spec.state_names, reported),
            ("actions", spec.action_names, joints),
        ):
            unknown = [name for name in names if name not in has]
            if unknown:
                wrong.append(f"{kind} {_list(unknown)} unknown, robot has {_list(has)}")
        idle = [name for name in joints if name not in spec.action_names]
        if idle:
            wrong.append(f"joints {_list(idle)} of the robot are not among the actions")
        if abs(spec.dt_ns * 1e-9 - dt_s) > 1e-6:
            wrong.append(f"dt is {spec.dt_ns * 1e-6:g} ms, robot runs at {dt_s * 1e3:g} ms")
        if wrong:
            raise BundleError(f"policy '{self.name}' does not fit the robot: {'; '.join(wrong)}")


def load_bundle(path: Path | str) -> Bundle:
    """Open the bundle in folder `path` and verify its hashes.

    Raises `BundleError` saying which file is missing, malformed or changed.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise BundleError(f"no bundle at {folder}: give the folder that `arfm export` wrote")
    raw = read_json(folder / POLICY, AGAIN)
    if not {"spec", "sha256"} <= raw.keys():
        raise BundleError(f"{folder / POLICY} has no 'spec' and 'sha256': {AGAIN}")
    try:
        spec = PolicySpec.from_json(json.dumps(raw["spec"]))
        hashes = _hashes(raw["sha256"])
        provenance = table(raw.get("provenance", {}), "provenance")
        remote = table(raw["remote"], "remote") if "remote" in raw else None
    except SpecError as error:
        raise BundleError(f"{folder / POLICY}: {error}") from error
    for name in dict.fromkeys((*_graphs(raw, spec), *hashes)):
        if Path(name).name != name:
            raise BundleError(f"{folder / POLICY} names '{name}', which is no file of a bundle")
        _check_hash(folder / name, hashes.get(name, ""))
    return Bundle(folder, spec, bundle_sha256(raw), provenance, remote, frozenset(hashes))


def _hashes(raw: object) -> dict[str, str]:
    given = table(raw, "sha256")
    if len(given) > FILES_MAX:
        raise SpecError(f"sha256 names {len(given)} files, at most {FILES_MAX} are read")
    return {text(name, "a file"): text(value, "sha256") for name, value in given.items()}


def _graphs(raw: Mapping[str, Any], spec: PolicySpec) -> tuple[str, ...]:
    if "remote" in raw:
        return ()
    return _graphs_of(spec)


def _graphs_of(spec: PolicySpec) -> tuple[str, ...]:
    return (PREFIX, STEP) if spec.rtc.mode == "none" else (PREFIX, STEP, STEP_RTC)


def bundle_sha256(raw: Mapping[str, Any]) -> str:
    """Hash what decides the policy's behaviour: graphs, names, limits, normalisation."""
    decisive = {key: raw[key] for key in ("spec", "sha256", "remote") if key in raw}
    return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()


def file_sha256(path: Path) -> str:
    """Hash a file's bytes; one that stays as it was is read once by a process.

    A file that changed within the last second is read again: what changes it once more may leave
    its times as they are.
    """
    before = _identity(path)
    known = _HASHED.get(path)
    if known is not None and known[0] == before:
        return known[1]
    found = _read_sha256(path)
    if _identity(path) == before and time.time_ns() - max(before[-2:]) > SETTLED_NS:
        _HASHED[path] = before, found
    return found


def _identity(path: Path) -> tuple[int, ...]:
    found = path.stat()
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _read_sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()


def read_json(path: Path, again: str) -> dict[str, Any]:
    """Read a JSON file that holds a map; `again` says how to get a better one.

    Raises `BundleError` for a file that is missing, too large, nested too deeply or no such map.
    """
    try:
        if not path.is_file():
            raise BundleError(f"{path.name} is missing in {path.parent}: {again}")
        size = path.stat().st_size
        if size > JSON_MAX:
            raise BundleError(f"{path} has {size} bytes, at most {JSON_MAX} are read: {again}")
        raw = table(json.loads(path.read_text()), path.name)
        check_depth(raw)
    except (OSError, SpecError) as error:
        raise BundleError(f"{path} cannot be read ({error}): {again}") from error
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{path} cannot be read (not JSON: {error}): {again}") from error
    return raw


def _check_hash(path: Path, wanted: str) -> None:
    try:
        if not path.is_file():
            raise BundleError(f"{path.name} is missing in {path.parent}: {AGAIN}")
        found = file_sha256(path)
    except (OSError, ValueError) as error:  # a name with a zero byte, no right to read
        raise BundleError(f"a file of {path.parent} cannot be read ({error}): {AGAIN}") from error
    if found != wanted:
        raise BundleError(
            f"{path} was changed or is incomplete: sha256 {found[:12]}…, "
            f"policy.json says {wanted[:12] or 'nothing'}…; {AGAIN}"
        )


def _list(names: Sequence[str]) -> str:
    return ", ".join(names) or "none"
