"""What a run of `conversions/<name>` shows: figures, tables, plots, and what each check found. Never values of rows."""

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import dagster as dg

from conversions_assets.assets import presentation
from conversions_assets.contract.columns import GEO_KEYS
from conversions_assets.contract.conversion import Conversion
from conversions_assets.contract.materialise import Materialised
from conversions_assets.contract.suite import Outcome

SUMMED = ("returned_rows", "ids", "not_attributed_rows", "quarantined_rows", "surplus_rows", "conflicting_ids")


def run_figures(conversion: Conversion, done: Materialised) -> dict[str, Any]:
    """The run's sums, tables and plots."""
    total = {name: sum(row[name] for row in done.profile) for name in SUMMED}
    return {
        "days": len(done.days),
        "dagster/row_count": total["ids"],
        "rows returned": total["returned_rows"],
        "rows of other days, dropped": done.unwanted_rows,
        "value": presentation.per_currency(done.values),
        "(not attributed)": f"{total['not_attributed_rows'] / max(total['ids'], 1):.1%}",
        "quarantined": total["quarantined_rows"],
        "duplicate rows collapsed": total["surplus_rows"],
        "ids with rows that differ": total["conflicting_ids"],
        "quarantined rows": presentation.table(done.refusals),
        **_plots(conversion.name, done),
        "per day": _per_day(done),
        "SQL": presentation.sql(conversion.query.text),
    }


def day_figures(done: Materialised) -> dict[date, dict[str, Any]]:
    """Each day's own figures, which the UI also plots over the partitions."""
    return {
        row["day"]: {
            "dagster/partition_row_count": row["ids"],
            "(not attributed) (day)": row["not_attributed_rows"],
            "quarantined (day)": row["quarantined_rows"],
            **{f"{key} % (day)": share for key, share in _coverage(done, row).items()},
        }
        for row in done.profile
    }


def check_result(outcome: Outcome, done: Materialised, page: Path) -> dg.AssetCheckResult:
    """A rule family as an asset check: limit, days and ids at fault, and the figures of the days also where it passed.

    Args:
        page: Great Expectations' page of the run.
    """
    rule = outcome.rule
    severity = dg.AssetCheckSeverity.ERROR if rule.blocking else dg.AssetCheckSeverity.WARN
    shown = [name for name in rule.shown if name in done.profile[0]]
    metadata: dict[str, Any] = {
        "rules": rule.rules,
        "threshold": f"{rule.setting}: {outcome.threshold:g}" if rule.setting else "none is allowed",
        "days": str(done.days),
        "per day": presentation.table([{"day": row["day"], **{n: row[n] for n in shown}} for row in done.profile]),
        "Data Docs": dg.MetadataValue.path(str(page)),
    }
    if rule.name == "personal_data":
        metadata["keys"] = presentation.table(done.personal)
    if rule.name == "quarantine":
        metadata["reasons"] = presentation.table(done.refusals)
    if not outcome.passed:
        failing = [{"day": day, "observed": outcome.observed[day]} for day in outcome.failing_days]
        metadata["failing days"] = presentation.table(failing)
        if rule.names:
            metadata["names"] = ", ".join(outcome.names)
        metadata["ids"] = ", ".join(done.failing_ids.get(rule.name, ())) or "the rule tells days, not rows"
    return dg.AssetCheckResult(
        passed=outcome.passed,
        check_name=rule.name,
        severity=severity,
        description=outcome.sentence or None,
        metadata=metadata,
    )


def _coverage(done: Materialised, row: Mapping[str, Any]) -> dict[str, float | None]:
    """Of a day, in percent: (not attributed), and the geo keys that the run has; None for a day without a row."""
    columns = {f"geo_{key}": key for key in GEO_KEYS if any(day.get(f"geo_{key}") for day in done.profile)}
    named = {"not_attributed_rows": "(not attributed)", **columns}
    return {name: round(100 * row[column] / row["ids"], 1) if row["ids"] else None for column, name in named.items()}


def _per_day(done: Materialised) -> dg.MetadataValue[Any]:
    value = {row["day"]: 0.0 for row in done.profile}
    for row in done.values:
        value[row["day"]] += row["value"] or 0.0
    return presentation.table(
        [
            {
                "day": row["day"],
                "returned": row["returned_rows"],
                "conversions": row["ids"],
                "value": value[row["day"]],
                **{f"{name} %": share for name, share in _coverage(done, row).items()},
                "quarantined": row["quarantined_rows"],
                "collapsed": row["surplus_rows"],
                "conflicts": row["conflicting_ids"],
            }
            for row in done.profile
        ]
    )


def _plots(name: str, done: Materialised) -> dict[str, dg.MarkdownMetadataValue]:
    days = [str(row["day"]) for row in done.profile]
    covered = [_coverage(done, row) for row in done.profile]
    found = list(covered[0])
    plots = {
        "plot": presentation.bars(
            f"{name}: conversions per day",
            days,
            {
                "attributed": [row["ids"] - row["not_attributed_rows"] for row in done.profile],
                "(not attributed)": [row["not_attributed_rows"] for row in done.profile],
            },
        ),
        "plot of coverage": presentation.lines(
            f"{name}: {' and '.join(['(not attributed)', *(['geo coverage'] if len(found) > 1 else [])])} per day, %",
            days,
            {what: [shares[what] for shares in covered] for what in found},
        ),
    }
    if any(row["quarantined_rows"] for row in done.profile):
        refused = {"R6 values": "quarantined_r6", "R7 ids": "quarantined_r7"}
        plots["plot of quarantine"] = presentation.bars(
            f"{name}: quarantined rows per day",
            days,
            {rule: [row[column] for row in done.profile] for rule, column in refused.items()},
        )
    return plots
