"""What a run of `models/<name>` shows: figures, tables and plots for a marketer, and what its checks found."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import dagster as dg

from conversions_assets.assets import presentation
from conversions_assets.assets.conversions import run_metadata
from conversions_assets.assets.models import eligibility_result, models_key
from conversions_assets.contract.conversion import Conversion
from conversions_assets.contract.stage import Run
from conversions_assets.prediction import plots
from conversions_assets.prediction.fit import Fitted


def figures(conversion: Conversion, run: Run, done: Fitted, page: Path | None) -> dict[str, Any]:
    """The newest model's figures, tables and plots."""
    shown: dict[str, Any] = {"this run": done.sentence}
    if done.model is not None:
        shown |= _of_model(conversion, done.model.report)
        shown |= {"version": done.model.version, "targets known until": str(done.model.cut_off)}
    if page is not None:
        shown["report as a page"] = dg.MetadataValue.path(str(page))
    return {
        **shown,
        "checks": presentation.checks_link(models_key(conversion.name).path),
        **run_metadata(run),
    }


def _of_model(conversion: Conversion, report: Mapping[str, Any]) -> dict[str, Any]:
    pictures = plots.pictures(report, conversion.project.currency)
    return {
        "fit for bidding": report["verdict"]["line"],
        "drift": report["drift"]["sentence"],
        "targets": report["targets"],
        "leads": report["leads"],
        "confidence": report["level_sentence"],
        "params as of": report["features_as_of"],
        **{f"plot: {title}": dg.MetadataValue.md(f"![{title}]({uri})") for title, uri in pictures.items()},
        **{title: presentation.table(rows) for title, rows in plots.tables(report).items()},
    }


def checks(done: Fitted) -> Iterator[dg.AssetCheckResult]:
    """One per outcome, each with a sentence for a marketer."""
    yield eligibility_result(done.eligibility)
    yield _warning("targets", *_targets(done))
    report = done.model.report if done.model else {}
    leaks = report.get("leaks", [])
    named = "; ".join(f"{row['param']}: {row['why']}" for row in leaks)
    yield _warning(
        "leaks",
        not leaks,
        f"R28: left out, because they tell the outcome and not the lead: {named}. Look when the CRM fills them"
        if leaks
        else "R28: no param gives the outcome away",
    )
    verdict = report.get("verdict", {"fit": "no", "line": "fit for bidding: no, because there is no model"})
    yield _warning("bidding", verdict["fit"] == "yes", verdict["line"])


def _targets(done: Fitted) -> tuple[bool, str]:
    if done.model is None:
        return False, f"R29: {done.problem}"
    report = done.model.report
    return done.model.level == "full" and done.problem is None, f"R29: {done.problem or report['level_sentence']}"


def _warning(name: str, passed: bool, sentence: str) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        check_name=name, passed=passed, severity=dg.AssetCheckSeverity.WARN, description=sentence
    )
