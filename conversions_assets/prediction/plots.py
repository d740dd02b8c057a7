"""A model's report as pictures and tables, for the UI and for the page: predicted beside actual, delays, params."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from conversions_assets.charts import draw

Report = Mapping[str, Any]
Rows = Sequence[Mapping[str, Any]]


def pictures(report: Report, currency: str) -> dict[str, str]:
    """Title -> picture as a data URI; none where the report holds nothing to draw."""
    return dict(_pictures(report, currency))


def _pictures(report: Report, currency: str) -> Iterator[tuple[str, str]]:
    for title, _, rows in _groups(report):
        yield f"targets {title}", _predicted_and_actual(f"Targets {title}", rows)
    weeks: Rows = report["backtest"].get("weeks", ())
    if weeks:
        labels = [row["label"] for row in weeks]
        series = {"predicted": [r["predicted_value"] for r in weeks], "came": [r["actual_value"] for r in weeks]}
        yield "value by week", draw("Bar", f"Value by week, {currency}", labels, series)
    curve: Rows = report["delay_curve"]
    if curve:
        ages, shares = [f"{row['age_days']:.0f}" for row in curve], [100 * row["share"] for row in curve]
        title = "Targets that have come, %, by days since the lead"
        yield "delay curve", draw("Line", title, ages, {"share": shares}, range=(0, 100), dots_size=2)


def tables(report: Report) -> dict[str, Rows]:
    """Title -> rows."""
    found: dict[str, Rows] = {
        "back-test": [{"figure": name, "value": value} for name, value in report["backtest"].get("figures", {}).items()]
    }
    for title, label, rows in _groups(report):
        found[f"back-test {title}"] = [_shown(label, row) for row in rows]
    found["params used"] = [{"param": name} for name in report["features_used"]]
    found["params left out"] = report["features_left_out"]
    return {title: rows for title, rows in found.items() if rows}


def _groups(report: Report) -> Iterator[tuple[str, str, Rows]]:
    """Title, what the label of a row is, and the rows."""
    tested = report["backtest"]
    for title, label, rows in (
        ("by week of the lead", "week from", tested.get("weeks")),
        (f"by {tested.get('group_feature')}", str(tested.get("group_feature")), tested.get("groups")),
        ("by tenth of the leads, the best first", "tenth", tested.get("deciles")),
    ):
        if rows:
            yield title, label, rows


def _shown(label: str, row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        label: row["label"],
        "leads": row["leads"],
        "predicted": round(row["predicted"], 1),
        "came": row["actual"],
        "90 %": f"{row['low']:,.1f} to {row['high']:,.1f}",
        "value predicted": round(row["predicted_value"]),
        "value came": round(row["actual_value"]),
    }


def _predicted_and_actual(title: str, rows: Rows) -> str:
    """Bars beside each other; what came with its 90 % Poisson interval."""
    came = [{"value": row["actual"], "ci": {"low": row["low"], "high": row["high"]}} for row in rows]
    series = {"predicted": [row["predicted"] for row in rows], "came, with its 90 % interval": came}
    # The picture would end at the bars and cut their intervals off.
    top = 1.05 * max(row[name] for row in rows for name in ("predicted", "high"))
    return draw("Bar", title, [row["label"] for row in rows], series, range=(0, top))
