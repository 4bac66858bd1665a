"""A replay cannot send: nothing that the replay job imports, however far down, belongs to the live path."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]


def imported(module: Path) -> set[str]:
    """Modules of ours that this file imports anywhere in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return {
        name for name in found if name.split(".")[0] in ("schemas", "models", "streams", "bench", "tests")
    }


def file_of(name: str) -> Path | None:
    path = ROOT.joinpath(*name.split("."))
    candidates = (path.with_suffix(".py"), path / "__init__.py")
    return next((one for one in candidates if one.is_file()), None)


def reached(folder: Path) -> dict[Path, set[str]]:
    """Every module of ours that the modules of a folder import, directly or not, with what it imports itself."""
    pending, found = list(folder.glob("*.py")), dict[Path, set[str]]()
    while pending:
        module = pending.pop()
        if module not in found:
            found[module] = imported(module)
            pending += [file for name in found[module] if (file := file_of(name)) is not None]
    return found


def test_the_import_graph_of_the_replay_job_stays_out_of_streams() -> None:
    graph = reached(ROOT / "models" / "replay")
    for module, names in graph.items():
        assert not [name for name in names if name.split(".")[0] == "streams"], module
    assert len(graph) > 15


def test_import_arrows_go_one_way() -> None:
    for room, barred in (("schemas", ("models", "streams")), ("models", ("streams",))):
        for module in (ROOT / room).rglob("*.py"):
            assert not [name for name in imported(module) if name.split(".")[0] in barred], module


def test_the_running_command_line_of_the_job_has_loaded_nothing_of_the_live_path() -> None:
    code = (
        "import sys, models.replay.__main__ as job; "
        "print([name for name in sys.modules if name.split('.')[0] in ('streams', 'faust')])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_command_line_loads_no_learning_library_before_it_needs_one() -> None:
    code = (
        "import sys, models.replay.__main__ as job; job.parser(); "
        "print([name for name in ('torch', 'optuna', 'mlflow', 'lightgbm') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
