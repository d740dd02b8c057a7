"""Great Expectations' page of a conversion's last run: what the suite saw, aggregates per day. No row, no value, no id.

The frame is our own: Great Expectations' loads its looks and scripts from other people's servers.
"""

import os
from html import escape
from pathlib import Path
from string import Template
from typing import Any

from conversions_assets.contract.conversion import Days
from conversions_assets.contract.stage import Run
from conversions_assets.contract.suite import Outcome, Validation

FRAME = Path(__file__).with_name("data_docs.html")


def write_page(folder: Path, conversion: str, days: Days, run: Run, validation: Validation) -> Path:
    """Replace `<folder>/<conversion>/index.html`; returns its path."""
    about = f"Days {days} · run {run.id} · run date {run.local_date} · CRM load {run.crm_load_id or 'unknown'}"
    page = Template(FRAME.read_text(encoding="utf-8")).substitute(
        title=escape(f"conversions/{conversion}: the contract in the last run"),
        about=escape(about),
        summary=_summary(validation),
        sections="\n".join(_sections(validation.result)) if validation.result is not None else "",
    )
    path = folder / conversion / "index.html"
    path.parent.mkdir(parents=True, exist_ok=True)
    # Whole or not at all: another run may write the page of the same conversion.
    fresh = path.with_suffix(f".{os.getpid()}")
    fresh.write_text(page, encoding="utf-8")
    fresh.replace(path)
    return path


def _summary(validation: Validation) -> str:
    failed = [outcome for outcome in validation.outcomes if not outcome.passed]
    if not failed:
        return f'<p class="good">All {len(validation.outcomes)} rule families hold on every day.</p>'
    return f"<ul>{''.join(map(_failure, failed))}</ul>"


def _failure(outcome: Outcome) -> str:
    kind, look = ("error", "bad") if outcome.rule.blocking else ("warning", "warn")
    days = ", ".join(map(str, outcome.failing_days[-10:]))
    text = f"{kind}, {outcome.rule.rules}: {outcome.sentence}"
    more = f" and {len(outcome.failing_days) - 10} days before" if len(outcome.failing_days) > 10 else ""
    return f'<li class="{look}"><b>{escape(outcome.rule.name)}</b> ({escape(text)}): {days}{more}</li>'


def _sections(result: Any) -> list[str]:
    from great_expectations.render import renderer, view

    # Great Expectations exports and types neither.
    _overview, *columns = renderer.ValidationResultsPageRenderer().render(result).to_json_dict()["sections"]  # type: ignore[attr-defined]
    jinja: Any = view.DefaultJinjaSectionView()  # type: ignore[attr-defined]
    return [jinja.render({"section": section, "section_loop": {"index": n}}) for n, section in enumerate(columns)]
