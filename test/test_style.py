"""The style gate of the package, as tests."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FILE_LINES, FUNCTION_LINES, FOLDER_LEVELS, FOLDER_FILES = 300, 40, 2, 16
FORBIDDEN_NAMES = re.compile(r"(^|_)(utils?|helpers?|manager|base)(_|$)", re.IGNORECASE)
# Paths of one machine and hosts of package registries have no place in a repository.
MACHINE_PATH = re.compile(r"/work/|/root/|/home/\w+/|/Users/|[\"' =]/tmp/|pypi\.org|pythonhosted")

TEXT = {".py", ".md", ".xml", ".yaml", ".toml", ".cfg", ".json", ""}


def sources() -> list[Path]:
    """List the package's Python files."""
    return sorted((ROOT / "arfm_ros").rglob("*.py"))


def tracked() -> list[Path]:
    """List the files that git knows; without git, those of the package."""
    done = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        return sources()
    return [ROOT / name for name in done.stdout.splitlines() if (ROOT / name).is_file()]


def run(*words: str) -> str:
    """Run a tool of this Python on the tree; return "" or what it complains about."""
    done = subprocess.run(
        [sys.executable, "-m", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    return "" if done.returncode == 0 else done.stdout + done.stderr


def functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Give every function of a file."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node


def test_ruff_finds_nothing() -> None:
    pytest.importorskip("ruff")
    assert run("ruff", "check", "--no-cache", ".") == ""


def test_the_core_passes_mypy_strict() -> None:
    pytest.importorskip("mypy")
    assert run("mypy", "--strict", "arfm_ros/core") == ""


def test_no_file_is_longer_than_the_limit() -> None:
    lengths = {path: len(path.read_text().splitlines()) for path in sources()}
    assert {str(p): n for p, n in lengths.items() if n > FILE_LINES} == {}


def test_no_function_is_longer_than_the_limit() -> None:
    long = [
        f"{path.relative_to(ROOT)}:{f.lineno} {f.name} {(f.end_lineno or 0) - f.lineno + 1}"
        for path in sources()
        for f in functions(ast.parse(path.read_text()))
        if (f.end_lineno or 0) - f.lineno + 1 > FUNCTION_LINES
    ]
    assert long == []


def test_folders_are_at_most_two_levels_deep() -> None:
    deep = [p for p in sources() if len(p.relative_to(ROOT).parts) - 1 > FOLDER_LEVELS + 1]
    assert deep == []


def test_no_folder_has_more_files_than_one_can_look_through() -> None:
    files = [*sources(), *(ROOT / "test").rglob("*.py")]
    counts = Counter(str(path.parent.relative_to(ROOT)) for path in files)
    assert {folder: n for folder, n in counts.items() if n > FOLDER_FILES} == {}


def test_nothing_is_named_after_nothing() -> None:
    files = [p.stem for p in sources() if FORBIDDEN_NAMES.search(p.stem)]
    classes = [
        f"{path.name}: {node.name}"
        for path in sources()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef) and re.search(r"Manager|Base$|^Base|Helper", node.name)
    ]
    assert files + classes == []


def test_every_public_function_and_class_says_what_it_does() -> None:
    silent = []
    for path in sources():
        for node in ast.parse(path.read_text()).body:
            named = isinstance(node, (ast.FunctionDef, ast.ClassDef))
            if named and not node.name.startswith("_") and not ast.get_docstring(node):
                silent.append(f"{path.relative_to(ROOT)}: {node.name}")
    assert silent == []


def machine_paths(path: Path) -> Iterator[str]:
    """Give the lines of a text file that name a path of one machine."""
    if path.suffix not in TEXT or path.name == Path(__file__).name:
        return
    for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
        if MACHINE_PATH.search(line):
            yield f"{path.relative_to(ROOT)}:{number}: {line.strip()[:80]}"


def test_no_file_names_a_path_of_one_machine() -> None:
    assert [line for path in tracked() for line in machine_paths(path)] == []
