"""R28: what a model learns from: leads as they came in, by params that are numbers or categories."""

from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from sqlglot import exp

from conversions_assets.contract.conversion import PredictedValue
from conversions_assets.prediction.features import Feature, choose_features, read_features
from conversions_assets.prediction.tables import cut_off
from conversions_assets.prediction.training import Summary, Training, read_training, summarise
from conversions_assets_tests.prediction.crm import START, Crm, deal, lead, simulated

KEY = {
    "key": "k",
    "filled": 1000,
    "distinct_values": 10,
    "numbers": 0,
    "whole_numbers": 0,
    "padded_numbers": 0,
    "least_length": 3,
    "mean_length": 8.0,
    "mean_words": 1.2,
}
NUMBER = {"numbers": 1000, "whole_numbers": 1000, "distinct_values": 300}


@pytest.mark.parametrize(
    ("found", "kind"),
    [
        ({}, "category"),
        ({"distinct_values": 499}, "category"),
        ({"filled": 12_000, "distinct_values": 5_000}, "category"),
        ({"filled": 40, "distinct_values": 40}, "category"),  # too few to tell
        ({"distinct_values": 501}, "an id or free text: 501 different values in 1,000 leads"),
        ({"mean_length": 80.0}, "free text: 80 characters on average"),
        ({"mean_words": 9.0, "mean_length": 50.0}, "free text: 50 characters on average"),
        (NUMBER, "number"),
        (NUMBER | {"numbers": 950}, "number"),
        (NUMBER | {"numbers": 949}, "category"),
        (NUMBER | {"distinct_values": 7}, "category"),  # a grade
        (NUMBER | {"padded_numbers": 1}, "category"),  # postal codes
        (NUMBER | {"distinct_values": 1000, "whole_numbers": 0, "least_length": 6}, "number"),  # amounts
        (NUMBER | {"distinct_values": 990, "least_length": 6}, "an id: 990 different whole numbers in 1,000 leads"),
    ],
    ids=str,
)
def test_r28_the_data_decide_what_a_param_is(found: dict[str, Any], kind: str) -> None:
    features, left_out = choose_features([KEY | found], PredictedValue("deal"))
    if kind in ("number", "category"):
        assert features == [Feature("day_of_week", "category"), Feature("k", kind)]  # type: ignore[arg-type]
    else:
        assert left_out == {"k": kind}


def test_r28_include_and_exclude() -> None:
    keys = [KEY | {"key": key} for key in ("a", "b", "c")]

    def chosen(**choice: Any) -> tuple[list[str], dict[str, str]]:
        features, left_out = choose_features(keys, PredictedValue("deal", **choice))
        return [feature.key for feature in features], left_out

    assert chosen(exclude=("b", "day_of_week")) == (
        ["a", "c"],
        {"b": "excluded in defs.yaml", "day_of_week": "excluded in defs.yaml"},
    )
    names, left_out = chosen(include=("a", "zip"))
    assert names == ["a"]
    assert left_out["zip"] == "no lead has this param"
    assert left_out["b"] == left_out["day_of_week"] == "not among those included in defs.yaml"


def learnt(crm: Crm) -> tuple[Training, Summary]:
    """What a fit at the present clock would learn from."""
    predicted = crm.lead.predicted
    assert predicted is not None
    with crm.warehouse(crm.path) as session:
        until = cut_off(session, crm.lead, predicted, crm.run())
        assert until is not None
        summary = summarise(session, crm.lead, predicted, until)
        return read_training(session, predicted, until), summary


def test_r28_leads_by_columns_with_their_age_and_target(crm: Crm) -> None:
    leads = [
        lead(f"l{n:02}", n, source="ads", size=str(n), country="DE" if n % 2 else None, note=f"written for {n}")
        for n in range(60)
    ]
    leads += [lead("none", 70.25), lead("nobody", 50.0, user_id=None)]
    crm.place(leads, [deal("d", 12.0, 50.0, user_id="l10"), deal("e", 20.5, None, user_id="l20")])
    training, summary = learnt(crm)
    assert list(training.X) == ["country", "day_of_week", "size", "source"]
    assert training.left_out == {"note": "an id or free text: 60 different values in 60 leads"}
    assert training.X["size"].dtype == np.float64
    assert training.X["size"].tolist()[:60] == list(range(60))
    assert training.X["country"].tolist()[:2] == [None, "DE"]
    assert training.X.iloc[-1][["size", "source", "country"]].isna().all()
    assert training.X["day_of_week"].tolist()[:3] == ["Thursday", "Friday", "Saturday"]
    assert training.age[10] == 90
    assert training.age[-1] == 29.75
    assert (training.delay[10], training.value[10]) == (2, 50)
    assert training.delay[20] == 0.5
    assert np.isnan(training.value[20])
    assert np.isinf(np.delete(training.delay, [10, 20])).all()
    assert (training.created[1] - training.created[0]) == pytest.approx(1)
    assert summary.sentence == "params of 61 leads: 61 as they are now (no ledger yet)"


def test_r28_the_day_of_the_week_is_local_and_a_param_of_that_name_stands(crm: Crm) -> None:
    crm.place([lead("a", 0.97)])  # 23:16 UTC on Thursday, and Friday in Berlin
    crm.query("UPDATE conversions.lead SET day = DATE '2026-01-02'")
    training, _ = learnt(crm)
    assert training.X["day_of_week"].tolist() == ["Friday"]
    crm.query("UPDATE conversions.lead SET params = [{'key': 'day_of_week', 'value': 'any'}]")
    assert learnt(crm)[0].X["day_of_week"].tolist() == ["any"]


def test_r28_features_are_those_of_the_first_ledger_row(crm: Crm) -> None:
    """A CRM that fills or corrects params later does not change what is learnt."""
    crm.at(10.25).place()
    rows = [lead("a", 8.0, source="ads"), lead("b", 8.0, source="mail"), lead("c", 9.0, source="fair")]
    crm.load(rows)
    crm.score()
    crm.publish_leads()
    assert learnt_sources(crm) == {"a": "ads", "b": "mail", "c": "fair"}
    rows = [
        lead("a", 8.0, source="won by phone"),
        lead("b", 8.0),
        lead("c", 9.0, source="fair"),
        lead("d", 10.0, source="x"),
    ]
    crm.load(rows)
    crm.at(11.25)
    crm.score()
    assert learnt_sources(crm) == {"a": "ads", "b": "mail", "c": "fair", "d": "x"}
    crm.publish_leads()
    assert [row["reason"] for row in crm.ledger("a")] == ["PUBLISHED", "ATTRIBUTE_CHANGED"]
    assert learnt_sources(crm) == {"a": "ads", "b": "mail", "c": "fair", "d": "x"}
    with crm.warehouse(crm.path) as session:
        assert crm.lead.predicted is not None
        summary = summarise(session, crm.lead, crm.lead.predicted, crm.now)
    assert (summary.leads, summary.in_ledger, summary.seen_late) == (4, 4, 0)
    assert summary.sentence == "params of 4 leads: 4 as they came in"


def learnt_sources(crm: Crm) -> dict[str, str | None]:
    """Lead -> its source as it was first seen."""
    assert crm.lead.predicted is not None
    with crm.warehouse(crm.path) as session:
        summarise(session, crm.lead, crm.lead.predicted, crm.now)
        query = exp.select("s.id").from_("first_seen AS s").order_by("s.id")
        frame = read_features(session, query, [Feature("source", "category")], {})
    return dict(zip(frame["id"], frame["param source"], strict=True))


def test_r28_a_backfill_is_told_from_leads_that_were_seen_as_they_came_in(crm: Crm) -> None:
    crm.place()
    crm.load([lead("old", 20.0), lead("fresh", 98.0)])
    crm.score()
    crm.publish_leads()
    crm.load([lead("old", 20.0), lead("fresh", 98.0), lead("new", 99.5)])
    crm.score()
    with crm.warehouse(crm.path) as session:
        assert crm.lead.predicted is not None
        summary = summarise(session, crm.lead, crm.lead.predicted, crm.now)
    assert (summary.leads, summary.in_ledger, summary.seen_late) == (3, 2, 1)
    assert "1 as they are now (no ledger yet); 1 as a backfill found them, more than 3 days" in summary.sentence


def test_r28_a_training_row_knows_nothing_later_than_its_cut_off(crm: Crm) -> None:
    """The future is poisoned: everything after the cut-off changes, and nothing that is learnt does."""
    leads, deals = simulated(10, 100, seed=5)
    at = START + timedelta(days=60)
    crm.at(60.25).place(leads, deals)
    before, summary = learnt(crm)
    assert len(before.X) == 600

    def poisoned(row: dict[str, Any]) -> dict[str, Any]:
        return row if row["created"] < at else row | {"value": 1e6, "source": "poison", "user_id": "l0"}

    # Every earlier lead gets a deal in the future, and a clock of the future has stored all of it.
    future = [
        deal(f"p{n}", 60.001 + n / 100, 1e6, user_id=row["id"]) for n, row in enumerate(leads) if row["created"] < at
    ]
    crm.at(100.25).place(map(poisoned, leads), [*map(poisoned, deals), *future])
    crm.at(60.25)
    after, poisoned_summary = learnt(crm)
    assert poisoned_summary == summary
    assert before.X.equals(after.X)
    for name in ("created", "age", "delay", "value"):
        assert np.array_equal(getattr(before, name), getattr(after, name), equal_nan=True), name
    known = before.delay[np.isfinite(before.delay)]
    assert len(known) > 50
    assert (known < before.age[np.isfinite(before.delay)]).all()
    # The same data at a later clock are learnt otherwise: the test can fail.
    crm.at(100.25)
    assert not np.array_equal(learnt(crm)[0].delay[:600], before.delay)


def test_r28_targets_are_known_until_the_newest_day_that_is_published(crm: Crm) -> None:
    """A target that lags behind does not make young leads look lost."""
    crm.place([lead("a", 10.0)], [deal("d", 20.0, user_id="a")])
    crm.query("DELETE FROM adjusted._deal_days WHERE day >= '2026-03-01'")
    training, _ = learnt(crm)
    assert training.age.tolist() == [49.0]
