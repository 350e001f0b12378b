"""Parameters of the console node."""

from __future__ import annotations

from dataclasses import dataclass

from arfm_ros.console.doors import is_loopback
from arfm_ros.core.errors import ConfigError
from arfm_ros.nodes.ros.params import knob


@dataclass(frozen=True)
class ConsoleParams:
    """Where the page is, who is let in, and whether it drives the arm."""

    host: str = knob("127.0.0.1", "address to listen on; any but loopback needs token and TLS")
    port: int = knob(8420, "port to listen on, 0: any that is free", 0, 65535)
    names: tuple[str, ...] = knob((), "names of this machine under which the page is opened")
    token_file: str = knob(
        "", "file with the token, made where it is missing; '': none (loopback only)"
    )
    session_h: float = knob(12.0, "hours after which a page has to give the token again", 0.001)
    certificate: str = knob("", "file of the TLS certificate")
    key: str = knob("", "file of its key, readable by its owner only")
    make_certificate: str = knob("", "folder for a certificate of the console's own making")
    robot: str = knob("fr3", "name in config/robots, or the path of a YAML")
    group: str = knob("", "arm that the page drives, '': the first")
    teleop: bool = knob(False, "whether the page drives: no other device may")
    state_hz: float = knob(10.0, "how often the page is told the state", 1.0, 30.0)
    picture_hz: float = knob(12.0, "most pictures a second of each camera and page", 1.0, 60.0)
    idle_s: float = knob(120.0, "an operator without an action for so long may be relieved", 1.0)

    def __post_init__(self) -> None:
        own = bool(self.make_certificate)
        if bool(self.certificate) != bool(self.key) or own and self.certificate:
            raise ConfigError("give certificate and key, or make_certificate, not a part of each")
        if is_loopback(self.host):
            return
        if not self.token_file or not (own or self.certificate):
            raise ConfigError(
                f"host is '{self.host}', which others reach: set token_file, and certificate and "
                "key or make_certificate (docs/console.md)"
            )
