"""Find the verb's file by name, parse its arguments and run it."""

from __future__ import annotations

import argparse
import ast
import importlib
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from arfm_ros.bringup import prepare_environment
from arfm_ros.core.errors import ArfmError
from arfm_ros.core.numbers import finite

FOLDER = Path(__file__).parent
ELASTIC = "TORCHELASTIC_RUN_ID"  # in the environment of what torchrun starts


def verbs() -> Mapping[str, str]:
    """Map each verb to its one-line help, read without importing its file."""
    files = sorted(path for path in FOLDER.glob("*.py") if not path.stem.startswith("_"))
    found = {path.stem: help_line(path) for path in files}
    found |= {path.parent.name: help_line(path) for path in sorted(FOLDER.glob("*/__init__.py"))}
    return {verb: line for verb, line in found.items() if line is not None}


def help_line(path: Path) -> str | None:
    """Return the literal `HELP = "..."` of a verb's file, None where there is none."""
    for node in ast.parse(path.read_text()).body:
        names = [t.id for t in _targets(node) if isinstance(t, ast.Name)]
        value = getattr(node, "value", None)
        if "HELP" in names and value is not None:
            return str(ast.literal_eval(value))
    return None


def _targets(node: ast.stmt) -> list[ast.expr]:
    if isinstance(node, ast.Assign):
        return node.targets
    return [node.target] if isinstance(node, ast.AnnAssign) else []


def overview() -> str:
    """Return what `arfm --help` shows."""
    lines = "\n".join(f"  {verb:<9}{line}" for verb, line in verbs().items())
    return (
        "usage: ./arfm VERB [options]      (./arfm VERB --help says more)\n\n"
        f"{lines}\n\n"
        "Start with: ./arfm up franka --sim"
    )


class Parser(argparse.ArgumentParser):
    """A parser whose floats, those of its sub-commands too, are finite: `nan` passes checks."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.register("type", float, _finite)


def _finite(text: str) -> float:
    try:
        return finite(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"'{text}', needs a finite number") from error


def main(argv: Sequence[str] | None = None) -> int:
    """Run `arfm VERB ...`; return the exit status (2: wrong use, 130: Ctrl-C)."""
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] in {"-h", "--help", "help"}:
        print(overview())
        return 0
    verb = words[0]
    if verb not in verbs():
        print(f"arfm: there is no verb '{verb}'\n\n{overview()}", file=sys.stderr)
        return 2
    prepare_environment()
    module = importlib.import_module(f"arfm_ros.cli.{verb}")
    parser = Parser(prog=f"arfm {verb}", description=module.HELP)
    module.add_arguments(parser)
    arguments = parser.parse_args(words[1:])
    try:
        return int(module.run(arguments))
    except ArfmError as error:
        print(f"arfm {verb}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # whoever reads has enough, as `head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE


def run(argv: Sequence[str] | None = None) -> NoReturn:
    """End the process with the status of `arfm VERB ...`.

    Where torchrun started it the interpreter is not taken down: threads of gloo live on, and one
    that lets go of a tensor then aborts the process ("terminate called without an active
    exception", PyTorch 2.10 and 2.11).
    """
    status = main(argv)
    if ELASTIC in os.environ:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    sys.exit(status)


if __name__ == "__main__":
    run()
