"""What the code has sent to BigQuery, statement by statement, and the tables that they name."""

from collections.abc import Iterator

from sqlglot import exp

from conversions_assets.warehouse.dialect import parse_bigquery
from conversions_assets_tests.warehouse.emulated_client import Request


def statements_of(request: Request) -> Iterator[exp.Expr]:
    """The statements of a job that ran; none of a dry run, and without the functions of ours."""
    if request.config.get("dryRun") or request.sql.startswith("CALL "):
        return
    for tree in parse_bigquery(request.sql):
        if not (isinstance(tree, exp.Create) and tree.args.get("kind") == "FUNCTION"):
            yield tree


def tables_of(tree: exp.Expr) -> set[str]:
    """Names of the tables in a statement, each once, without those of its WITH."""
    return {name_of(table) for table in tree.find_all(exp.Table)} - {cte.alias for cte in tree.find_all(exp.CTE)}


def name_of(table: exp.Table) -> str:
    """`dataset.table`, or the name alone of a temporary table."""
    return f"{table.db}.{table.name}" if table.db else table.name
