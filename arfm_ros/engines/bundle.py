"""A policy bundle: the folder that `arfm export` writes, checked when it is opened."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from arfm_ros.core.errors import BundleError, SpecError
from arfm_ros.core.spec import PolicySpec

POLICY, PREFIX, STEP, REFERENCE, PARITY = (
    "policy.json",
    "prefix.onnx",
    "step.onnx",
    "reference.npz",
    "parity.json",
)
STEP_RTC = "step_rtc.onnx"  # of bundles whose chunks follow on
WEIGHTS = "weights.safetensors"  # what the graphs refer to
BLOCK = 2**24  # bytes; weights may be larger than memory
AGAIN = "export it again or fetch the bundle again"


@dataclass(frozen=True, slots=True, eq=False)
class Bundle:
    """An opened bundle whose graphs are the ones that were exported."""

    path: Path
    spec: PolicySpec
    sha256: str  # over the graphs and the specification, normalisation included
    provenance: Mapping[str, Any]
    remote: Mapping[str, Any] | None = None  # how to reach the server that has the network

    @property
    def name(self) -> str:
        """Name of the policy."""
        return self.spec.name

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
    raw = _read_json(folder / POLICY)
    if not isinstance(raw, dict) or not {"spec", "sha256"} <= raw.keys():
        raise BundleError(f"{folder / POLICY} has no 'spec' and 'sha256': {AGAIN}")
    try:
        spec = PolicySpec.from_json(json.dumps(raw["spec"]))
    except SpecError as error:
        raise BundleError(f"{folder / POLICY}: {error}") from error
    for name in dict.fromkeys((*_graphs(raw, spec), *raw["sha256"])):
        if Path(name).name != name:
            raise BundleError(f"{folder / POLICY} names '{name}', which is no file of a bundle")
        _check_hash(folder / name, str(raw["sha256"].get(name, "")))
    return Bundle(folder, spec, bundle_sha256(raw), raw.get("provenance", {}), raw.get("remote"))


def _graphs(raw: Mapping[str, Any], spec: PolicySpec) -> tuple[str, ...]:
    if "remote" in raw:
        return ()
    return (PREFIX, STEP) if spec.rtc.mode == "none" else (PREFIX, STEP, STEP_RTC)


def bundle_sha256(raw: Mapping[str, Any]) -> str:
    """Hash what decides the policy's behaviour: graphs, names, limits, normalisation."""
    decisive = {key: raw[key] for key in ("spec", "sha256", "remote") if key in raw}
    text = json.dumps(decisive, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def file_sha256(path: Path) -> str:
    """Hash a file's bytes."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _read_json(path: Path) -> Any:
    if not path.is_file():
        raise BundleError(f"{path.name} is missing in {path.parent}: {AGAIN}")
    try:
        return json.loads(path.read_text())
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise BundleError(f"{path} is not JSON ({error}): {AGAIN}") from error


def _check_hash(path: Path, wanted: str) -> None:
    if not path.is_file():
        raise BundleError(f"{path.name} is missing in {path.parent}: {AGAIN}")
    found = file_sha256(path)
    if found != wanted:
        raise BundleError(
            f"{path} was changed or is incomplete: sha256 {found[:12]}…, "
            f"policy.json says {wanted[:12] or 'nothing'}…; {AGAIN}"
        )


def _list(names: Sequence[str]) -> str:
    return ", ".join(names) or "none"
