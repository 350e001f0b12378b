"""From an observation to what a bundle's prefix graph takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from arfm_ros.core.errors import BundleError, PackageError, SpecError
from arfm_ros.core.values.data import Observation
from arfm_ros.core.values.spec import CameraInput, Language, PolicySpec
from arfm_ros.core.values.text import compose, tokenize
from arfm_ros.engines.resample import fit_image, inside

TOKENIZER = "tokenizer.json"
Array = NDArray[np.generic]
Text = Mapping[str, NDArray[np.int64]]


class Inputs:
    """Prepare images, state and text for the graph; the last text and masks are kept."""

    def __init__(self, spec: PolicySpec, folder: Path | None = None) -> None:
        self.spec = spec
        self._read = text_reader(spec.language, folder)
        self._text: tuple[str, Text] | None = None
        self._inside: dict[tuple[CameraInput, int, int], NDArray[np.bool_]] = {}

    def __call__(self, observation: Observation) -> dict[str, Array]:
        """Return image_<camera> [1, H, W, 3], state [1, S], tokens [1, L] and masks.

        A state that is part of the text is not there a second time. With a history of n
        observations images are [1, n, H, W, 3], masks [1, n, H, W] and states [1, n, S], oldest
        first. Raises `SpecError` for an observation that does not fit.
        """
        spec = self.spec
        spec.check(observation)
        parts = [self._sight(one) for one in spec.history.complete(observation)]
        state = parts[-1]["state"]
        feed = parts[0] if len(parts) == 1 else _stack(parts)
        feed = {name: value[None] for name, value in feed.items()}
        if spec.language.state_bins:
            del feed["state"]
        text = compose(spec.language, observation.instruction, state)
        if self._text is None or self._text[0] != text:
            self._text = (text, self._read(text))
        return {**feed, **self._text[1]}

    def _sight(self, observation: Observation) -> dict[str, Any]:
        """Prepare images, masks and state of one observation."""
        made: dict[str, Any] = {}
        for camera in self.spec.cameras:
            image = observation.images[camera.name]
            made[f"image_{camera.name}"] = fit_image(image, camera)
            if camera.masked:
                made[f"inside_{camera.name}"] = self._mask(camera, *image.shape[:2])
        state = np.asarray(observation.state, dtype=np.float32)
        return made | {"state": self.spec.state_norm.normalise(state)}

    def _mask(self, camera: CameraInput, height: int, width: int) -> NDArray[np.bool_]:
        key = (camera, height, width)
        if key not in self._inside:
            self._inside[key] = inside(height, width, camera)
        return self._inside[key]


def _stack(parts: Sequence[Mapping[str, Array]]) -> dict[str, Array]:
    return {name: np.stack([part[name] for part in parts]) for name in parts[0]}


def text_reader(language: Language, folder: Path | None) -> Callable[[str], Text]:
    """Return what turns a text into `tokens`, and with a tokenizer `mask`, [1, L].

    Nothing for a policy without language. Raises `BundleError` if `folder` has no tokenizer, or
    this machine no library for it.
    """
    if language.mode == "none":
        return lambda text: {}
    if language.mode != "tokenizer":
        return lambda text: {"tokens": tokenize(text, language.length, language.vocabulary)[None]}
    tokenizer = _open_tokenizer(folder)

    def read(text: str) -> Text:
        ids = tokenizer(text)
        if len(ids) > language.length:
            raise SpecError(
                f"instruction has {len(ids)} tokens, policy takes {language.length}: shorten it"
            )
        tokens = np.full((1, language.length), language.pad_id, dtype=np.int64)
        tokens[0, : len(ids)] = ids
        return {"tokens": tokens, "mask": np.arange(language.length)[None] < len(ids)}

    return read


def _open_tokenizer(folder: Path | None) -> Callable[[str], list[int]]:
    path = None if folder is None else folder / TOKENIZER
    if path is None or not path.is_file():
        raise BundleError(f"{TOKENIZER} is missing in {folder}: export the bundle again")
    try:
        from tokenizers import Tokenizer
    except ImportError as error:
        raise PackageError(
            "this bundle needs the package 'tokenizers': install the extra "
            "(pip install 'arfm_ros[words]'); ./arfm does so for a bundle that needs it"
        ) from error
    try:
        tokenizer = Tokenizer.from_file(str(path))
        tokenizer.no_truncation()
        tokenizer.no_padding()
    except Exception as error:  # noqa: BLE001  the library raises nothing more special
        raise BundleError(f"{path} is no tokenizer ({error}): export the bundle again") from error
    return lambda text: list(tokenizer.encode(text, add_special_tokens=False).ids)
