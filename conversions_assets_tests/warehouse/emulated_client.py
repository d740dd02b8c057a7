"""Google's client on the emulator: it keeps what is asked of BigQuery, and fills in what the emulator lacks.

Each difference stands in docs/bigquery-emulator.md; without them this is the client as it is.
"""

import copy
from dataclasses import dataclass
from typing import Any

import pyarrow.parquet
import sqlglot
from google.api_core.client_options import ClientOptions
from google.auth.credentials import AnonymousCredentials
from google.cloud.bigquery import Client, LoadJob, LoadJobConfig, QueryJob, QueryJobConfig, SchemaField, Table
from sqlglot import exp

SCRATCH = "session_loads"
TYPES = {
    "string": "STRING",
    "double": "FLOAT64",
    "int64": "INT64",
    "bool": "BOOL",
    "date32": "DATE",
    "timestamp": "TIMESTAMP",
}


@dataclass(frozen=True)
class Request:
    """A job as the engine asked for it: its SQL ('' for a load) and its configuration as the API receives it."""

    sql: str
    config: dict[str, Any]


class EmulatedClient(Client):
    """A client without credentials. `requests`: the jobs that were asked for."""

    def __init__(self, address: str, project: str) -> None:
        options = ClientOptions(api_endpoint=address)
        super().__init__(project=project, credentials=AnonymousCredentials(), client_options=options, location="EU")
        self.requests: list[Request] = []

    def query(self, query: str, job_config: QueryJobConfig | None = None, **options: Any) -> QueryJob:  # type: ignore[override]
        config = job_config or QueryJobConfig()
        self.requests.append(Request(query, config.to_api_repr()))
        if any(_goes_astray(parameter, query) for parameter in config.query_parameters):
            query, config = _with_literals(query, config), copy.deepcopy(config)
            config.query_parameters = []
        if query.startswith("ALTER TABLE"):
            return self._alter(query, config, **options)
        return super().query(query, job_config=config, **options)

    def _alter(self, query: str, config: QueryJobConfig, **options: Any) -> QueryJob:
        """It takes one new column in a statement, and shows none of them in the table's schema."""
        [tree] = sqlglot.parse(query, read="bigquery")
        assert tree is not None
        columns = tree.args["actions"]
        for column in columns:
            tree.set("actions", [column])
            job = super().query(tree.sql(dialect="bigquery"), job_config=config, **options)
            job.result()
        table = self.get_table(f"{self.project}.{tree.this.db}.{tree.this.name}")
        added = [SchemaField(column.name, column.args["kind"].sql(dialect="bigquery")) for column in columns]
        table.schema = [*table.schema, *added]
        self.update_table(table, ["schema"])
        return job

    def load_table_from_file(  # type: ignore[override]
        self, file_obj: Any, destination: str, job_config: LoadJobConfig | None = None, **options: Any
    ) -> LoadJob:
        config = job_config or LoadJobConfig()
        self.requests.append(Request("", config.to_api_repr() | {"destination": destination}))
        project, dataset, name = destination.split(".")
        if dataset != "_SESSION":
            return super().load_table_from_file(file_obj, destination, job_config=config, **options)
        # A load job finds no session there, and makes no table.
        self.create_dataset(SCRATCH, exists_ok=True)
        target = f"{project}.{SCRATCH}.{name}"
        self.delete_table(target, not_found_ok=True)
        self.create_table(Table(target, schema=_schema(file_obj)))
        plain = LoadJobConfig(source_format=config.source_format)
        job = super().load_table_from_file(file_obj, target, job_config=plain, **options)
        job.result()
        super().query(f"CREATE OR REPLACE TEMP TABLE {name} AS SELECT * FROM {SCRATCH}.{name}").result()
        return job


def _schema(parquet: Any) -> list[SchemaField]:
    fields = pyarrow.parquet.read_schema(parquet)
    parquet.seek(0)
    return [SchemaField(field.name, TYPES[str(field.type).partition("[")[0]]) for field in fields]


def _goes_astray(parameter: Any, query: str) -> bool:
    """No parameter reaches a script; beside a WINDOW they change places; bytes stay in Base64."""
    return ";\n" in query or " WINDOW " in query or parameter.to_api_repr()["parameterType"].get("type") == "BYTES"


def _with_literals(script: str, config: QueryJobConfig) -> str:
    values = {parameter.name: parameter.to_api_repr() for parameter in config.query_parameters}

    def literal(node: exp.Expr) -> exp.Expr:
        if not isinstance(node, exp.Parameter):
            return node
        given = values[node.name]
        value = given["parameterValue"].get("value")
        kind = exp.DataType.build(given["parameterType"]["type"], dialect="bigquery")
        if given["parameterType"]["type"] == "BYTES" and value is not None:
            return exp.func("FROM_BASE64", exp.Literal.string(value), dialect="bigquery")
        return exp.cast(exp.null() if value is None else exp.Literal.string(str(value)), kind)

    trees = sqlglot.parse(script, read="bigquery")
    return ";\n".join(tree.transform(literal).sql(dialect="bigquery") for tree in trees if tree is not None)
