"""R25: `predicted_value:` in YAML, and what is refused when definitions load."""

from dataclasses import replace
from pathlib import Path

import dagster as dg
import pytest
from pydantic import ValidationError

from conversions_assets.components.predicted_value import PredictedValueSettings, refuse_wrong_targets
from conversions_assets.contract.check.catalog import Catalog
from conversions_assets.contract.conversion import Conversion, PredictedValue
from conversions_assets.contract.query import read_query
from conversions_assets.project import ConfigurationError
from conversions_assets.warehouse.base import Table
from conversions_assets_tests.deployment import causes, make_deployment
from conversions_assets_tests.prediction.crm import DEAL_SQL, LEAD_SQL, Crm

YAML = """type: conversions_assets.components.CustomConversion
attributes:
  query: {name}.sql
  start_date: "2026-01-01"
  adjustment_window_days: 30
"""
PREDICTED = "  predicted_value:\n    target: {target}\n"
CRM_YAML = """type: conversions_assets.components.CrmTables
attributes: {dataset: crm, tables: {leads: {}, deals: {}}}
"""


def test_r25_the_defaults() -> None:
    assert PredictedValueSettings(target="deal").resolved() == PredictedValue("deal", 40, "latest", None, (), 60)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "Field required"),
        ({"target": "deal", "conversion_window_days": 0}, "R25: 0 days cannot be: write a whole number from 1 to 365"),
        ({"target": "deal", "conversion_window_days": 366}, "R25: 366 days cannot be"),
        ({"target": "deal", "target_lookback_days": 0}, "R25: 0 days cannot be"),
        ({"target": "deal", "link": "newest"}, "Input should be 'latest', 'first' or 'all'"),
        (
            {"target": "deal", "features": {"include": ["Job Title"]}},
            "'Job Title' is no key of params",
        ),
        ({"target": "deal", "features": {"include": []}}, "`include` is empty"),
        ({"target": "deal", "features": {"include": ["a"], "exclude": ["a"]}}, "a stands in include and in exclude"),
    ],
    ids=str,
)
def test_r25_values_that_cannot_be(values: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        PredictedValueSettings.model_validate(values)
    assert message in str(caught.value)


def judged(*conversions: Conversion, refused: tuple[str, ...] = (), catalog: Catalog | None = None) -> str:
    """What is refused; empty where nothing is."""
    try:
        refuse_wrong_targets(conversions, refused, catalog or Catalog({}, {}))
    except ConfigurationError as error:
        return str(error)
    return ""


def with_sql(conversion: Conversion, sql: str) -> Conversion:
    file = conversion.query.path.with_name(f"{conversion.name}_other.sql")
    file.write_text(sql, encoding="utf-8")
    return replace(conversion, query=read_query(file))


def test_r25_what_cannot_be_predicted_is_refused_when_definitions_load(crm: Crm) -> None:
    lead, deal = crm.lead, crm.deal
    assert judged(lead, deal) == ""

    def predicts(target: str, of: Conversion = lead) -> Conversion:
        return replace(of, predicted=PredictedValue(target))

    assert judged(predicts("lead"), deal).endswith(
        "target: R25: lead cannot be predicted from itself: name another conversion, which a lead may become"
    )
    assert judged(predicts("deel"), deal).endswith("R25: there is no conversion 'deel': write deal")
    assert judged(predicts("order")).endswith("R25: there is no conversion 'order': add its folder")
    assert judged(predicts("order"), refused=("order",)) == ""  # its SQL is refused already
    visit = replace(lead, name="visit", predicted=PredictedValue("lead"))
    assert "R25: the value of lead is predicted itself, from deal: a chain cannot be" in judged(lead, deal, visit)
    cycle = judged(lead, predicts("lead", deal))
    assert cycle.count("a chain cannot be") == 2


def test_r25_both_queries_return_a_user_id(crm: Crm) -> None:
    lead, deal = crm.lead, crm.deal
    without = with_sql(deal, "SELECT id, client_id, created FROM crm.deals")
    problem = judged(lead, without)
    assert f"R25: the SQL of the target, {without.query.path}, returns no user_id" in problem
    assert "`contact_id AS user_id`" in problem
    problem = judged(with_sql(lead, "SELECT id, client_id, created FROM crm.leads"), deal)
    assert "R25: the SQL of the lead, " in problem
    assert judged(with_sql(lead, "SELECT id, client_id, created, id AS USER_ID FROM crm.leads"), deal) == ""
    # A star hides its columns until the table is known.
    star = with_sql(lead, "SELECT * FROM crm.leads")
    assert judged(star, deal) == ""
    known = {Table("crm", "leads"): {"id": "STRING", "client_id": "STRING", "created": "TIMESTAMP"}}
    assert "returns no user_id" in judged(star, deal, catalog=Catalog(known, {}))


def test_r25_r28_the_assets_of_a_prediction_and_where_an_error_stands(tmp_path: Path) -> None:
    files = {
        "conversions/lead/defs.yaml": YAML.format(name="lead") + PREDICTED.format(target="deal"),
        "conversions/lead/lead.sql": LEAD_SQL.format(value=""),
        "conversions/deal/defs.yaml": YAML.format(name="deal"),
        "conversions/deal/deal.sql": DEAL_SQL,
        "crm/crm/defs.yaml": CRM_YAML,
    }
    deployment = make_deployment(tmp_path, files)
    definitions = deployment.load()
    graph = definitions.resolve_asset_graph()

    def parents(key: str) -> set[str]:
        return {parent.to_user_string() for parent in graph.get(dg.AssetKey(key.split("/"))).parent_keys}

    assert parents("models/lead") == {"conversions/lead", "adjusted/deal"}
    assert parents("predicted/lead") == {"conversions/lead", "models/lead"}
    assert parents("adjusted/lead") == {"conversions/lead", "predicted/lead"}
    assert parents("adjusted/deal") == {"conversions/deal"}
    models = graph.get(dg.AssetKey(["models", "lead"]))
    assert models.partitions_def is None
    assert models.backfill_policy == dg.BackfillPolicy.single_run()
    predicted = graph.get(dg.AssetKey(["predicted", "lead"]))
    assert predicted.partitions_def == graph.get(dg.AssetKey(["adjusted", "lead"])).partitions_def
    refit = definitions.resolve_schedule_def("daily_refit")
    assert (refit.cron_schedule, refit.execution_timezone) == ("30 6 * * *", "UTC")
    assert definitions.resolve_job_def("refit").asset_layer.executable_asset_keys == {dg.AssetKey(["models", "lead"])}
    deployment.write({"conversions/lead/defs.yaml": YAML.format(name="lead") + PREDICTED.format(target="deel")})
    with pytest.raises(ConfigurationError) as caught:
        deployment.load()
    assert "conversions/lead/defs.yaml:7: predicted_value.target: R25: there is no conversion 'deel'" in causes(
        caught.value
    )
