"""`type: conversions_assets.components.CrmSource`: a CRM that this project loads itself."""

import re
from datetime import timedelta

import dagster as dg
from pydantic import Field, model_validator

from conversions_assets.assets.crm import crm_assets, crm_raw_tables, load_schedule
from conversions_assets.components.crm_tables import check_dataset
from conversions_assets.components.freshness import Freshness
from conversions_assets.components.located import LocatedComponent
from conversions_assets.components.scaffolders import CrmSourceScaffolder
from conversions_assets.crm.client import CrmError
from conversions_assets.crm.source import Crm, Settings, find_crm
from conversions_assets.project import load_project
from conversions_assets.warehouse.raw import RawTable

VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]*")
ADDRESS = re.compile(r"https://[^/\s]+|http://(127\.0\.0\.1|localhost)(:\d+)?")


@dg.scaffold_with(CrmSourceScaffolder)
class CrmSource(LocatedComponent, dg.Model, dg.Resolvable):
    """The tables of a CRM: assets `<dataset>/<table>`, all loaded by one step, with `<table>_versions` of each object.

    Attributes:
        crm: hubspot, salesforce, dynamics or pipedrive.
        secrets: what the CRM wants -> the name of the environment variable that holds it.
        dataset: the dataset (DuckDB: schema) to load into; without it the CRM's name.
        address: of the account, such as https://acme.my.salesforce.com.
        objects: the objects to load; without it all that are known.
        properties: object -> properties (fields, columns) beside the default ones and your own (custom) ones.
        client_id: the property that holds the website's client id.
        lag_minutes: how far the CRM may be behind in telling a change; so much is read again each time.
        schedule: cron in the project's time zone; without it loads are started by hand or by cron.
        freshness: when the tables count as stale.
    """

    crm: str
    secrets: dict[str, str]
    dataset: str = ""
    address: str | None = None
    objects: list[str] = []
    properties: dict[str, list[str]] = {}
    client_id: str | None = None
    lag_minutes: float = Field(10, ge=0)
    schedule: str | None = None
    freshness: Freshness | None = None
    owners: list[str] = []

    @model_validator(mode="after")
    def _whole(self) -> "CrmSource":
        self.dataset = check_dataset(self.dataset or self.crm)
        if self.address is not None and not ADDRESS.fullmatch(self.address.rstrip("/")):
            raise ValueError("`address` is the account's address without a path: https://acme.example.com")
        for name in self.secrets.values():
            if not VARIABLE.fullmatch(name):
                # Perhaps the secret itself: it is not repeated.
                raise ValueError("`secrets` holds names of environment variables such as HUBSPOT_TOKEN, not secrets")
        if self.schedule is not None:
            _check_cron(self.schedule)
        try:
            wanted = self.configured.secrets
        except CrmError as error:
            raise ValueError(str(error)) from None
        if set(self.secrets) not in [set(names) for names in wanted]:
            choices = " or ".join(", ".join(names) for names in wanted)
            raise ValueError(f"{self.configured.title} wants these `secrets`: {choices}")
        return self

    @property
    def configured(self) -> Crm:
        """The CRM with these settings.

        Raises:
            CrmError: there is no such CRM or object, or the address is missing.
        """
        return find_crm(self.crm)(
            Settings(
                objects=tuple(self.objects),
                properties=self.properties,
                client_id=self.client_id,
                address=self.address.rstrip("/") if self.address else None,
                lag=timedelta(minutes=self.lag_minutes),
            )
        )

    def raw_tables(self) -> list[RawTable]:
        """The tables as the stations read them."""
        return crm_raw_tables(self.configured, self.dataset)

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """The assets and their schedule."""
        zone = load_project().timezone
        policy = self.freshness.policy(zone) if self.freshness else None
        loaded = crm_assets(self.configured, self.dataset, self.secrets, policy, self.owners)
        schedules = [load_schedule(self.dataset, self.schedule, self.raw_tables(), zone)] if self.schedule else []
        return dg.Definitions(assets=[loaded], schedules=schedules)


def _check_cron(cron: str) -> None:
    try:
        load_schedule("any", cron, [], "UTC")
    except dg.DagsterInvalidDefinitionError:
        raise ValueError(f"`schedule` is no cron expression: '{cron}'; write it like \"15 * * * *\"") from None
