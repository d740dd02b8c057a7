"""The wheel holds everything that a run needs; the project's files name no registry and no machine."""

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def test_the_wheel_holds_sql_and_yaml(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    [wheel] = tmp_path.glob("*.whl")
    packed = set(zipfile.ZipFile(wheel).namelist())
    ours = (path for kind in ("*.sql", "*.yaml", "py.typed") for path in (ROOT / "conversions_assets").rglob(kind))
    assert {str(path.relative_to(ROOT)) for path in ours} <= packed


def test_the_lock_pins_every_package_and_names_no_registry() -> None:
    lines = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    requirements = [line for line in lines if line and not line.lstrip().startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9_.\[\]-]+==[^\s;]+( ;.*)?", line) for line in requirements)
    assert not [line for line in lines if "://" in line or "index-url" in line]


@pytest.mark.parametrize(
    "name", ["pyproject.toml", "Makefile", "README.md", ".ci/run", "dagster.yaml", "workspace.yaml"]
)
def test_no_file_names_a_path_of_this_machine(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    assert not re.search(r"/work/|/root/|/home/\w", text)
