"""What a person sees in the Dagster UI: small tables and plots. Imported in runs only."""

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

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
    kind: str, title: str, labels: Sequence[str], series: Mapping[str, Sequence[float | None]], **options: Any
) -> dg.MarkdownMetadataValue:
    import pygal
    from pygal.style import CleanStyle

    # pygal's hook for map plugins cannot be asked as hooks are today: who asks all of them (pytest) would fail.
    sys.meta_path[:] = [hook for hook in sys.meta_path if not isinstance(hook, pygal.PluginImportFixer)]
    chart = getattr(pygal, kind)(
        title=title,
        # The UI shows it in a narrow dialog: large letters, few labels.
        style=CleanStyle(
            font_family="sans-serif",
            label_font_size=20,
            major_label_font_size=20,
            legend_font_size=22,
            title_font_size=26,
            stroke_width=3,
        ),
        width=900,
        height=600,
        x_label_rotation=60,
        show_minor_x_labels=False,
        truncate_label=-1,
        margin=12,
        legend_at_bottom=True,
        legend_at_bottom_columns=1,
        js=[],
        **options,
    )
    chart.x_labels = list(labels)
    chart.x_labels_major = list(labels)[:: max(1, len(labels) // 8)]
    for name, values in series.items():
        chart.add(name, list(values))
    return dg.MetadataValue.md(f"![{title}]({chart.render_data_uri()})")


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
