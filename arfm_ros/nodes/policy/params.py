"""The parameters of the policy node."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from arfm_ros.core.chunks.reuse import Sameness
from arfm_ros.core.errors import ConfigError
from arfm_ros.core.values.senses import Stillness
from arfm_ros.installed import share
from arfm_ros.nodes.policy.doubt import GO_ON, STOP
from arfm_ros.nodes.policy.values import Pacing
from arfm_ros.nodes.policy.wiring import Wiring, camera_sizes
from arfm_ros.nodes.ros.axis_reader import AxisReader
from arfm_ros.nodes.ros.params import knob
from arfm_ros.nodes.ros.robot_topics import camera_rows
from arfm_ros.nodes.ros.topics import Topic
from arfm_ros.robots.files.load import load_robot
from arfm_ros.robots.robot import Robot
from arfm_ros.words.lexicon import WORDS, Lexicon, load_lexicon

NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class PolicyParams:
    """Parameters of the node; those marked "next configure" wait for that transition."""

    bundle: str = knob("", "bundle folder or name in models/; swapped to while active", live=True)
    autostart: bool = knob(True, "configure and activate without being asked")
    engine: str = knob("onnx", "one of docs/engines.md, next configure", live=True)
    precision: str = knob("", "one of docs/engines.md; '' as built, next configure", live=True)
    providers: tuple[str, ...] = knob(
        ("default",), "by preference (docs/engines.md), next configure", live=True
    )
    threads: int = knob(2, "inference threads, next configure", 1, 64, live=True)
    period_s: float = knob(0.1, "shortest time between two inferences", 0.0, 10.0, live=True)
    steps: int = knob(0, "steps from noise to chunk; 0: as the bundle says", 0, 1000, live=True)
    deadline_s: float = knob(0.0, "cut the steps short after this; 0: never", 0.0, 10.0, live=True)
    guide: bool = knob(True, "follow on from the previous chunk if the policy can", live=True)
    reuse: float = knob(0.0, "grey levels within which a context is reused", 0, 255, live=True)
    reuse_views: float = knob(
        0.0,
        "grey levels within which a camera is not encoded again, of bundles exported with --views",
        0,
        255,
        live=True,
    )
    fast_slow: bool = knob(
        False, "contexts in a thread of their own, beside the chunks; next activate", live=True
    )
    seed: int = knob(0, "seed of the noise; chunk k uses (seed, k)", 0, 2**31 - 1, live=True)
    max_failures: int = knob(10, "engine errors in a row before giving up", 1, 1000, live=True)
    patience_s: float = knob(
        3.0, "shortest time that engine errors last before giving up", 0.0, 3600.0, live=True
    )
    ask_above: float = knob(
        0.0, "ask where two samples differ by more of an axis' range; 0: never", 0, 10, live=True
    )
    ask_default: str = knob("stop", "answer when nobody does", choices=(GO_ON, STOP))
    ask_timeout_s: float = knob(20.0, "time for an answer", 0.1, 3600.0)
    obey_unknown: bool = knob(
        False, "obey an instruction that means nothing to the policy", live=True
    )
    default_instruction: str = knob("", "used until one is published", live=True)
    words: str = knob("", "YAML of words that are no instruction, '': config/words.yaml")
    robot: str = knob("fr3", "name in config/robots, or a YAML; next configure", live=True)
    cameras: tuple[str, ...] = knob(
        (), "cameras as name or name=topic, empty: the robot's, next configure", live=True
    )
    transport: str = knob(
        "raw",
        "image transport, next configure; a topic that ends in /compressed is",
        choices=("raw", "compressed"),
        live=True,
    )
    dt_s: float = knob(
        0.05, "time between actions the robot expects, next configure", 0.001, 1.0, live=True
    )
    max_age_s: float = knob(0.3, "oldest usable input, next configure", 0.01, 10.0, live=True)
    tolerance_s: float = knob(
        0.04, "largest difference of stamps in a set, next configure", 0.0, 1.0, live=True
    )
    min_camera_hz: float = knob(5.0, "slowest usable camera, next configure", 0.0, live=True)
    min_state_hz: float = knob(15.0, "slowest usable joint states, next configure", 0.0, live=True)

    swap_timeout_s: float = knob(
        120.0, "time in which a bundle to swap to has to prove itself", 1.0, 3600.0, live=True
    )
    key_variable: str = knob(
        "", "environment variable with the key of a policy's server, next configure", live=True
    )
    allow_plain: bool = knob(
        False, "unencrypted to a policy's server on another machine, next configure", live=True
    )
    limit_tolerance: float = knob(
        0.05,
        "share of a range that a measured state may be beyond it, next activate",
        0.0,
        1.0,
        live=True,
    )
    camera_sizes: tuple[str, ...] = knob(
        (), "pictures' sizes as name=WIDTHxHEIGHT; else as the first, next activate", live=True
    )
    frozen_after_s: float = knob(
        0.5,
        "longest that pictures repeat while the arm moves; 0: any, next activate",
        0.0,
        60.0,
        live=True,
    )
    frozen_motion: float = knob(
        0.1, "rad of a joint that count as the arm moving, next activate", 0.001, 3.0, live=True
    )

    def lexicon(self) -> Lexicon:
        """Return what words mean; raises `ConfigError`."""
        return load_lexicon(Path(self.words) if self.words else share("config", WORDS))

    def value(self) -> Robot:
        """Return the robot; raises `ConfigError`."""
        return load_robot(self.robot)

    def camera_topics(self, robot: Robot) -> dict[str, Topic]:
        """Return the topic of each camera's pictures; raises `ConfigError` for a wrong entry."""
        jpeg = self.transport == "compressed"
        return {
            name: rows.compressed if jpeg or rows.named_compressed else rows.raw
            for name, rows in camera_rows(robot, self.cameras).items()
        }

    def wiring(self, names: tuple[str, ...]) -> Wiring:
        """Give the inputs of a policy that wants the cameras `names`."""
        robot = self.value()
        cameras = self.camera_topics(robot)
        reader = AxisReader(robot)
        sizes = camera_sizes(self.camera_sizes)
        unknown = [name for name in sizes if name not in cameras]
        if unknown:
            have = ", ".join(cameras)
            raise ConfigError(f"camera_sizes names {', '.join(unknown)}, cameras are: {have}")
        return Wiring(
            cameras={name: cameras[name] for name in names},
            states=reader.topics,
            reader=reader,
            tolerance_ns=int(self.tolerance_s * NS),
            max_age_ns=int(self.max_age_s * NS),
            min_camera_hz=self.min_camera_hz,
            min_state_hz=self.min_state_hz,
            limit_tolerance=self.limit_tolerance,
            sizes=sizes,
            stillness=Stillness(int(self.frozen_after_s * NS), self.frozen_motion),
        )

    def pacing(self) -> Pacing:
        """Give what the worker may be told while it runs."""
        return Pacing(
            period_ns=int(self.period_s * NS),
            steps=self.steps,
            seed=self.seed,
            deadline_ns=int(self.deadline_s * NS),
            max_failures=self.max_failures,
            guide=self.guide,
            sameness=Sameness(image=self.reuse),
            patience_ns=int(self.patience_s * NS),
            ask_above=self.ask_above,
            reuse_views=self.reuse_views,
            obey_unknown=self.obey_unknown,
        )
