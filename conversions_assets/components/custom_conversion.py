"""`type: conversions_assets.components.CustomConversion`: one SQL query, one conversion."""

import os
from datetime import date
from pathlib import Path

import dagster as dg
from pydantic import PositiveInt, PrivateAttr, field_validator

from conversions_assets.assets.adjusted import adjusted_asset
from conversions_assets.assets.conversions import conversion_asset
from conversions_assets.assets.dry_run import dry_run_checks
from conversions_assets.assets.models import models_asset
from conversions_assets.assets.predicted import predicted_asset
from conversions_assets.automation.conditions import rerun_when_stale
from conversions_assets.automation.scan import changed_days_asset
from conversions_assets.components.freshness import Freshness
from conversions_assets.components.guard import Guard
from conversions_assets.components.located import LocatedComponent, yaml_error
from conversions_assets.components.predicted_value import PredictedValueSettings
from conversions_assets.components.scaffolders import CustomConversionScaffolder
from conversions_assets.contract.conversion import MAX_WINDOW_DAYS, Conversion, Dedup, check_name
from conversions_assets.contract.query import read_query
from conversions_assets.project import ConfigurationError, load_project, read_clock


@dg.scaffold_with(CustomConversionScaffolder)
class CustomConversion(LocatedComponent, dg.Model, dg.Resolvable):
    """A conversion: the assets `conversions/<name>` and `adjusted/<name>`, named after their folder.

    With `predicted_value` also `models/<name>` and `predicted/<name>`.

    Attributes:
        query: the SQL file beside defs.yaml: BigQuery SQL, one SELECT.
        start_date: the first local day (ISO date). Moving it back adds days, forward hides none.
        adjustment_window_days: W: days before the run whose late changes are published; 0: published once, then frozen.
        dedup: which `created` wins among rows of one id.
        freshness: when `adjusted/<name>` counts as stale.
        guard: limits of R19 where this conversion's differ from those of project.yaml.
        predicted_value: the value is predicted from what leads before became, not what the SQL says.
        maximum_bytes_billed: a job of BigQuery that would be billed for more bytes is refused; absent: no limit.
        group: the assets' group; without it `conversions`, `predicted` and `adjusted`.
    """

    query: str
    start_date: str
    adjustment_window_days: int = 0
    dedup: Dedup = "earliest"
    freshness: Freshness | None = None
    guard: Guard | None = None
    predicted_value: PredictedValueSettings | None = None
    maximum_bytes_billed: PositiveInt | None = None
    owners: list[str] = []
    description: str | None = None
    group: str | None = None
    _conversion: Conversion | None = PrivateAttr(None)

    @field_validator("adjustment_window_days")
    @classmethod
    def _window(cls, days: int) -> int:
        if not 0 <= days <= MAX_WINDOW_DAYS:
            raise ValueError(
                f"R14: a window of {days} days cannot be: write a whole number from 0 to {MAX_WINDOW_DAYS}"
            )
        return days

    @field_validator("start_date")
    @classmethod
    def _past_date(cls, value: str) -> str:
        try:
            day = date.fromisoformat(value)
        except ValueError as error:
            raise ValueError(f"'{value}' is no date; write it like \"2025-01-01\"") from error
        today = load_project().local_date(read_clock().now)
        if day > today:
            raise ValueError(f"{day} lies in the future (today is {today}): write a day that has begun")
        return value

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """The conversion's assets and their checks."""
        conversion = self.conversion
        project = conversion.project
        partitions = dg.DailyPartitionsDefinition(
            start_date=conversion.start_date.isoformat(), end_date=_end_date(conversion), timezone=project.timezone
        )
        policy = self.freshness.policy(project.timezone) if self.freshness else None
        assets = [
            conversion_asset(conversion, partitions, self.description, self.owners, self.group or "conversions"),
            *self._predicting(conversion, partitions),
            adjusted_asset(conversion, partitions, policy, self.owners, self.group or "adjusted"),
        ]
        if policy is not None:
            assets = rerun_when_stale(assets, conversion)
        checks = dry_run_checks(conversion)
        return dg.Definitions(assets=[changed_days_asset(conversion, partitions), *assets], asset_checks=checks)

    def _predicting(
        self, conversion: Conversion, partitions: dg.DailyPartitionsDefinition
    ) -> list[dg.AssetsDefinition]:
        if conversion.predicted is None:
            return []
        group = self.group or "predicted"
        return [
            models_asset(conversion, self.owners, group),
            predicted_asset(conversion, partitions, self.owners, group),
        ]

    @property
    def conversion(self) -> Conversion:
        """The conversion as the stations receive it.

        Raises:
            ConfigurationError: the folder's name is no conversion name (R32).
            QueryError: the SQL file is missing or is not one SELECT.
        """
        if self._conversion is None:
            self._conversion = self._read(self.folder)
        return self._conversion

    def _read(self, folder: Path) -> Conversion:
        wrong = check_name(folder.name)
        if wrong:
            raise ConfigurationError(f"{folder}: R32: {wrong}")
        if not os.path.isfile(folder / self.query):  # no error for a name that no file can have
            raise ConfigurationError(
                yaml_error(
                    folder, ["query"], f"there is no file {self.query} in this folder: create it, or correct its name"
                )
            )
        return Conversion(
            name=folder.name,
            query=read_query(folder / self.query),
            start_date=date.fromisoformat(self.start_date),
            window_days=self.adjustment_window_days,
            dedup=self.dedup,
            project=self.guard.applied(load_project()) if self.guard else load_project(),
            predicted=self.predicted_value.resolved() if self.predicted_value else None,
            maximum_bytes_billed=self.maximum_bytes_billed,
        )


def _end_date(conversion: Conversion) -> str | None:
    # R33: a replayed clock ends the partitions; else Dagster ends them at the present by itself.
    clock = read_clock()
    if not clock.replaced:
        return None
    return conversion.project.local_date(clock.now).isoformat()
