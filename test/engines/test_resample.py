"""Images in the policy's size: as Pillow resamples, in proportion, with the rest black."""

from __future__ import annotations

import numpy as np
import pytest

from arfm_ros.core.errors import SpecError
from arfm_ros.core.values.spec import CameraInput
from arfm_ros.engines.resample import fit_image, inner_size, inside

PICTURE = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)


@pytest.mark.parametrize("kind", ["bilinear", "bicubic"])
@pytest.mark.parametrize("size", [(20, 31), (60, 90), (24, 32)])
def test_resampling_is_pillow_s_within_one_grey_level(kind: str, size: tuple[int, int]) -> None:
    image = pytest.importorskip("PIL.Image")
    wanted = image.fromarray(PICTURE).resize(size[::-1], image.Resampling[kind.upper()])
    got = fit_image(PICTURE, CameraInput("scene", *size, kind))
    assert np.abs(got.astype(int) - np.asarray(wanted).astype(int)).max() <= 1


@pytest.mark.parametrize("before", [(480, 640), (224, 224), (230, 230), (100, 90)])
@pytest.mark.parametrize("after", [(256, 256), (224, 224), (32, 64)])
def test_bicubic_is_torch_s_to_the_bit(before: tuple[int, int], after: tuple[int, int]) -> None:
    torch = pytest.importorskip("torch")
    picture = np.random.default_rng(1).integers(0, 256, (*before, 3), dtype=np.uint8)
    planes = torch.from_numpy(picture).permute(2, 0, 1)[None]
    wanted = torch.nn.functional.interpolate(planes, after, mode="bicubic", antialias=True)
    got = fit_image(picture, CameraInput("scene", *after, "bicubic"))
    np.testing.assert_array_equal(got, wanted[0].permute(1, 2, 0).numpy())


@pytest.mark.parametrize(("pad", "top"), [("end", 0), ("centre", 4), ("start", 8)])
def test_a_picture_keeps_its_proportions_and_black_fills_the_rest(pad: str, top: int) -> None:
    camera = CameraInput("scene", 32, 32, "bicubic", pad, masked=True)
    assert inner_size(48, 64, camera) == (24, 32)
    got, where = fit_image(PICTURE, camera), inside(48, 64, camera)
    assert got.shape == (32, 32, 3) and where.sum() == 24 * 32
    assert where[top].all() and where[top + 23].all()
    assert not got[~where].any() and got[where].mean() > 100


def test_an_image_of_the_right_size_is_left_alone() -> None:
    got = fit_image(PICTURE, CameraInput("scene", 48, 64, "bicubic", "end"))
    np.testing.assert_array_equal(got, PICTURE)


def test_an_unknown_filter_is_refused() -> None:
    with pytest.raises(SpecError, match="filter 'nearest', needs one of area, linear"):
        CameraInput("scene", 32, 32, "nearest")


def test_an_exact_picture_is_not_rounded() -> None:
    sizes = {"height": 20, "width": 31, "filter": "linear"}
    got = fit_image(PICTURE, CameraInput("scene", **sizes, exact=True))
    rounded = fit_image(PICTURE, CameraInput("scene", **sizes))
    assert got.dtype == np.float32 and rounded.dtype == np.uint8
    assert 0.1 < np.abs(got - rounded).max() < 1.0
    same = fit_image(PICTURE, CameraInput("scene", 48, 64, "linear", exact=True))
    assert same.dtype == np.float32 and (same == PICTURE).all()
    with pytest.raises(SpecError, match="filter 'bicubic' rounds, exact needs one of area"):
        CameraInput("scene", 32, 32, "bicubic", exact=True)
