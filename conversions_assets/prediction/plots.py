"""A model's report as pictures and tables, for the UI and for the page: predicted beside actual, delays, params."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from conversions_assets.charts import draw

Report = Mapping[str, Any]
Rows = Sequence[Mapping[str, Any]]
GROUPS = {"weeks": "by week", "sources": "by source", "deciles": "by decile of the score"}


def pictures(report: Report, currency: str) -> dict[str, str]:
    """Title -> picture as a data URI; none where the report holds nothing to draw."""
    return dict(_pictures(report, currency))


def _pictures(report: Report, currency: str) -> Iterator[tuple[str, str]]:
    for group, title in GROUPS.items():
        rows: Rows = report.get("backtest", {}).get(group, ())
        if rows:
            yield f"targets {title}", _predicted_and_actual(f"Targets {title}: predicted and actual", rows)
    if report["delay_curve"]:
        curve = report["delay_curve"]
        yield (
            "delay curve",
            draw(
                "Line",
                "Share of the targets that has arrived, %, by days since the lead",
                [f"{row['age_days']:.0f}" for row in curve],
                {"arrived": [100 * row["share"] for row in curve]},
                range=(0, 100),
                dots_size=2,
            ),
        )


def tables(report: Report) -> dict[str, Rows]:
    """Title -> rows."""
    found: dict[str, Rows] = {"features used": [{"param": name} for name in report["features_used"]]}
    found["params left out"] = report["features_left_out"]
    for group, title in GROUPS.items():
        found[f"back-test {title}"] = report.get("backtest", {}).get(group, ())
    found["back-test"] = [
        {"figure": name, "value": value} for name, value in report.get("backtest", {}).get("figures", {}).items()
    ]
    return {title: rows for title, rows in found.items() if rows}


def _predicted_and_actual(title: str, rows: Rows) -> str:
    """Bars beside each other; the actual ones with their 90 % Poisson interval."""
    return draw(
        "Bar",
        title,
        [str(row["label"]) for row in rows],
        {
            "predicted": [row["predicted"] for row in rows],
            "actual, with 90 % interval": [
                {"value": row["actual"], "ci": {"low": row["low"], "high": row["high"]}} for row in rows
            ],
        },
    )
