"""Where a policy's server is and what it calls the robot's inputs, as a bundle says it."""

from __future__ import annotations

from collections.abc import ItemsView, Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from arfm_ros.core.errors import BundleError, SpecError
from arfm_ros.core.values.spec import PolicySpec
from arfm_ros.core.values.strict import number, rows, table, text
from arfm_ros.engines.server.trust import NEEDED, NOTHING, SCHEMES, Access, host_of

TIMEOUT_MAX_S = 60.0
AXES = 1024  # of the state, at most
PICKLES = (
    "LeRobot's policy server (grpc://) sends and takes pickles, which run code of whoever sent "
    "them: export the checkpoint itself (lerobot:FOLDER), or serve it by openpi's protocol"
)


@dataclass(frozen=True, slots=True)
class Server:
    """Where the server is, and what it calls the robot's inputs."""

    uri: str  # ws://host:port, see `SCHEMES`
    images: Mapping[str, str]  # the server's name -> the robot's camera
    state: Mapping[str, tuple[str, ...]]  # the server's name -> state axes, in its order
    prompt: str = "prompt"
    actions: tuple[str, ...] = ()  # the server's names in the order of ours; (): its own
    timeout_s: float = 10.0  # for an answer

    def __post_init__(self) -> None:
        if self.scheme == "grpc":
            raise BundleError(PICKLES)
        if self.scheme not in SCHEMES:
            raise BundleError(f"server '{self.uri[:100]}', needs {NEEDED}")
        host_of(self.uri)
        if not 0 < self.timeout_s <= TIMEOUT_MAX_S:
            raise BundleError(f"timeout_s is {self.timeout_s}, needs up to {TIMEOUT_MAX_S:g}")

    @property
    def scheme(self) -> str:
        """Name the protocol of the address."""
        return self.uri.partition("://")[0]

    @property
    def where(self) -> str:
        """The server, for messages."""
        return f"policy server {self.uri}"

    def to_json(self) -> dict[str, Any]:
        """Return plain values; `from_json` reads them back equal."""
        return asdict(self)

    @staticmethod
    def from_json(raw: Mapping[str, Any], access: Access = NOTHING) -> Server:
        """Read what `to_json` wrote. Raises `BundleError` naming what does not fit.

        Bundles of earlier versions may name the variable of a key; the operator has to do that.
        """
        given = dict(raw)
        asked = given.pop("key_variable", "")
        if asked and not access.key_variable:
            raise BundleError(
                f"the bundle asks for a key in {str(asked)[:80]!r}: which variable is sent to "
                f"the server {str(given.get('uri'))[:80]} is for you to say (key_variable, or "
                "--key-variable)"
            )
        try:
            images = {text(k, "images"): text(v, "images") for k, v in _map(given, "images")}
            state = {text(k, "state"): _names(axes) for k, axes in _map(given, "state")}
            plain = {n: text(given[n], n) for n in ("uri", "prompt") if n in given}
            actions = given.get("actions", ())
            actions = (actions,) if isinstance(actions, str) else actions
            timeout_s = number(given.get("timeout_s", 10.0), "timeout_s")
            unknown = given.keys() - {one.name for one in fields(Server)}
            if unknown:
                raise SpecError(f"it has {', '.join(sorted(unknown))[:80]}")
            keys = _names(actions, "actions")
            return Server(images=images, state=state, actions=keys, timeout_s=timeout_s, **plain)
        except (KeyError, TypeError, SpecError) as error:
            raise BundleError(f"'remote' in policy.json is incomplete: {error!r}") from error

    def check(self, spec: PolicySpec) -> None:
        """Raise `BundleError` unless every input is one that `spec` knows."""
        cameras = [camera.name for camera in spec.cameras]
        axes = [axis for names in self.state.values() for axis in names]
        for kind, asked, known in (
            ("camera", list(self.images.values()), cameras),
            ("state", axes, list(spec.state_names)),
        ):
            unknown = [name for name in asked if name not in known]
            if unknown:
                have = ", ".join(known)
                raise BundleError(f"the server wants {kind} {', '.join(unknown)}, spec has {have}")


def _names(raw: Iterable[object], what: str = "state") -> tuple[str, ...]:
    return tuple(text(name, what) for name in rows([*raw], what, AXES))


def _map(raw: Mapping[str, Any], name: str) -> ItemsView[str, Any]:
    return table(raw[name], name).items()
