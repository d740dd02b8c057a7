"""`type: conversions_assets.components.ExchangeRates`: a table of rates for the project's currency (R24)."""

import dagster as dg

from conversions_assets.assets.fx import rates_asset
from conversions_assets.components.located import LocatedComponent


class ExchangeRates(LocatedComponent, dg.Model, dg.Resolvable):
    """The asset `fx/rates`, filled from the ECB's reference rates. Without it, fill the table `fx.rates` yourself."""

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """The asset."""
        return dg.Definitions(assets=[rates_asset()])
