"""`type: conversions_assets.components.ExchangeRates`: a table of rates for the project's currency (R24)."""

import dagster as dg

from conversions_assets.assets.fx import daily_rates, rates_asset
from conversions_assets.components.located import LocatedComponent
from conversions_assets.project import load_project


class ExchangeRates(LocatedComponent, dg.Model, dg.Resolvable):
    """The asset `fx/rates`, filled daily from the ECB's reference rates. Without it, fill `fx.rates` yourself."""

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """The asset and its schedule."""
        project = load_project()
        return dg.Definitions(assets=[rates_asset(project)], schedules=[daily_rates(project)])
