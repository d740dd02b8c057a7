"""The check `dry_run` of `conversions/<name>`, under BigQuery: does it take the query, and what would it bill?"""

import dagster as dg

from conversions_assets.assets.conversions import conversions_key
from conversions_assets.assets.pools import engine
from conversions_assets.assets.warehouse import WarehouseResource
from conversions_assets.contract.conversion import Conversion
from conversions_assets.contract.source import QueryError
from conversions_assets.project import read_clock


def dry_run_checks(conversion: Conversion) -> list[dg.AssetChecksDefinition]:
    """The check; none under DuckDB, which bills nothing and refuses a wrong query at once."""
    if engine() != "bigquery":
        return []

    @dg.asset_check(
        asset=conversions_key(conversion.name),
        name="dry_run",
        description="BigQuery takes the query against the tables as they are, within maximum_bytes_billed.",
    )
    def _dry_run(warehouse: WarehouseResource) -> dg.AssetCheckResult:
        from conversions_assets.contract.dry_run import dry_run

        try:
            with warehouse.open() as session:
                found = dry_run(session, conversion, read_clock())
        except QueryError as error:
            return dg.AssetCheckResult(passed=False, description=str(error))
        return dg.AssetCheckResult(
            passed=found.over_limit is None,
            description=found.over_limit,
            metadata={
                "bytes of a day": found.day or 0,
                "bytes of the window": found.window or 0,
                "bytes billed in 30 days, at most": found.month,
                "USD in 30 days, at most": round(found.price, 2),
                "loads a day": conversion.project.bigquery.loads_per_day,
            },
        )

    return [_dry_run]
