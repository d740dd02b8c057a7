"""What a run of `adjusted/<name>` shows: figures, tables, plots, and what its checks found. Never values of params."""

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any

import dagster as dg

from conversions_assets.adjustment.guard import Verdict
from conversions_assets.adjustment.report import Published, Replay
from conversions_assets.adjustment.suggestion import suggestion
from conversions_assets.assets import presentation
from conversions_assets.assets.conversions import conversions_key, run_metadata
from conversions_assets.contract.conversion import Conversion
from conversions_assets.contract.stage import Run


def run_figures(conversion: Conversion, run: Run, done: Published) -> dict[str, Any]:
    """The run's sums, tables and plots."""
    by_reason: dict[str, int] = {}
    for row in done.changes:
        by_reason[row["reason"]] = by_reason.get(row["reason"], 0) + row["ids"]
    adjusted = [row for row in done.changes if row["reason"] != "PUBLISHED"]
    active, retracted = (sum(row[name] for row in done.totals) for name in ("active", "retracted"))
    not_attributed = sum(row["not_attributed"] for row in done.totals)
    return {
        "summary": _summary(done),
        "days": len(done.days),
        "window": f"{done.window.first} to {done.window.last}",
        "frozen days in this run": done.frozen_days,
        "dagster/row_count": active + retracted,
        "retracted": retracted,
        "value": presentation.per_currency(done.totals),
        "(not attributed)": f"{not_attributed / max(active, 1):.1%}",
        "versions by reason": ", ".join(f"{reason} {ids}" for reason, ids in sorted(by_reason.items())) or "none",
        "value moved": presentation.per_currency(adjusted, "value_delta"),
        "changes per day": presentation.table(done.changes),
        "newest ledger entries": presentation.table([_entry(row) for row in done.entries]),
        **drift_figures(done),
        "plot": _plot(conversion, done),
        "plot of the window": _plot_window(conversion, done),
        "SQL": presentation.sql(conversion.query.text),
        "checks": presentation.checks_link(conversions_key(conversion.name).path),
        **{f"{name} (by hand)": reason for name, reason in _reasons(run).items()},
        **run_metadata(run),
    }


def _summary(done: Published) -> str:
    """What a run did, in a sentence; of frozen days it says that nothing changes there."""
    versions, days = sum(row["ids"] for row in done.changes), len({row["day"] for row in done.changes})
    wrote = f"{versions:,} versions on {days} days" if versions else "nothing was changed"
    if not done.frozen_days:
        return wrote
    frozen = "all" if done.frozen_days == len(done.days) else f"{done.frozen_days} of"
    differences = f"{done.drift_report.row_count:,} differences are in the drift report"
    return f"{wrote}; {frozen} {len(done.days)} days are frozen (R21): {differences}"


def drift_figures(done: Published) -> dict[str, Any]:
    """How the frozen days differ from the CRM, and the window that would have caught nearly all of it."""
    report = done.drift_report
    return {
        "frozen differences": report.row_count,
        "suggested window": suggestion(report.ages),
        "drift report": presentation.table(report.kinds),
        "drift per day": presentation.table(report.days),
    }


def checks(done: Published) -> Iterator[dg.AssetCheckResult]:
    """The checks of a run that wrote."""
    if done.verdict is not None:
        yield completeness(done.verdict)
    yield _ledger(done.replay)
    yield _exchange_rates(done)


def completeness(verdict: Verdict) -> dg.AssetCheckResult:
    """R19: whether the load looks complete; it names what a person can do if not."""
    stopped = verdict.stops
    found = "; ".join(verdict.problems)
    released = f"released by hand: {verdict.release}. " if found and not stopped else ""
    return dg.AssetCheckResult(
        check_name="completeness",
        passed=not stopped,
        severity=dg.AssetCheckSeverity.ERROR,
        description=f"R19: {released}{found or 'no retraction, or a load that looks complete'}",
        metadata={
            "would be retracted": verdict.vanishing,
            "of these deleted in the CRM": verdict.deleted,
            "ids of the window": verdict.window_ids,
            "may vanish at once": int(verdict.most),
            "raw rows": presentation.table(
                [
                    {"table": name, "rows before": verdict.rows_before.get(name), "rows now": rows}
                    for name, rows in verdict.rows.items()
                ]
            ),
            "not complete": ", ".join(verdict.incomplete) or "none known",
        },
    )


def release_hint(name: str, days: str) -> str:
    """The command that releases a stopped run."""
    config = f'{{"ops": {{"adjusted__{name}": {{"config": {{"release": "why"}}}}}}}}'
    return f"dg launch --assets adjusted/{name} --partition-range {days} --config-json '{config}'"


def _ledger(replay: Replay) -> dg.AssetCheckResult:
    wrong = {
        "published without a ledger entry": replay.not_in_ledger,
        "in the ledger and not published": replay.not_published,
        "published row is not what the ledger says": replay.different,
        "rows of one id too many": replay.repeated,
    }
    found = ", ".join(f"{what}: {count:,}" for what, count in wrong.items() if count)
    compared = f"{replay.ids:,} ids of {replay.compared_days} of {replay.touched_days} touched days"
    return dg.AssetCheckResult(
        check_name="ledger",
        passed=replay.holds,
        severity=dg.AssetCheckSeverity.ERROR,
        description=f"R16: {compared}: {found or 'replaying gives what is published'}. "
        + ("" if replay.holds else "Somebody else wrote into one of the two tables: restore it from a copy."),
        metadata={"ids": replay.ids, **wrong},
    )


def _exchange_rates(done: Published) -> dg.AssetCheckResult:
    missing = [row for row in done.totals if row["without_rate"]]
    ids: Counter[str] = Counter()
    for row in missing:
        ids[row["currency"]] += row["without_rate"]
    found = ", ".join(f"{count:,} ids in {currency}" for currency, count in sorted(ids.items()))
    return dg.AssetCheckResult(
        check_name="exchange_rates",
        passed=not missing,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"R24: without a rate, `value_project` is NULL: {found}. Fill the table fx.rates before publishing "
        "(materialize fx/rates, component ExchangeRates)."
        if missing
        else "R24: every value has its value in the project's currency",
        metadata={
            "days": presentation.table(
                [{"day": row["day"], "currency": row["currency"], "ids": row["without_rate"]} for row in missing]
            )
        },
    )


def _reasons(run: Run) -> dict[str, str]:
    return {name: reason for name, reason in (("release", run.release), ("thaw", run.thaw)) if reason}


def _entry(row: Mapping[str, Any]) -> dict[str, Any]:
    def state(when: str) -> str:
        status, value = row[f"status_{when}"], row[f"value_{when}"]
        shown = (
            "without value" if value is None else f"{value:,.2f} {row['currency'] if when == 'after' else ''}".strip()
        )
        return "not published" if status is None else f"{shown}{', retracted' if status == 'RETRACTED' else ''}"

    return {
        "id": row["id"],
        "day": row["day"],
        "reason": row["reason"],
        "before → after": f"{state('before')} → {state('after')}",
        "delta": row["value_delta"],
    }


def _plot_window(conversion: Conversion, done: Published) -> dg.MetadataValue[Any]:
    """Published beside the CRM over the window: values in the most frequent currency, or numbers without any value."""
    if not done.window_sums:
        return dg.MetadataValue.text("no conversions in the window")
    weights: Counter[str] = Counter()
    for row in done.window_sums:
        weights[row["currency"]] += row["published_ids"] + row["crm_ids"]
    currency = weights.most_common(1)[0][0]
    rows = [row for row in done.window_sums if row["currency"] == currency]
    now = "newest scores" if conversion.predicted else "CRM now"
    what = "value" if any(row["published_value"] or row["crm_value"] for row in rows) else "ids"
    return presentation.curves(
        f"{conversion.name}: published and {now} over the window, {currency if what == 'value' else 'conversions'}",
        [str(row["day"]) for row in rows],
        {"published": [row[f"published_{what}"] for row in rows], now: [row[f"crm_{what}"] for row in rows]},
    )


def _plot(conversion: Conversion, done: Published) -> dg.MarkdownMetadataValue:
    counts = {day: {"active": 0, "retracted": 0, "restated": 0} for day in done.days.all()}
    for row in done.totals:
        counts[row["day"]]["active"] += row["active"]
        counts[row["day"]]["retracted"] += row["retracted"]
    for row in done.changes:
        if row["day"] in counts and row["restated"]:
            counts[row["day"]]["restated"] += row["restated"]
            counts[row["day"]]["active"] -= row["restated"]
    return presentation.bars(
        f"{conversion.name}: published per day",
        [str(day) for day in counts],
        {
            "active, as before": [row["active"] for row in counts.values()],
            "restated in this run": [row["restated"] for row in counts.values()],
            "retracted": [row["retracted"] for row in counts.values()],
        },
    )


def day_figures(done: Published) -> dict[date, dict[str, Any]]:
    """Each day's own figures, which the UI also plots over the partitions."""
    per_day: dict[date, dict[str, Any]] = {
        day: {"dagster/partition_row_count": 0, "retracted (day)": 0, "versions (day)": 0} for day in done.days.all()
    }
    for row in done.totals:
        per_day[row["day"]]["dagster/partition_row_count"] += row["active"] + row["retracted"]
        per_day[row["day"]]["retracted (day)"] += row["retracted"]
    for row in done.changes:
        if row["day"] in per_day:
            per_day[row["day"]]["versions (day)"] += row["ids"]
    return per_day
