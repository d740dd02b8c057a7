"""What a marketer reads of a model: checks, figures and the page (R25, R28, R29). Sums and names of params, no rows."""

import re
from dataclasses import replace
from pathlib import Path

import dagster as dg
import pytest

from conversions_assets.assets import models_report
from conversions_assets.prediction.fit import Fitted
from conversions_assets.prediction.page import write_page
from conversions_assets.prediction.report import FEWEST_LEADS, LEVELS
from conversions_assets_tests.adjustment.conftest import QuickWarehouse
from conversions_assets_tests.prediction.crm import Crm, lead, make_crm, simulated


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> tuple[Crm, Fitted]:
    """A model of 190 days of leads, of which five come from a source of their own."""
    crm = make_crm(tmp_path_factory.mktemp("report")).at(190.25)
    crm.warehouse = QuickWarehouse
    leads, deals = simulated(8, 190, seed=9, rate=0.3)
    for row in leads[1000:1005]:
        row["source"] = "Erika Mustermann"
    crm.place(leads, deals)
    return crm, crm.fit()


def checks(done: Fitted) -> dict[str, dg.AssetCheckResult]:
    return {str(result.check_name): result for result in models_report.checks(done)}


def test_the_report_back_tests_by_week_by_a_param_and_by_tenth(told: tuple[Crm, Fitted]) -> None:
    _, done = told
    assert done.model is not None
    tested = done.model.report["backtest"]
    assert tested["group_feature"] == "source"
    for group in ("weeks", "groups", "deciles"):
        rows = tested[group]
        assert sum(row["leads"] for row in rows) == pytest.approx(tested["figures"]["leads scored"], abs=FEWEST_LEADS)
        assert all(row["low"] <= row["actual"] <= row["high"] for row in rows)
    assert len(tested["deciles"]) == 10
    assert {row["label"] for row in tested["groups"]} == {"ads", "mail", "fair"}
    assert re.fullmatch(r"2026-\d\d-\d\d", tested["weeks"][0]["label"])
    figures = tested["figures"]
    assert figures["targets predicted"] == pytest.approx(figures["targets that came"], rel=0.3)
    assert done.model.report["delay_curve"][-1]["share"] == pytest.approx(1.0)


def test_the_page_and_the_asset_tell_the_same_and_no_rare_value(told: tuple[Crm, Fitted], tmp_path: Path) -> None:
    crm, done = told
    assert done.model is not None
    path = write_page(tmp_path, crm.lead, done.model)
    page = path.read_text(encoding="utf-8")
    report = done.model.report
    for text in (report["verdict"]["line"], report["drift"]["sentence"], done.model.version, "Back-test by source"):
        assert text in page
    assert page.count("<img ") == 5
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert "Mustermann" not in page + str(report)
    figures = models_report.figures(crm.lead, crm.run(), done, path)
    assert figures["fit for bidding"] == report["verdict"]["line"]
    assert figures["report as a page"].value == str(path)
    assert sum(name.startswith("plot: ") for name in figures) == 5
    assert isinstance(figures["back-test by source"], dg.TableMetadataValue)
    again = write_page(tmp_path, crm.lead, done.model)
    assert again.read_text(encoding="utf-8").count("<table>") == page.count("<table>")
    assert [file.name for file in path.parent.iterdir()] == ["index.html"]


def test_each_outcome_is_a_check_with_a_sentence(told: tuple[Crm, Fitted], crm: Crm) -> None:
    _, done = told
    assert done.model is not None
    found = checks(done)
    assert all(result.severity == dg.AssetCheckSeverity.WARN for result in found.values())
    assert {name for name, result in found.items() if name != "bidding" and not result.passed} == set()
    assert found["bidding"].description == done.model.report["verdict"]["line"]
    assert found["bidding"].passed == (done.model.report["verdict"]["fit"] == "yes")
    crm.place([lead("a", 80.0)])
    nothing = checks(crm.fit())
    assert not any(nothing[name].passed for name in ("eligibility", "targets", "bidding"))
    assert str(nothing["eligibility"].description).startswith("R25: No deal with a user_id")
    assert nothing["bidding"].description == "fit for bidding: no, because there is no model"
    leaky = dict(done.model.report) | {"leaks": [{"param": "stage", "why": "leak: where it is filled, 9 of 9"}]}
    named = checks(replace(done, model=replace(done.model, report=leaky, level="low_confidence")))
    assert "stage: leak: where it is filled" in str(named["leaks"].description)
    assert not named["leaks"].passed
    assert not named["targets"].passed
    assert set(LEVELS) == {"fallback", "low_confidence", "full"}
