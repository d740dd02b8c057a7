"""Wildcard tables: `ga4.events_*` is every table whose name begins so, with `_TABLE_SUFFIX` for the rest of it."""

from collections.abc import Callable, Sequence
from functools import reduce

from sqlglot import exp

from conversions_assets.warehouse.errors import DialectError

SUFFIX = "_TABLE_SUFFIX"


def expand_wildcards(tree: exp.Expr, tables_like: Callable[[str, str], Sequence[str]]) -> exp.Expr:
    """The same tree with a UNION ALL BY NAME in place of every wildcard table.

    Args:
        tables_like: names of a dataset's tables that begin with a text.

    Raises:
        DialectError: no table has such a name.
    """
    if not any(table.name.endswith("*") for table in tree.find_all(exp.Table)):
        return tree
    copy = tree.copy()
    for table in list(copy.find_all(exp.Table)):
        if table.name.endswith("*"):
            prefix = table.name[:-1]
            names = sorted(tables_like(table.db, prefix))
            if not names:
                raise DialectError(f"no table in {table.db} has a name that begins with {prefix}")
            _hide_suffix(table)
            table.replace(_union(table, [name.removeprefix(prefix) for name in names], prefix))
    return copy


def _union(table: exp.Table, suffixes: Sequence[str], prefix: str) -> exp.Subquery:
    branches: list[exp.Query] = [
        exp.select(exp.Star(), exp.alias_(exp.Literal.string(suffix), SUFFIX)).from_(
            exp.table_(prefix + suffix, db=table.db, quoted=True)
        )
        for suffix in suffixes
    ]
    union = reduce(lambda left, right: exp.Union(this=left, expression=right, distinct=False, by_name=True), branches)
    return exp.Subquery(this=union, alias=exp.TableAlias(this=exp.to_identifier(table.alias or "_wildcard")))


def _hide_suffix(table: exp.Table) -> None:
    # `*` does not show the suffix.
    select = table.parent_select
    for item in select.expressions if isinstance(select, exp.Select) else []:
        star = item.this if isinstance(item, exp.Column) and isinstance(item.this, exp.Star) else item
        named = item.table if isinstance(item, exp.Column) else ""
        if isinstance(star, exp.Star) and named in ("", table.alias):
            star.set("except_", [*(star.args.get("except_") or []), exp.to_identifier(SUFFIX)])
