"""`CrmSource`: a CRM by name and secret, from its HTTP to published conversions."""

import logging
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from conversions_assets.assets import crm as crm_assets
from conversions_assets.crm.client import Patience
from conversions_assets.demo.fake_crm.app import FakeCrm
from conversions_assets.demo.fake_crm.faults import Fault
from conversions_assets.demo.fake_crm.hubspot import HubSpot
from conversions_assets.demo.fake_crm.serve import serving
from conversions_assets_tests.deployment import Deployment, causes, make_deployment

CONTACTS, COMPLETE, SCHEMA = dg.AssetKey(["hubspot", "contacts"]), "complete_load", "schema"
SOURCE_YAML = """\
type: conversions_assets.components.CrmSource
attributes:
  crm: hubspot
  address: {address}
  secrets:
    token: HUBSPOT_TOKEN
  objects: [contacts, deals]
  client_id: ga_client_id
  schedule: "15 * * * *"
  freshness:
    fail_after_hours: 6
"""
LEAD_YAML = """\
type: conversions_assets.components.CustomConversion
attributes:
  query: order.sql
  start_date: "2025-01-01"
  adjustment_window_days: 10
"""
LEAD_SQL = """\
SELECT id, ga_client_id AS client_id, created_at AS created, 1.0 AS value
FROM hubspot.contacts
WHERE NOT _deleted
  AND created_at >= TIMESTAMP(@start_date) AND created_at < TIMESTAMP(DATE_ADD(@end_date, INTERVAL 1 DAY))
"""


@pytest.fixture
def fake() -> FakeCrm:
    fake = FakeCrm()
    fake.world.apply({"op": "create", "kind": "contact", "fields": {"ga_client_id": "1.2"}} for _ in range(3))
    fake.world.move_clock(fake.world.now + timedelta(days=2))
    return fake


@pytest.fixture
def deployment(fake: FakeCrm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Deployment]:
    monkeypatch.setenv("HUBSPOT_TOKEN", HubSpot.credentials["token"])
    with serving(fake) as address:
        yield make_deployment(
            tmp_path,
            {
                "crm/hubspot/defs.yaml": SOURCE_YAML.format(address=address),
                "conversions/order/defs.yaml": LEAD_YAML,
                "conversions/order/order.sql": LEAD_SQL,
            },
        )


def load(deployment: Deployment, fake: FakeCrm, instance: dg.DagsterInstance, **config: Any) -> Any:
    deployment.now = fake.world.now.isoformat()
    return (
        deployment.load()
        .resolve_implicit_global_asset_job_def()
        .execute_in_process(
            instance=instance,
            asset_selection=[CONTACTS, *(dg.AssetKey(["hubspot", name]) for name in OTHERS)],
            run_config={"ops": {"load_hubspot": {"config": config}}} if config else None,
            raise_on_error=False,
        )
    )


OTHERS = ("contacts_versions", "deals", "deals_versions", "deals_contacts", "deal_stages", "owners")


def checks(result: dg.ExecuteInProcessResult) -> dict[str, dg.AssetCheckEvaluation]:
    return {f"{c.asset_key.path[-1]} {c.check_name}": c for c in result.get_asset_check_evaluations()}


def test_a_crm_is_loaded_shown_and_converted(fake: FakeCrm, deployment: Deployment) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        first = load(deployment, fake, instance)
        assert first.success
        events = {e.asset_key.path[-1]: e.materialization for e in first.get_asset_materialization_events()}
        assert events.keys() == {"contacts", *OTHERS}
        shown = {name: value.value for name, value in events["contacts"].metadata.items()}
        assert shown["dagster/row_count"] == shown["rows in this load"] == 3
        assert shown["CRM load"] == "2025-01-03T00:00:00.000000Z"
        assert shown["behind the CRM"] == "2 days, 0:00:00"
        types = {column.name: column.type for column in shown["dagster/column_schema"].columns}
        assert (types["ga_client_id"], types["created_at"], types["_deleted"]) == ("STRING", "TIMESTAMP", "BOOL")
        assert all(check.passed for check in checks(first).values())
        converted = deployment.launch("2025-01-01", "2025-01-02")
        assert converted.success
        published = deployment.query("SELECT id, crm_load_id FROM adjusted.order ORDER BY id")
        assert published == [(str(number), "2025-01-03T00:00:00.000000Z") for number in (1, 2, 3)]
        sensor = deployment.load().resolve_sensor_def("crm_loads")
        context = dg.build_sensor_context(instance, resources=resources(deployment), definitions=deployment.load())
        tick = sensor.evaluate_tick(context)
        assert [request.run_config["ops"] for request in tick.run_requests or ()]
        # What this project loads it reports itself, once.
        assert tick.asset_events == []


def test_secrets_and_addresses_are_in_no_log_no_event_and_no_file(
    fake: FakeCrm,
    deployment: Deployment,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of a load, of a refusal that repeats what was sent, and of a CRM that does not answer as JSON."""
    caplog.set_level(logging.DEBUG)
    monkeypatch.setattr(crm_assets, "Patience", lambda: Patience(backoff=0))
    fake.world.apply([{"op": "create", "kind": "contact", "fields": {"email": "someone@person.example"}}])
    home = deployment.root / "home"
    home.mkdir()
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n", encoding="utf-8")
    with dg.DagsterInstance.from_config(str(home)) as instance:
        assert load(deployment, fake, instance).success
        for fault in ("403", "cut"):
            fake.gate.faults = [Fault("hubspot", fault, path="/crm/v3/objects", times=99)]
            assert not load(deployment, fake, instance).success
    written = capfd.readouterr()
    texts = [caplog.text, written.out, written.err]
    # The warehouse holds the rows, its file is no log.
    files = [path for path in deployment.root.rglob("*") if path.is_file() and path.suffix != ".duckdb"]
    assert {"index.db", "runs.db"} & {path.name for path in files}
    texts += [path.read_bytes().decode(errors="replace") for path in files]
    for secret in (HubSpot.credentials["token"], "person.example", "crm.example"):
        assert not [text[max(0, text.find(secret) - 80) :][:200] for text in texts if secret in text]


def test_a_column_that_is_new_gone_or_of_another_type_is_named(fake: FakeCrm, deployment: Deployment) -> None:
    fake.world.apply([{"op": "add_field", "kind": "contact", "name": "age", "type": "number"}])
    fake.world.apply([{"op": "update", "kind": "contact", "number": 1, "fields": {"age": 41}}])
    with dg.DagsterInstance.ephemeral() as instance:
        assert load(deployment, fake, instance).success
        fake.world.move_clock(fake.world.now + timedelta(hours=1))
        fake.world.apply(
            [
                {"op": "add_field", "kind": "contact", "name": "plan", "type": "string"},
                {"op": "retype_field", "kind": "contact", "name": "age", "type": "string"},
                {"op": "update", "kind": "contact", "number": 1, "fields": {"age": "old", "plan": "pro"}},
            ]
        )
        result = load(deployment, fake, instance)
        told = checks(result)["contacts schema"]
        assert (result.success, told.passed, told.severity) == (True, False, dg.AssetCheckSeverity.WARN)
        assert told.description is not None
        assert "new column plan" in told.description
        assert "values of another type lie in age__v_text" in told.description
        assert checks(result)["deals schema"].passed


def test_r19_a_load_that_is_not_whole_is_known_to_the_guard(fake: FakeCrm, deployment: Deployment) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        assert load(deployment, fake, instance).success
        fake.gate.faults = [Fault("hubspot", "403", path="/crm/v3/objects", times=1)]
        refused = load(deployment, fake, instance)
        assert not refused.success
        told = checks(refused)["contacts complete_load"]
        assert not told.passed
        assert "scope" in str(told.description)
        assert refused.get_asset_materialization_events() == []
        # Nothing of it was stored: what is there is whole.
        assert deployment.query("SELECT complete FROM hubspot._loads") == [(True,)]
        days = ("2025-01-01", "2025-01-02")
        assert deployment.launch(*days).success
        deployment.query("INSERT INTO hubspot._loads VALUES ('2025-01-03T01:00:00.000000Z', now(), false)")
        deployment.query("UPDATE hubspot.contacts SET created_at = NULL WHERE id = '3'")
        deployment.launch(*days)
        assert deployment.query("SELECT count(*) FROM adjusted.order WHERE status = 'ACTIVE'") == [(3,)]
        deployment.query("UPDATE hubspot._loads SET complete = true")
        deployment.launch(*days)
        assert deployment.query("SELECT count(*) FROM adjusted.order WHERE status = 'ACTIVE'") == [(2,)]


def test_a_secret_that_is_not_set_is_one_sentence(
    fake: FakeCrm, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HUBSPOT_TOKEN")
    with dg.DagsterInstance.ephemeral() as instance:
        told = checks(load(deployment, fake, instance))["contacts complete_load"]
    assert told.description == "HubSpot: set the environment variable HUBSPOT_TOKEN"
    assert not fake.gate.calls


def test_the_schedule_loads_all_tables(deployment: Deployment) -> None:
    schedule = deployment.load().resolve_schedule_def("load_hubspot")
    assert (schedule.cron_schedule, schedule.execution_timezone) == ("15 * * * *", "UTC")
    assert schedule.default_status is dg.DefaultScheduleStatus.RUNNING


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("HUBSPOT_TOKEN", "pat-eu1-0123-abc", "names of environment variables"),
        ("crm: hubspot", "crm: hubspto", "there is no CRM 'hubspto'; write one of dynamics, hubspot"),
        ("token: HUBSPOT_TOKEN", "key: HUBSPOT_TOKEN", "HubSpot wants these `secrets`: token or client_id"),
        ("[contacts, deals]", "[contacts, tickets]", "no object 'tickets'; write one of contacts, companies, deals"),
        ("15 * * * *", "hourly", "no cron expression"),
        ("crm: hubspot", "crm: hubspot\n  dataset: adjusted", "R32"),
        ("crm: hubspot", "crm: hubspot\n  lag_minutes: -1", "lag_minutes"),
    ],
)
def test_a_wrong_setting_is_refused_with_its_place(deployment: Deployment, old: str, new: str, problem: str) -> None:
    path = deployment.defs / "crm/hubspot/defs.yaml"
    path.write_text(path.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")
    with pytest.raises(Exception) as refused:  # noqa: PT011, Dagster wraps it
        deployment.load()
    told = causes(refused.value)
    assert problem in told
    assert "defs.yaml:" in told
    assert "pat-eu1" not in told


def resources(deployment: Deployment) -> dict[str, Any]:
    return dict(deployment.load().resources or {})
