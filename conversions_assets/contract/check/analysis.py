"""A query with its names resolved and its types known: what every test of the static check reads.

The work is sqlglot's (qualify, scope, annotate_types); here are the places where BigQuery means something else.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from conversions_assets.contract.check.catalog import Catalog
from conversions_assets.contract.query import Query
from conversions_assets.warehouse.base import Table

if TYPE_CHECKING:
    from sqlglot import exp
    from sqlglot.optimizer.scope import Scope

UNKNOWN = "UNKNOWN"


@dataclass(frozen=True)
class Analysis:
    """A query's tree, every column with its table, every expression with its type.

    Attributes:
        complete: whether the schema of every table is known; else names and types are known in part.
    """

    query: Query
    catalog: Catalog
    tree: "exp.Query"
    scopes: "tuple[Scope, ...]"
    complete: bool

    def start(self, node: "exp.Expr") -> int:
        """The offset at which an expression begins."""
        return self.query.source.start_of(node)

    def selects(self) -> "Iterator[tuple[Scope, exp.Select]]":
        """Each SELECT of the query with its scope."""
        from sqlglot import exp

        for scope in self.scopes:
            if isinstance(scope.expression, exp.Select):
                yield scope, scope.expression

    def types(self) -> dict[str, str]:
        """Name -> BigQuery type of the result's columns; 'NULL' for a bare NULL, 'UNKNOWN' where it cannot be told."""
        return {e.alias_or_name: type_of(e) for e in self.tree.selects}


def analyse(query: Query, catalog: Catalog) -> Analysis | None:
    """Resolve a query's names and types against a catalog; None where sqlglot cannot (the shape is checked then)."""
    from sqlglot import MappingSchema, exp
    from sqlglot.errors import SqlglotError
    from sqlglot.optimizer.annotate_types import annotate_types
    from sqlglot.optimizer.qualify import qualify
    from sqlglot.optimizer.scope import traverse_scope

    known = {table: columns for table in query.tables if (columns := catalog.columns(table)) is not None}
    schema = MappingSchema(_nested(known, catalog), visible=_visible(known), dialect="bigquery")
    tree = query.tree.copy()
    _type_parameters(tree)
    _name_fields(tree)
    _name_unnested(tree)
    try:
        tree = qualify(
            tree,
            schema=schema,
            dialect="bigquery",
            validate_qualify_columns=False,
            quote_identifiers=False,
            allow_partial_qualification=True,
            expand_alias_refs=False,
        )
        for column in list(tree.find_all(exp.Column)):
            _expand_alias(column)
        tree = annotate_types(tree, schema=schema, dialect="bigquery")
        scopes = tuple(traverse_scope(tree))
    except (SqlglotError, RecursionError):
        return None
    return Analysis(query, catalog, tree, scopes, complete=len(known) == len(query.tables))


def type_of(node: "exp.Expr") -> str:
    """The BigQuery type of an expression: 'STRING', 'NULL' for a bare NULL, 'UNKNOWN' where it cannot be told."""
    from sqlglot import exp

    inner = node.unalias()
    while isinstance(inner, exp.Paren):
        inner = inner.this
    if isinstance(inner, exp.Null):
        return "NULL"
    own = _TYPES.get(type(inner).__name__)
    if own is not None:
        return own if own != "SAME" else type_of(inner.this)
    kind = inner.type
    if kind is None or kind.this in (exp.DType.UNKNOWN, exp.DType.NULL):
        return UNKNOWN if kind is None or kind.this == exp.DType.UNKNOWN else "NULL"
    return kind.sql(dialect="bigquery").replace("`", "")


# What sqlglot 30 leaves UNKNOWN.
_TYPES = {"TsOrDsToDatetime": "DATETIME", "Trunc": "SAME", "Rand": "FLOAT64"}


def _nested(known: Mapping[Table, Mapping[str, str]], catalog: Catalog) -> dict[str, object]:
    nested: dict[str, dict[str, dict[str, str]]] = {}
    for table, columns in known.items():
        nested.setdefault(table.dataset, {})[table.name] = {**columns, **catalog.pseudo_columns(table)}
    return dict(nested)


def _visible(known: Mapping[Table, Mapping[str, str]]) -> dict[str, object]:
    visible: dict[str, dict[str, list[str]]] = {}
    for table, columns in known.items():
        visible.setdefault(table.dataset, {})[table.name] = [name.lower() for name in columns]
    return dict(visible)


def _type_parameters(tree: "exp.Query") -> None:
    from sqlglot import exp

    for parameter in list(tree.find_all(exp.Parameter)):
        parameter.replace(exp.cast(parameter.copy(), "DATE"))


def _name_fields(tree: "exp.Query") -> None:
    """`[STRUCT('a' AS key, x AS value), STRUCT('b', y)]`: the first names the fields of all; sqlglot does not."""
    from sqlglot import exp

    for array in tree.find_all(exp.Array):
        first, *others = array.expressions or [None]
        if not isinstance(first, exp.Struct):
            continue
        names = [field.this if isinstance(field, exp.PropertyEQ) else None for field in first.expressions]
        for struct in others:
            for name, field in zip(names, struct.expressions if isinstance(struct, exp.Struct) else [], strict=False):
                if name is not None and not isinstance(field, exp.PropertyEQ):
                    field.replace(exp.PropertyEQ(this=name.copy(), expression=field.copy()))


def _name_unnested(tree: "exp.Query") -> None:
    """`UNNEST([STRUCT(… AS key)])` without an alias has columns, which sqlglot sees for a table's array only."""
    from sqlglot import exp
    from sqlglot.optimizer.annotate_types import annotate_types

    for number, unnest in enumerate(tree.find_all(exp.Unnest)):
        array, select = unnest.expressions[0] if unnest.expressions else None, unnest.parent_select
        if unnest.args.get("alias") or select is None or array is None or isinstance(array, exp.Column):
            continue
        # Only the names of the fields matter here, so each column may be a text.
        literal = array.copy()
        for column in list(literal.find_all(exp.Column)):
            column.replace(exp.cast(exp.null(), "TEXT"))
        kind = annotate_types(literal, dialect="bigquery").type
        element = (
            kind.expressions[0] if kind is not None and kind.is_type(exp.DType.ARRAY) and kind.expressions else None
        )
        if not isinstance(element, exp.DataType) or not element.is_type(exp.DType.STRUCT):
            continue
        fields = {field.name.casefold() for field in element.expressions}
        alias = exp.to_identifier(f"_unnested_{number}")
        unnest.set("alias", exp.TableAlias(columns=[alias]))
        for column in list(select.find_all(exp.Column)):
            if not column.table and column.name.casefold() in fields and column.parent_select is select:
                column.set("table", alias.copy())


def _expand_alias(column: "exp.Column") -> None:
    """GROUP BY, HAVING, QUALIFY and ORDER BY may name a column of the result: there it is written out."""
    from sqlglot import exp

    select = column.parent_select
    if column.table or not isinstance(select, exp.Select):
        return
    node: exp.Expr | None = column
    while node is not None and node.parent is not select:
        node = node.parent
    if node is None or node.arg_key not in ("group", "having", "qualify", "order"):
        return
    same = [e for e in select.selects if isinstance(e, exp.Alias) and e.alias.casefold() == column.name.casefold()]
    if same:
        written = same[0].this.copy()
        column.replace(written if isinstance(written, exp.Column) else exp.paren(written, copy=False))
