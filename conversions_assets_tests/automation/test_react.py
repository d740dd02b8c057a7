"""`python -m conversions_assets react`: once what the sensors do, for cron."""

from pathlib import Path

import pytest

from conversions_assets.__main__ import main
from conversions_assets_tests.deployment import ORDER_SQL, Deployment, make_deployment

A, B = ("a", "2026-01-22 10:00:00+00"), ("b", "2026-01-25 10:00:00+00")


@pytest.fixture
def deployment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Deployment:
    made = make_deployment(tmp_path)
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    made.set_orders((*A, 1.0), (*B, 1.0))
    return made


def react(deployment: Deployment) -> int:
    deployment.point()
    return main(["--package", str(deployment.root / deployment.module), "react"])


def test_r23_react_scans_and_reruns_what_changed_once(
    deployment: Deployment, capsys: pytest.CaptureFixture[str]
) -> None:
    assert deployment.launch("2026-01-01", "2026-01-30").success
    deployment.set_orders((*A, 2.0), (*B, 2.0), load="L2")
    assert react(deployment) == 0
    shown = capsys.readouterr().out
    assert "order:2026-01-22...2026-01-25: rerun" in shown
    assert "1 scans, 1 reruns, 0 conversions without a new load, 0 failures" in shown
    assert deployment.query("SELECT DISTINCT value FROM adjusted.order") == [(2.0,)]
    # The last scan asked for something: whether that succeeded is scanned, then all is settled.
    assert react(deployment) == 0
    assert "1 scans, 0 reruns" in capsys.readouterr().out
    assert react(deployment) == 0
    assert "0 scans, 0 reruns, 1 conversions without a new load" in capsys.readouterr().out


def test_r23_react_fails_where_a_check_failed_and_finds_it_again(
    deployment: Deployment, capsys: pytest.CaptureFixture[str]
) -> None:
    assert deployment.launch("2026-01-01", "2026-01-30").success
    deployment.set_orders((*A, 1.0), (*B, 2.0), ("", B[1], 1.0), load="L2")
    for _ in range(2):
        assert react(deployment) == 1
        assert "order:2026-01-25...2026-01-25: failed checks: quarantine" in capsys.readouterr().out
    deployment.set_orders((*A, 1.0), (*B, 2.0), load="L3")
    assert react(deployment) == 0
    assert deployment.query("SELECT value FROM adjusted.order ORDER BY id") == [(1.0,), (2.0,)]


def test_r23_react_fails_where_the_scan_failed(deployment: Deployment, capsys: pytest.CaptureFixture[str]) -> None:
    deployment.write({"conversions/order/order.sql": ORDER_SQL.replace("value\n", "1 / (value - 3) AS value\n")})
    assert deployment.launch("2026-01-01", "2026-01-30").success
    deployment.set_orders((*A, 3.0), load="L2")
    assert react(deployment) == 1
    assert "order: the scan" in capsys.readouterr().out


def test_react_with_a_wrong_query_shows_its_place(deployment: Deployment, capsys: pytest.CaptureFixture[str]) -> None:
    deployment.write({"conversions/order/order.sql": ORDER_SQL.replace("value\n", "value AS valeu\n")})
    assert react(deployment) == 1
    assert "order.sql:1:" in capsys.readouterr().err


def test_r33_react_leaves_what_was_never_published(deployment: Deployment, capsys: pytest.CaptureFixture[str]) -> None:
    assert react(deployment) == 0
    assert "order: never published; start its first backfill by hand" in capsys.readouterr().out


def test_react_without_a_home_says_what_to_set(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("DAGSTER_HOME")
    assert react(deployment) == 2
    assert "DAGSTER_HOME must name the folder" in capsys.readouterr().err
