"""What a person sees in the Dagster UI: small tables and plots. Imported in runs only."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import dagster as dg

from conversions_assets.charts import draw

MAX_TABLE_ROWS = 31


def table(rows: Sequence[Mapping[str, Any]]) -> dg.MetadataValue[Any]:
    """Rows (the newest 31 at most) as a table; the columns are those of the first row. 'none' where there is no row."""
    if not rows:
        return dg.MetadataValue.text("none")
    shown = rows[-MAX_TABLE_ROWS:]
    columns = [dg.TableColumn(name, _kind(shown, name)) for name in shown[0]]
    return dg.MetadataValue.table(
        records=[dg.TableRecord({name: _cell(value) for name, value in row.items()}) for row in shown],
        schema=dg.TableSchema(columns),
    )


def bars(title: str, labels: Sequence[str], series: Mapping[str, Sequence[float | None]]) -> dg.MarkdownMetadataValue:
    """A stacked bar chart per label as an inline picture (SVG)."""
    return _plot("StackedBar", title, labels, series)


def lines(title: str, labels: Sequence[str], series: Mapping[str, Sequence[float | None]]) -> dg.MarkdownMetadataValue:
    """Shares in percent per label as lines from 0 to 100; a label without a value leaves a gap."""
    return _plot("Line", title, labels, series, range=(0, 100), dots_size=3)


def curves(title: str, labels: Sequence[str], series: Mapping[str, Sequence[float | None]]) -> dg.MarkdownMetadataValue:
    """Amounts per label as lines."""
    return _plot("Line", title, labels, series, dots_size=3)


def _plot(
    kind: Literal["StackedBar", "Line"],
    title: str,
    labels: Sequence[str],
    series: Mapping[str, Sequence[float | None]],
    **options: Any,
) -> dg.MarkdownMetadataValue:
    return dg.MetadataValue.md(f"![{title}]({draw(kind, title, labels, series, **options)})")


def sql(text: str) -> dg.MarkdownMetadataValue:
    """A query, as its author wrote it."""
    return dg.MetadataValue.md(f"```sql\n{text.strip()}\n```")


def per_currency(rows: Sequence[Mapping[str, Any]], column: str = "value") -> str:
    """Sums per currency as one line: '12,345.00 EUR, 99.00 USD'."""
    sums: dict[str, float] = {}
    for row in rows:
        if row[column] is not None:
            sums[row["currency"]] = sums.get(row["currency"], 0.0) + row[column]
    return ", ".join(f"{amount:,.2f} {currency}" for currency, amount in sorted(sums.items())) or "none"


def checks_link(key: Sequence[str]) -> dg.UrlMetadataValue:
    """The asset's checks in the UI."""
    return dg.MetadataValue.url(f"/assets/{'/'.join(key)}?view=checks")


def _kind(rows: Sequence[Mapping[str, Any]], name: str) -> str:
    values = [row[name] for row in rows if row[name] is not None]
    if values and all(isinstance(value, int) and not isinstance(value, bool) for value in values):
        return "int"
    return "float" if values and all(isinstance(value, int | float) for value in values) else "string"


def _cell(value: Any) -> str | int | float | bool | None:
    if isinstance(value, float):
        return round(value, 4)
    return value if value is None or isinstance(value, str | int | bool) else str(value)
