"""The walls of the house: who imports whom, where the environment is read, how long a file and a function may be."""

import ast
import re
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "conversions_assets"
FILES = sorted(PACKAGE.rglob("*.py"))
DAGSTER_ROOMS = ("components", "assets", "automation")
# The demo plays a user: it starts Dagster and stands outside of the house.
OUTSIDE = ("demo", "defs")
# Each room may import itself and what stands below it.
ORDER_OF_ROOMS = (
    "definitions",
    "components",
    "testing",
    "automation",
    "assets",
    "adjustment",
    "prediction",
    "contract",
    "crm",
    "warehouse",
    "project",
)


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return names


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_walls(path: Path) -> None:
    own = room(path)
    names = imported(path)
    if own not in (*DAGSTER_ROOMS, *OUTSIDE, "definitions"):
        assert not [name for name in names if name.split(".")[0] == "dagster"], "Dagster outside of its rooms"
    if own in ORDER_OF_ROOMS:
        rooms = {name.split(".")[1] for name in names if name.startswith("conversions_assets.")}
        above = [
            other
            for other in rooms
            if other in ORDER_OF_ROOMS and ORDER_OF_ROOMS.index(other) < ORDER_OF_ROOMS.index(own)
        ]
        assert not above, f"{own} imports what stands above it"
        assert "demo" not in rooms


def test_the_environment_is_read_in_one_place() -> None:
    readers = {room(path) for path in FILES if re.search(r"os\.environ|os\.getenv", path.read_text(encoding="utf-8"))}
    # suite.py switches Great Expectations' analytics off; the demo's entry point sets DAGSTER_HOME.
    assert readers - {"contract", "demo"} == {"project"}


def test_files_and_functions_fit_on_a_few_screens() -> None:
    for path in FILES:
        text = path.read_text(encoding="utf-8")
        assert text.count("\n") <= 400, path
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef):
                assert (node.end_lineno or 0) - node.lineno < 60, f"{path}:{node.lineno} {node.name}"


def test_nothing_heavy_is_imported_when_definitions_load(tmp_path: Path) -> None:
    import os
    import subprocess
    import sys

    # Where there is a DuckDB file that has changed, DuckDB is asked for its columns (0.1 s).
    environment = {**os.environ, "CONVERSIONS_DUCKDB_PATH": str(tmp_path / "none.duckdb")}

    heavy = ("great_expectations", "sklearn", "pandas", "google.cloud.bigquery", "pygal", "matplotlib", "duckdb", "dlt")
    program = (
        "import sys; from conversions_assets.definitions import defs; defs(); defs();"
        f"print([name for name in {heavy!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_public_functions_and_classes_have_docstrings() -> None:
    for path in FILES:
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
                documented = ast.get_docstring(node) or path.name == "conversion.py" or node.name.endswith("_key")
                assert documented, f"{path}:{node.lineno} {node.name}"
