"""`dg scaffold defs`: folders that load, pass their own test and explain themselves."""

from contextlib import suppress
from string import Template
from typing import Any, ClassVar, NoReturn

import dagster as dg

from conversions_assets.contract.conversion import RESERVED_DATASETS, check_name

CONVERSION_YAML = """\
type: conversions_assets.components.CustomConversion

attributes:
  # The SQL file in this folder: BigQuery SQL, one SELECT over raw tables.
  query: $name.sql
  # The first local day, in the time zone of project.yaml. Every day from here to yesterday is a partition.
  start_date: "2025-01-01"
  # Late changes in the CRM are published for this many days (0 to 365), then a day is frozen. Without it: at once.
  adjustment_window_days: 30

  # Everything below is optional.

  # Which `created` wins when the SQL returns an id several times: earliest (the default) or latest.
  # dedup: earliest

  # The value is predicted: a lead is worth the deals it will bring. The SQL of both returns a user_id.
  # predicted_value: {target: deal_closed, conversion_window_days: 40}

  # When a load looks incomplete, so that nothing is retracted until a person says so; else as in project.yaml.
  # guard: {raw_rows_fall: 0.2, vanished_share: 0.2, vanished_rows: 20}

  # When adjusted/$name counts as stale: by its age ...
  # freshness: {fail_after_hours: 26, warn_after_hours: 24}
  # ... or when nothing came in during the hours before a deadline.
  # freshness: {deadline_cron: "0 9 * * *", lower_bound_hours: 12}

  # With BigQuery: a job that would be billed for more bytes is refused.
  # maximum_bytes_billed: 50000000000

  # For the Dagster UI: what it is, who owns it, and where it stands in the graph.
  # description: A paid order.
  # owners: ["team:marketing"]
  # group: $name
"""

CONVERSION_SQL = """\
-- One row per conversion. BigQuery SQL, which also runs on DuckDB. The example reads the orders of a web shop; write
-- your own tables as dataset.table. $name.test.yaml shows with a few rows that the SQL does what you mean.
SELECT
  -- Required:
  o.id,                                  -- STRING, at most 64 characters, the same for ever
  o.ga_client_id AS client_id,           -- STRING, the Google Analytics client id; NULL: not attributed
  o.ordered_at AS created,               -- TIMESTAMP, when it happened: it decides the day
  -- Optional; leave out what you do not have:
  o.total AS value,                      -- FLOAT64
  o.currency,                            -- STRING, ISO 4217; NULL: the currency of project.yaml
  -- is_qualified                        -- BOOL, whether sales accepted it
  o.contact_id AS user_id,               -- STRING, the person's id in the CRM
  [STRUCT('city' AS key, o.city AS value), STRUCT('country', o.country)] AS params
FROM shop.orders AS o
WHERE o.status = 'paid'
  -- The days that a run asks for (DATE, both in). They come one day wider on each side, as days are local.
  AND o.ordered_at >= TIMESTAMP(@start_date)
  AND o.ordered_at < TIMESTAMP(DATE_ADD(@end_date, INTERVAL 1 DAY))
"""

CONVERSION_TEST = """\
# Raw rows in, expected conversions out: a test of $name.sql. Run it with `pytest` and this file's path, or all tests
# with `make test`. The whole format is in docs/testing-your-sql.md.
cases:
  - name: a paid order is a conversion, a cancelled one is not
    # The rows of each raw table that the SQL reads. Columns that a row leaves out are NULL.
    given:
      shop.orders:
        - &order                          # a name for this row, so that others can start from it
          id: "1"                         # quotes make a number text
          ga_client_id: GA1.2.1234567.7654321
          contact_id: c1
          ordered_at: 2025-01-15T10:00:00Z
          total: 49.9
          currency: EUR
          city: Berlin
          country: Germany
          status: paid
        - {<<: *order, id: "2", status: cancelled}
    # All rows that come out, in any order. Columns that a row leaves out are not compared.
    expect:
      - id: "1"
        client_id: "1234567.7654321"
        created: 2025-01-15T10:00:00Z
        value: 49.9
        currency: EUR
        params: {city: Berlin, country: Germany}
        user_id: c1

  - name: a run gets the orders of its days
    days: [2025-01-01, 2025-01-31]
    given:
      shop.orders:
        - {<<: *order, id: "1"}
        - {<<: *order, id: "2", ordered_at: 2025-02-15T10:00:00Z}
    expect:
      - {id: "1"}

  - name: an order without a client id counts, one in a currency that is none does not
    given:
      shop.orders:
        - {<<: *order, id: "1", ga_client_id: null}
        - {<<: *order, id: "2", currency: Euro}
    expect:
      - {id: "1", client_id: null}
    # Rows that the contract refuses, with the number of the rule in docs/rules.md.
    quarantined:
      - {id: "2", rule: R6}
"""

CRM_TABLES_YAML = """\
type: conversions_assets.components.CrmTables

attributes:
  # The dataset (DuckDB: schema) that a loader fills.
  dataset: $name
  tables:
    orders:
      primary_key: [id]
      # A column that moves with every change.
      updated_at: updated_at
      # A column that tells the load; without it a change of max(updated_at) and of the row count is a new load.
      # load_id: _load_id
"""


CRM_SOURCE_YAML = """\
type: conversions_assets.components.CrmSource

attributes:
  # hubspot, salesforce, dynamics or pipedrive; each has a page in docs/crm/.
  crm: hubspot
  # The dataset (DuckDB: schema) to load into.
  dataset: $name
  # Names of environment variables, never the secrets themselves.
  secrets:
    token: HUBSPOT_TOKEN
  # The property that holds the website's client id: create it in the CRM first.
  client_id: ga_client_id
  schedule: "15 * * * *"
  freshness:
    fail_after_hours: 6
"""


class CustomConversionScaffolder(dg.Scaffolder[Any]):
    """Writes defs.yaml, a commented SQL file and a test of it."""

    def scaffold(self, request: dg.ScaffoldRequest[Any]) -> None:
        """Write the folder.

        Raises:
            click.ClickException: the name cannot be a conversion's (R32), or lies outside of the project.
        """
        name = request.target_path.name
        wrong = check_name(name)
        if wrong:
            _refuse(request, f"R32: {wrong}")
        _write(
            request,
            {
                "defs.yaml": CONVERSION_YAML,
                f"{name}.sql": CONVERSION_SQL,
                f"{name}.test.yaml": CONVERSION_TEST,
            },
        )


class DatasetScaffolder(dg.Scaffolder[Any]):
    """Writes a commented defs.yaml of a dataset.

    Attributes:
        text: of the file; `$name` is the dataset's name.
    """

    text: ClassVar[str]

    def scaffold(self, request: dg.ScaffoldRequest[Any]) -> None:
        """Write the folder.

        Raises:
            click.ClickException: the name cannot be a dataset's (R32), or lies outside of the project.
        """
        name = request.target_path.name
        if not (name.isascii() and name.isidentifier()):
            _refuse(request, f"'{name}' is no name of a dataset: write letters, digits and _, no digit first")
        if name in RESERVED_DATASETS:
            _refuse(request, f"R32: '{name}' is a dataset of this project; raw tables lie in one of their own")
        _write(request, {"defs.yaml": self.text})


class CrmTablesScaffolder(DatasetScaffolder):
    """Writes a commented defs.yaml of tables that someone else loads."""

    text = CRM_TABLES_YAML


class CrmSourceScaffolder(DatasetScaffolder):
    """Writes a commented defs.yaml of a CRM."""

    text = CRM_SOURCE_YAML


def _write(request: dg.ScaffoldRequest[Any], files: dict[str, str]) -> None:
    folder = request.target_path
    root = request.project_root
    if ".." in folder.parts or (root is not None and not folder.resolve().is_relative_to(root.resolve())):
        _refuse(request, f"{folder} does not lie in the project's defs folder: write a path like conversions/signup")
    for file, text in files.items():
        (folder / file).write_text(Template(text).substitute(name=folder.name), encoding="utf-8")


def _refuse(request: dg.ScaffoldRequest[Any], problem: str) -> NoReturn:
    import click

    # dg has made the folder by now.
    with suppress(OSError):
        request.target_path.rmdir()
    raise click.ClickException(problem)
