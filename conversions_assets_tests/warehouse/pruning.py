"""Whether a job reads no more days than it must: BigQuery prunes partitions by a filter it can compute before it runs.

A filter with constants or query parameters does, one with a column, a subquery or a join does not:
https://cloud.google.com/bigquery/docs/querying-partitioned-tables (Use a constant filter expression)
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cache

import sqlglot
from sqlglot import exp

DAY = "day"
ALLOWED = {
    r"SELECT MIN\(p.day\) AS first_home": "R17: an id may be published on any day; two columns are read to find it",
    "CREATE OR REPLACE TEMPORARY TABLE linked ": "R26: a target may belong to a lead of any day",
    "CREATE OR REPLACE TEMPORARY TABLE first_seen ": "R28: a model learns from the leads of all days",
    "CREATE OR REPLACE TEMPORARY TABLE scores_now ": "R27: a lead of any day may have matured",
    r"SELECT COUNTIF\(t.day ": "R25: the persons of all leads are those that targets must meet",
    r"SELECT \* FROM `\w+`.`\w+` WHERE id = @id": "make explain: a person asks for one id, wherever it is",
}
"""How a statement begins that may read all days (a pattern), and why no day bounds it."""
COMPARISONS = (exp.EQ, exp.LT, exp.LTE, exp.GT, exp.GTE, exp.Between, exp.In)
MOVING = (exp.Column, exp.Query, exp.Subquery)


def unpruned(jobs: Iterable[str]) -> list[str]:
    """The statements among all jobs of a project that touch a table partitioned by day and read all days of it."""
    partitioned: set[str] = set()
    found = []
    for job in jobs:
        for text, reads, made in _looked_at(job):
            partitioned |= made
            if reads & partitioned and not any(re.match(begins, text) for begins in ALLOWED):
                found.append(text)
    return found


@cache
def _looked_at(job: str) -> Sequence[tuple[str, frozenset[str], frozenset[str]]]:
    """Per statement: its text, the tables of datasets it reads without such a filter, those it makes in partitions."""
    if not re.search(r"\b(FROM|JOIN|INTO|UPDATE|TABLE)\b", job):
        return ()
    trees = [tree for tree in sqlglot.parse(job, read="bigquery") if tree is not None]
    return [(tree.sql(dialect="bigquery"), frozenset(_reads(tree)), frozenset(_made(tree))) for tree in trees]


def _made(tree: exp.Expr) -> Iterator[str]:
    if isinstance(tree, exp.Create) and tree.find(exp.PartitionedByProperty):
        table = tree.find(exp.Table)
        assert table is not None
        yield _name(table)


def _reads(tree: exp.Expr) -> Iterator[str]:
    written = _written(tree)
    for table in tree.find_all(exp.Table):
        if table.db and table is not written and not _is_filtered(table):
            yield _name(table)


def _written(tree: exp.Expr) -> exp.Table | None:
    """A table that rows are only added to, or that is made."""
    target = tree.this if isinstance(tree, exp.Insert | exp.Create | exp.Alter | exp.Drop) else None
    return target.find(exp.Table) if isinstance(target, exp.Expr) else None


def _is_filtered(table: exp.Table) -> bool:
    statement = table.find_ancestor(exp.Select, exp.Delete, exp.Update)
    where = statement.args.get("where") if statement else None
    return where is not None and _prunes(where.this, table.alias_or_name, _is_alone(statement))


def _is_alone(statement: exp.Expr | None) -> bool:
    return statement is not None and not statement.args.get("joins")


def _prunes(condition: exp.Expr, alias: str, alone: bool) -> bool:
    condition = condition.unnest()
    if isinstance(condition, exp.And):
        return _prunes(condition.left, alias, alone) or _prunes(condition.right, alias, alone)
    if isinstance(condition, exp.Or):
        return _prunes(condition.left, alias, alone) and _prunes(condition.right, alias, alone)
    if not isinstance(condition, COMPARISONS):
        return False
    column, *others = [part for part in condition.iter_expressions() if isinstance(part, exp.Expr)]
    is_day = isinstance(column, exp.Column) and column.name == DAY
    is_of_table = is_day and (column.text("table") == alias or (alone and not column.text("table")))
    return is_of_table and not any(part.find(*MOVING) for part in others)


def _name(table: exp.Table) -> str:
    return f"{table.db}.{table.name}"
