"""Google's client on a real project (BIGQUERY_TEST_PROJECT): each test has datasets of its own, which it drops."""

import os
from typing import Any

import sqlglot
from google.cloud.bigquery import Client, Dataset, LoadJob, QueryJob, QueryJobConfig, Table
from sqlglot import exp

from conversions_assets_tests.warehouse.emulated_client import Request

DATASETS = ("conversions", "adjusted", "predicted", "shop", "hubspot", "crm", "fx", "retail")


class PrefixedDatasets(Client):
    """A client that puts a prefix before the names of the datasets that our SQL knows.

    `requests`: the jobs that were asked for, under the plain names.
    """

    prefix = ""
    requests: list[Request]

    def query(self, query: str, job_config: QueryJobConfig | None = None, **options: Any) -> QueryJob:  # type: ignore[override]
        self.requests.append(Request(query, (job_config or QueryJobConfig()).to_api_repr()))
        return super().query(self._prefixed(query), job_config=job_config, **options)

    def get_table(self, table: str, **options: Any) -> Any:  # type: ignore[override]
        return super().get_table(self._target(table), **options)

    def get_dataset(self, dataset_ref: Any, **options: Any) -> Dataset:  # type: ignore[override]
        return super().get_dataset(f"{self.project}.{self._name(dataset_ref.dataset_id)}", **options)

    def create_dataset(self, dataset: Any, **options: Any) -> Dataset:  # type: ignore[override]
        given = dataset if isinstance(dataset, Dataset) else Dataset(f"{self.project}.{dataset}")
        wanted = Dataset(f"{self.project}.{self._name(given.dataset_id)}")
        wanted.location = given.location or self.location
        return super().create_dataset(wanted, **options)

    def create_table(self, table: Any, **options: Any) -> Any:  # type: ignore[override]
        return super().create_table(Table(self._target(table.full_table_id or str(table)), table.schema), **options)

    def delete_table(self, table: Any, **options: Any) -> None:  # type: ignore[override]
        super().delete_table(self._target(table), **options)

    def load_table_from_file(self, file_obj: Any, destination: str, **options: Any) -> LoadJob:  # type: ignore[override]
        self.requests.append(Request("", {"destination": destination}))
        return super().load_table_from_file(file_obj, self._target(destination), **options)

    def drop(self) -> None:
        """Delete the datasets with all that is in them."""
        for dataset in DATASETS:
            self.delete_dataset(f"{self.project}.{self._name(dataset)}", delete_contents=True, not_found_ok=True)

    def _target(self, table: str) -> str:
        project, dataset, name = table.split(".")
        return f"{project}.{self._name(dataset)}.{name}"

    def _name(self, dataset: str) -> str:
        return self.prefix + dataset if dataset in DATASETS else dataset

    def _prefixed(self, query: str) -> str:
        if not any(dataset in query for dataset in DATASETS):
            return query
        trees = [tree for tree in sqlglot.parse(query, read="bigquery") if tree is not None]
        for tree in trees:
            for table in tree.find_all(exp.Table):
                if table.db in DATASETS:
                    table.set("db", exp.to_identifier(self._name(table.db), quoted=True))
        return ";\n".join(tree.sql(dialect="bigquery") for tree in trees)


class RealClient(PrefixedDatasets):
    """On a project, by the credentials of the default chain, in BIGQUERY_LOCATION."""

    def __init__(self, project: str, prefix: str) -> None:
        super().__init__(project=project, location=os.environ.get("BIGQUERY_LOCATION", "EU"))
        self.prefix = prefix
        self.requests = []
