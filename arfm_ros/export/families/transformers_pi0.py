"""pi0 as Hugging Face transformers has it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from arfm_ros.engines.inputs import TOKENIZER
from arfm_ros.export.family import register
from arfm_ros.export.transformers.pi0 import Pi0, made_by, make_spec, read_pi0, read_tokenizer
from arfm_ros.export.transformers.raw import raw_commands
from arfm_ros.export.vla.interface import Interface
from arfm_ros.export.vla.network import Opened, freeze


class TransformersPi0:
    """pi0 as transformers has it."""

    library, name = "transformers", "pi0"

    def takes(self, config: Mapping[str, Any]) -> bool:
        """Tell whether a checkpoint with this config.json is one."""
        return config.get("model_type") == self.name

    def open(self, folder: Path, robot: Interface, name: str) -> Opened:
        """Open what `save_pretrained` left in `folder` as policy `name` for `robot`."""
        # attention in plain operators: the fused one's derivative cannot be exported
        model, settings = read_pi0(folder, attn_implementation="eager")
        spec = make_spec(model.config, settings, robot, name)
        return Opened(
            network=Pi0(freeze(model), settings["image_processor"], len(robot.cameras)),
            spec=spec,
            tokenizer=read_tokenizer(folder / TOKENIZER),
            made_by=made_by(),
            commands=raw_commands(model, folder, robot, spec),
        )


register(TransformersPi0())
