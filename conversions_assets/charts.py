"""Charts as inline pictures (SVG), for the Dagster UI and for pages. Imported in runs only."""

import sys
from collections.abc import Mapping, Sequence
from typing import Any, Literal

Value = float | None | Mapping[str, Any]
"""A number, None for a gap, or {'value': 3.0, 'ci': {'low': 1.0, 'high': 7.0}} for one with an interval."""


def draw(
    kind: Literal["StackedBar", "Bar", "Line"],
    title: str,
    labels: Sequence[str],
    series: Mapping[str, Sequence[Value]],
    **options: Any,
) -> str:
    """The chart as a data URI."""
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
    return str(chart.render_data_uri())
