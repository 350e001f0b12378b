"""What was built from a bundle: one folder in its engines/ for each runtime, precision and GPU."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from arfm_ros.core.errors import BundleError, SpecError
from arfm_ros.core.values.strict import integer, record, rows, table, text
from arfm_ros.engines.bundle import Bundle, file_sha256, read_json
from arfm_ros.engines.runtimes.cuda import Gpu

FOLDER, MANIFEST = "engines", "engine.json"
GRAPHS = ("view", "prefix", "step", "step_rtc")
WHOLE = ("chunk", "chunk_rtc")  # all steps in one graph, where bundle and runtime have them
FORMAT = 1


@dataclass(frozen=True, slots=True)
class Target:
    """What an engine is built for; all of it, and the bundle's hash, is in its key."""

    engine: str
    version: str  # of the runtime that builds; "" where any reads it
    precision: str
    sm: tuple[int, ...] = ()  # compute capabilities, 89 for 8.9
    gpu: str = ""  # where the engine runs on this one GPU only

    def key(self, bundle_sha256: str) -> str:
        """Hash everything that decides whether an engine is the right one."""
        text = json.dumps({**asdict(self), "bundle": bundle_sha256, "format": FORMAT})
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def folder(self, bundle_sha256: str) -> str:
        """Name the folder of the engine."""
        on = "-".join(f"sm{sm}" for sm in self.sm)
        words = (self.engine, self.precision, on, self.key(bundle_sha256))
        return "-".join(word for word in words if word)


@dataclass(frozen=True, slots=True)
class Build:
    """An opened folder of engines/: the files are those that were built."""

    path: Path
    target: Target
    bundle_sha256: str
    sha256: str  # over the built files

    @property
    def precision(self) -> str:
        """What the products of matrices are computed in."""
        return self.target.precision


def cache_folder() -> Path:
    """Return the user's folder for what can be made again: no bundle brings what lies there."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "arfm_ros"


def write_manifest(folder: Path, target: Target, bundle: Bundle, notes: Mapping[str, Any]) -> None:
    """Write engine.json for the files that lie in `folder`."""
    files = {file.name: file_sha256(file) for file in sorted(folder.iterdir())}
    raw = {"format": FORMAT, "bundle_sha256": bundle.sha256, "target": asdict(target)}
    text = json.dumps({**raw, "files": files, **notes}, indent=1)
    (folder / MANIFEST).write_text(text + "\n")


def find_build(
    bundle: Bundle, engine: str, version: str, precision: str = "", gpu: Gpu | None = None
) -> Build:
    """Find what was built for this bundle, runtime and GPU.

    Raises `BundleError` naming what there is, why each does not fit and how to make one that does.
    """
    again = build_command(bundle, engine, precision)
    fitting, reasons = [], []
    for folder in _folders(bundle.path, engine):
        build = read_manifest(folder, again)
        wrong = _misfit(build, bundle, version, precision, gpu)
        if wrong:
            reasons.append(f"{folder.name} {wrong}")
        else:
            fitting.append(build)
    if not fitting:
        have = "; ".join(reasons) or f"there is none in {bundle.path / FOLDER}"
        raise BundleError(f"no {engine} engine fits: {have}; {again}")
    if len({build.precision for build in fitting}) > 1:
        names = ", ".join(sorted(build.precision for build in fitting))
        raise BundleError(f"{engine} engines of several precisions ({names}): choose --precision")
    _check_files(fitting[0], again)
    return fitting[0]


def build_command(bundle: Bundle, engine: str, precision: str) -> str:
    """Say how to build what a bundle lacks."""
    option = f" --precision {precision}" if precision else ""
    return f"run `arfm export {bundle.path} --engine {engine}{option}`"


def _folders(bundle: Path, engine: str) -> Iterator[Path]:
    for manifest in sorted(bundle.glob(f"{FOLDER}/{engine}-*/{MANIFEST}")):
        yield manifest.parent


def _misfit(build: Build, bundle: Bundle, version: str, precision: str, gpu: Gpu | None) -> str:
    """Say why a build cannot run here; empty where it can."""
    target = build.target
    if build.bundle_sha256 != bundle.sha256:
        return f"was built from other weights ({build.bundle_sha256[:12]}…)"
    if target.version != version:
        return f"was built by {target.engine} {target.version}, here is {version}"
    if precision and target.precision != precision:
        return f"is {target.precision}, wanted is {precision}"
    if target.gpu and (gpu is None or gpu.name != target.gpu):
        return f"was built for {target.gpu}, here is {_name(gpu)}"
    if target.sm and (gpu is None or gpu.sm not in target.sm):
        wanted = ", ".join(f"SM{sm}" for sm in target.sm)
        return f"was built for {wanted}, here is {_name(gpu)}"
    return ""


def _name(gpu: Gpu | None) -> str:
    return "no GPU" if gpu is None else f"{gpu.name} (SM{gpu.sm})"


def read_manifest(folder: Path, again: str) -> Build:
    """Read engine.json of `folder`; the files are not looked at. Raises `BundleError`."""
    path = folder / MANIFEST
    raw = read_json(path, again)
    try:
        given = dict(table(raw["target"], "target"))
        sm = tuple(integer(one, "sm", (0, 10_000)) for one in rows(given.pop("sm"), "sm", 64))
        target = replace(record(Target, given, "target"), sm=sm)
        files = table(raw["files"], "files").items()
        built = {text(name, "a file"): text(value, "a hash") for name, value in files}
        sha256 = hashlib.sha256(json.dumps(built, sort_keys=True).encode()).hexdigest()
        return Build(folder, target, str(raw["bundle_sha256"]), sha256)
    except (KeyError, SpecError) as error:
        raise BundleError(f"{path} cannot be read ({error!r}): {again}") from error


def _check_files(build: Build, again: str) -> None:
    for name, wanted in read_json(build.path / MANIFEST, again)["files"].items():
        path = build.path / Path(name).name
        if not path.is_file() or file_sha256(path) != wanted:
            raise BundleError(f"{path} is missing or not what was built: {again}")
