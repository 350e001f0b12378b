"""Image encoder: a small convolution net whose keypoints say where things are, not only what."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

GROUPS = 8


class FilmBlock(nn.Module):
    """Residual 3x3 block whose normalised features the condition scales and shifts."""

    def __init__(self, channels: int, condition: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm1 = nn.GroupNorm(GROUPS, channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.film = nn.Linear(condition, 2 * channels)
        nn.init.zeros_(self.film.weight)
        nn.init.zeros_(self.film.bias)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """Map [B, C, H, W] and [B, D] to [B, C, H, W]."""
        scale, shift = self.film(condition)[:, :, None, None].chunk(2, dim=1)
        h = self.norm1(self.conv1(x)) * (1 + scale) + shift
        return F.relu(x + self.conv2(F.relu(h)))


class SpatialSoftmax(nn.Module):
    """Expected image coordinates of K learned heat maps (Levine et al. 2016, section 5.1)."""

    def __init__(self, channels: int, keypoints: int, height: int, width: int) -> None:
        super().__init__()
        self.heat = nn.Conv2d(channels, keypoints, 1)
        self.log_temperature = nn.Parameter(torch.zeros(keypoints, 1))
        y, x = torch.meshgrid(
            torch.linspace(-1, 1, height), torch.linspace(-1, 1, width), indexing="ij"
        )
        self.register_buffer("grid", torch.stack([x, y], -1).reshape(-1, 2), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, C, H, W] to [B, 3 K]: x and y in -1..1, and how peaked the map is."""
        heat = self.heat(x.float()).flatten(2) * self.log_temperature.exp()
        probability = heat.softmax(-1)
        points = (probability @ self.grid).flatten(1)
        return torch.cat([points, probability.amax(-1)], dim=1)


class CameraEncoder(nn.Module):
    """One camera: fine heat maps at a quarter of the resolution, coarse ones at an eighth.

    The fine map is sharp enough to place a small object, the coarse one sees it in its
    surroundings; coordinate channels let a heat map prefer a part of the image.
    """

    def __init__(self, size: tuple[int, int], width: int, keypoints: int, condition: int) -> None:
        super().__init__()
        height4, width4 = size[0] // 4, size[1] // 4
        self.stem = nn.Conv2d(3, width, 8, stride=4, padding=2)
        self.stem_norm = nn.GroupNorm(GROUPS, width)
        y, x = torch.meshgrid(
            torch.linspace(-1, 1, height4), torch.linspace(-1, 1, width4), indexing="ij"
        )
        self.register_buffer("coordinates", torch.stack([x, y])[None], persistent=False)
        self.mix = nn.Conv2d(2, width, 1, bias=False)
        self.fine = FilmBlock(width, condition)
        self.fine_points = SpatialSoftmax(width, keypoints // 2, height4, width4)
        self.down = nn.Conv2d(width, 2 * width, 3, stride=2, padding=1)
        self.coarse = FilmBlock(2 * width, condition)
        half = (height4 // 2, width4 // 2)
        self.coarse_points = SpatialSoftmax(2 * width, keypoints - keypoints // 2, *half)

    def forward(self, image: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        """Map [B, 3, H, W] in -1..1 to features [B, C, H/4, W/4] and [B, 2 C, H/8, W/8]."""
        x = self.stem_norm(self.stem(image)) + self.mix(self.coordinates)
        x = self.fine(F.relu(x), condition)
        return x, self.coarse(F.relu(self.down(x)), condition)

    def keypoints(self, fine: Tensor, coarse: Tensor) -> Tensor:
        """Locate the keypoints [B, 3 K] in both feature maps, in float32."""
        return torch.cat([self.fine_points(fine), self.coarse_points(coarse)], dim=1)
