"""A model's report as a page for people who do not use Dagster. Sums and names of params; no row, no id."""

import os
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from string import Template
from typing import Any

from conversions_assets.contract.conversion import Conversion
from conversions_assets.prediction.models import StoredModel
from conversions_assets.prediction.plots import pictures, tables

FRAME = Path(__file__).with_name("page.html")
LOOKS = {"yes": "yes", "with care": "care", "no": "no"}


def write_page(folder: Path, conversion: Conversion, model: StoredModel) -> Path:
    """Replace `<folder>/<conversion>/index.html`; returns its path."""
    assert conversion.predicted is not None
    report, currency = model.report, conversion.project.currency
    known = conversion.project.local_date(model.cut_off)
    page = Template(FRAME.read_text(encoding="utf-8")).substitute(
        title=escape(
            f"{conversion.name}: the value of its {conversion.predicted.target} within "
            f"{conversion.predicted.window_days} days, predicted"
        ),
        about=escape(
            f"Model {model.version} · fitted {model.fitted_at:%Y-%m-%d %H:%M} UTC · targets known before {known}"
        ),
        look=LOOKS[report["verdict"]["fit"]],
        verdict=escape(report["verdict"]["line"]),
        facts=_facts(report),
        pictures="\n".join(
            f'<img alt="{escape(title)}" src="{uri}">' for title, uri in pictures(report, currency).items()
        ),
        tables="\n".join(_table(title, rows) for title, rows in tables(report).items()),
    )
    path = folder / conversion.name / "index.html"
    path.parent.mkdir(parents=True, exist_ok=True)
    # Whole or not at all: another run may write the page of the same conversion.
    fresh = path.with_suffix(f".{os.getpid()}")
    fresh.write_text(page, encoding="utf-8")
    fresh.replace(path)
    return path


def _facts(report: Mapping[str, Any]) -> str:
    drift = report["drift"]
    badge = f' <span class="badge">{escape(drift["badge"])}</span>' if drift["badge"] else ""
    facts = [
        escape(f"{report['leads']:,} leads, {report['targets']:,} of them with a target. {report['level_sentence']}."),
        escape(drift["sentence"]) + badge,
        escape(f"Learnt from {report['features_as_of']}."),
        *(escape(f"Left out as a leak: {row['param']} ({row['why']}).") for row in report["leaks"]),
    ]
    return f"<ul>{''.join(f'<li>{fact}</li>' for fact in facts)}</ul>"


def _table(title: str, rows: Sequence[Mapping[str, Any]]) -> str:
    names = list(rows[0])
    numeric = {name for name in names if all(isinstance(row[name], int | float | None) for row in rows)}
    look = {name: ' class="number"' if name in numeric else "" for name in names}
    header = "".join(f"<th{look[name]}>{escape(name)}</th>" for name in names)
    body = "".join(
        f"<tr>{''.join(f'<td{look[name]}>{escape(_cell(row[name]))}</td>' for name in names)}</tr>" for row in rows
    )
    return f"<h2>{escape(title.capitalize())}</h2><table><tr>{header}</tr>{body}</table>"


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:,.2f}" if abs(value) >= 10 else f"{value:,.3f}"
    return f"{value:,}" if isinstance(value, int) else str(value)
