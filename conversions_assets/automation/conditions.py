"""Freshness drives reruns: `adjusted/<name>` became stale, so the window is computed anew, once per failure."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import dagster as dg

from conversions_assets.assets.adjusted import adjusted_key, daily_keys
from conversions_assets.assets.conversions import conversions_key
from conversions_assets.contract.conversion import Conversion


def rerun_when_stale(assets: Sequence[dg.AssetsDefinition], conversion: Conversion) -> list[dg.AssetsDefinition]:
    """The daily assets of a conversion with conditions: only `conversions` reacts, what is downstream goes along.

    The condition chooses the days, since the policy looks at the newest materialisation of any day; timedelta(0) is
    the newest closed day (W = 0). Never-materialised assets are not stale (R33).
    """
    when = dg.AutomationCondition
    window = when.in_latest_time_window(timedelta(days=conversion.window_days))
    stale = when.asset_matches(adjusted_key(conversion.name), when.freshness_failed().newly_true())
    along = when.any_deps_match(when.will_be_requested()) & window
    conditions: dict[dg.AssetKey, dg.AutomationCondition[Any]] = dict.fromkeys(daily_keys(conversion), along)
    conditions[conversions_key(conversion.name)] = stale & window
    return [
        asset.map_asset_specs(lambda spec: spec.replace_attributes(automation_condition=conditions.get(spec.key)))
        for asset in assets
    ]


def stale_windows_sensor(
    conversions: Sequence[Conversion], check_seconds: int
) -> dg.AutomationConditionSensorDefinition:
    """Evaluates the conditions of all conversions."""
    keys = [key for conversion in conversions for key in daily_keys(conversion)]
    return dg.AutomationConditionSensorDefinition(
        name="stale_windows",
        target=dg.AssetSelection.assets(*keys),
        minimum_interval_seconds=check_seconds,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Reruns the window of a conversion whose freshness policy failed.",
    )
