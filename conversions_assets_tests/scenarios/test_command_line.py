"""What a user types: dg scaffold, dg check, dg list, dg launch, in their own processes; a run killed in the middle."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import duckdb
import pytest

from conversions_assets_tests.deployment import Deployment, make_deployment

DG = Path(sys.executable).parent / "dg"
ROOT = Path(__file__).parent.parent.parent


def dg(deployment: Deployment, *arguments: str) -> "subprocess.CompletedProcess[str]":
    (deployment.root / "home").mkdir(exist_ok=True)
    (deployment.root / "home" / "dagster.yaml").write_text((ROOT / "dagster.yaml").read_text(), encoding="utf-8")
    environment = os.environ | deployment.environment
    return subprocess.run(
        [DG, *arguments], cwd=deployment.root, env=environment, capture_output=True, text=True, timeout=180
    )


@pytest.fixture
def deployment(tmp_path: Path) -> Deployment:
    return make_deployment(tmp_path)


def test_a_scaffolded_conversion_and_its_tables_load_and_explain_themselves(deployment: Deployment) -> None:
    made = dg(deployment, "scaffold", "defs", "conversions_assets.components.CustomConversion", "conversions/signup")
    assert made.returncode == 0, made.stderr
    made = dg(deployment, "scaffold", "defs", "conversions_assets.components.CrmTables", "crm/leads")
    assert made.returncode == 0, made.stderr
    folder = deployment.defs / "conversions" / "signup"
    assert "# Late changes in the CRM" in (folder / "defs.yaml").read_text(encoding="utf-8")
    assert "-- One row per conversion." in (folder / "signup.sql").read_text(encoding="utf-8")
    checked = dg(deployment, "check", "defs")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    listed = dg(deployment, "list", "defs", "--json").stdout
    for key in ("conversions/signup", "adjusted/signup", "leads/orders"):
        assert f'"{key}"' in listed


def test_a_scaffolded_conversion_passes_its_test_until_its_sql_is_broken(deployment: Deployment) -> None:
    made = dg(deployment, "scaffold", "defs", "conversions_assets.components.CustomConversion", "conversions/signup")
    assert made.returncode == 0, made.stderr
    checked = dg(deployment, "check", "defs")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    folder = deployment.defs / "conversions" / "signup"
    passed = _pytest(deployment, folder)
    assert passed.returncode == 0, passed.stdout
    assert "3 passed" in passed.stdout
    sql = folder / "signup.sql"
    sql.write_text(sql.read_text(encoding="utf-8").replace("= 'paid'", "<> 'paid'"), encoding="utf-8")
    failed = _pytest(deployment, folder)
    assert failed.returncode == 1
    assert f"{folder}/signup.test.yaml:4: a paid order is a conversion, a cancelled one is not" in failed.stdout
    assert "1   (row)   a row     no row" in failed.stdout
    assert "2   (row)   no row    a row: {id: '2', client_id: '1234567.7654321'" in failed.stdout
    assert "Traceback" not in failed.stdout


def test_a_scaffold_of_an_odd_name_says_which_names_can_be_and_writes_nothing(deployment: Deployment) -> None:
    refused = dg(deployment, "scaffold", "defs", "conversions_assets.components.CustomConversion", 'conversions/a"; x')
    shown = refused.stdout + refused.stderr
    assert refused.returncode != 0
    assert "R32: the folder name 'a\"; x' is no conversion name" in shown
    assert "Traceback" not in shown
    assert [path.name for path in (deployment.defs / "conversions").iterdir()] == ["order"]


def _pytest(deployment: Deployment, folder: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", folder],
        cwd=deployment.root,
        env=os.environ | deployment.environment,
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_dg_check_defs_shows_file_line_and_fix(deployment: Deployment) -> None:
    sql = "SELECT id, client_id, created,\n  amount AS valeu\nFROM shop.orders"
    deployment.write({"conversions/order/order.sql": sql})
    checked = dg(deployment, "check", "defs")
    assert checked.returncode != 0
    shown = checked.stdout + checked.stderr
    assert "order.sql:2:3: the column `valeu` is not part of the contract" in shown
    assert "write AS value" in shown


def test_a_killed_run_leaves_the_days_as_they_were_and_the_next_one_finishes(deployment: Deployment) -> None:
    _many_orders(deployment, value=1.0)
    days = "2026-01-01...2026-01-30"
    launch = ("launch", "--assets", "conversions/order,adjusted/order", "--partition-range", days)
    assert dg(deployment, *launch).returncode == 0
    before = _tables(deployment)
    _many_orders(deployment, value=2.0)
    _kill_in_the_middle(deployment, days)
    assert _tables(deployment) == before
    again = dg(deployment, *launch)
    assert again.returncode == 0, again.stdout + again.stderr
    # W = 10 at 2026-01-31: from 2026-01-21 on the change is published, before it is frozen.
    assert deployment.query("SELECT DISTINCT day >= '2026-01-21', value FROM adjusted.order ORDER BY 1") == [
        (False, 1.0),
        (True, 2.0),
    ]


def _many_orders(deployment: Deployment, value: float) -> None:
    with duckdb.connect(str(deployment.duckdb_path)) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute("CREATE SCHEMA IF NOT EXISTS shop")
        connection.execute(
            f"""CREATE OR REPLACE TABLE shop.orders AS
            SELECT 'o' || n AS id, '1.2' AS client_id, {value}::DOUBLE AS value, 'L{value}' AS load_id,
              TIMESTAMPTZ '2026-01-01 00:00:00+00' + n * INTERVAL 25 SECOND AS created
            FROM range(100000) AS r(n)"""
        )


def _tables(deployment: Deployment) -> list[object]:
    return [
        deployment.query(f"SELECT count(*), sum(value), max(run_id) FROM {table}")
        for table in ("conversions.order", "adjusted.order")
    ] + deployment.query("SELECT count(*), sum(version) FROM adjusted.order_changes")


def _kill_in_the_middle(deployment: Deployment, days: str) -> None:
    """SIGKILL once the rows are staged, before they are written (Great Expectations takes seconds to import)."""
    log = deployment.root / "killed.log"
    with log.open("w") as output:
        run = subprocess.Popen(
            [DG, "launch", "--assets", "conversions/order,adjusted/order", "--partition-range", days],
            cwd=deployment.root,
            env=os.environ | deployment.environment,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    deadline = time.monotonic() + 120
    while "staged" not in log.read_text() and run.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    assert run.poll() is None, log.read_text()
    os.killpg(run.pid, signal.SIGKILL)
    run.wait()
    assert "wrote" not in log.read_text()
