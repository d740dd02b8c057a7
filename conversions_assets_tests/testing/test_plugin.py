"""pytest finds test files by itself, in this repository and in a user's package."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from conversions_assets_tests.deployment import ORDER_SQL, ORDER_YAML, Deployment, make_deployment

ROOT = Path(__file__).parent.parent.parent
TEST = """\
cases:
  - name: an order is a conversion
    given:
      shop.orders:
        - {id: "1", client_id: "1.2", created: 2026-01-05T10:00:00Z, value: 10.0}
    expect:
      - {id: "1", value: 10}
  - name: an order has a currency
    given:
      shop.orders:
        - {id: "1", client_id: "1.2", created: 2026-01-05T10:00:00Z, value: 10.0}
    expect:
      - {id: "1", currency: EUR}
"""
TEST_FILE = "conversions/order/order.test.yaml"


def run_pytest(deployment: Deployment, *arguments: str) -> str:
    """pytest in a process of its own, in the user's project folder."""
    environment = os.environ | deployment.environment
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments],
        cwd=deployment.root,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    return f"exit {done.returncode}\n{done.stdout}{done.stderr}"


@pytest.fixture
def deployment(tmp_path: Path) -> Deployment:
    return make_deployment(tmp_path, {TEST_FILE: TEST})


def test_the_cases_of_a_users_package_are_found_and_pass(deployment: Deployment) -> None:
    said = run_pytest(deployment, "-v")
    assert "exit 0" in said
    assert "order.test.yaml::an order is a conversion PASSED" in said
    assert "2 passed" in said
    one = run_pytest(deployment, str(deployment.defs / TEST_FILE), "-k", "currency")
    assert "1 passed, 1 deselected" in one


def test_they_run_under_xdist_and_a_failing_one_shows_the_table_and_no_python(deployment: Deployment) -> None:
    deployment.write({"conversions/order/order.sql": ORDER_SQL.replace("value\n", "value * 2 AS value\n")})
    said = run_pytest(deployment, "--numprocesses", "1", "--dist", "loadfile")
    assert "exit 1" in said
    assert "1 failed, 1 passed" in said
    assert f"{deployment.defs / TEST_FILE}:2: an order is a conversion\n" in said
    assert "  line  id  column  expected  got\n  7     1   value   10        20.0\n" in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({TEST_FILE: "case: []\n"}, "order.test.yaml:1: `case` is no key of the file"),
        ({"conversions/order/order.sql": "SELECT id FROM"}, "order.sql:1:"),
        ({"conversions/order/defs.yaml": ORDER_YAML.replace("query", "qery")}, "defs.yaml:1: there is no `query:`"),
    ],
)
def test_a_wrong_file_fails_alone_and_without_python(deployment: Deployment, files: dict[str, str], says: str) -> None:
    deployment.write({f"conversions/other/{name}": text for name, text in (("defs.yaml", ORDER_YAML),)})
    deployment.write({"conversions/other/order.sql": ORDER_SQL, "conversions/other/order.test.yaml": TEST})
    deployment.write(files)
    said = run_pytest(deployment)
    assert "exit 1" in said
    assert "2 passed" in said
    assert says in said
    assert "  fix: " in said
    assert "Traceback" not in said


def test_a_wrong_project_file_is_told_without_python(deployment: Deployment) -> None:
    (deployment.root / "project.yaml").write_text("timezone: Berlin\n", encoding="utf-8")
    said = run_pytest(deployment)
    assert "'Berlin' is not an IANA time zone" in said
    assert "Traceback" not in said


def test_the_types_of_a_committed_schema_file_are_used(deployment: Deployment) -> None:
    columns = "{id: STRING, client_id: STRING, created: TIMESTAMP, value: FLOAT64, status: STRING}"
    deployment.write({"crm/shop/shop.schema.yaml": f"tables:\n  orders: {columns}\n"})
    assert "2 passed" in run_pytest(deployment)
    deployment.write({TEST_FILE: TEST.replace("value: 10.0", "value: 10.0, status: null, valeu: 1")})
    said = run_pytest(deployment)
    assert "order.test.yaml:5: shop.orders has no column `valeu`" in said
    assert "fix: write value" in said


def test_files_of_other_tools_are_left_alone(deployment: Deployment) -> None:
    (deployment.root / "other").mkdir()
    (deployment.root / "other" / "kitchen.test.yaml").write_text("a: 1\n", encoding="utf-8")
    assert "2 passed" in run_pytest(deployment)


def test_the_shipped_conversions_have_tests_that_make_test_finds() -> None:
    said = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-q", "--ignore=conversions_assets_tests"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    ).stdout
    for folder in (ROOT / "conversions_assets" / "defs" / "conversions").iterdir():
        if (folder / "defs.yaml").is_file():
            assert f"{folder.name}.test.yaml::" in said


def test_the_plugin_imports_nothing_heavy_when_pytest_starts() -> None:
    heavy = ("yaml", "sqlglot", "duckdb", "dagster", "pydantic", "pandas")
    program = (
        "import sys, pytest; before = set(sys.modules); import conversions_assets.testing.plugin;"
        f"print([name for name in {heavy!r} if name in set(sys.modules) - before])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
