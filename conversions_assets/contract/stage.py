"""A user's query around its days: bound (R2), described, wrapped, and brought into `staged` by rows.sql."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlglot import exp

from conversions_assets.contract.columns import COLUMNS, CURRENCIES, MAX_ID_LENGTH
from conversions_assets.contract.conversion import Conversion, Days
from conversions_assets.contract.query import Query
from conversions_assets.contract.shape import at_column, check_names, check_types
from conversions_assets.contract.source import QueryError
from conversions_assets.project import Clock, Project
from conversions_assets.warehouse.base import Job, Statement, Table, Warehouse, WarehouseError, WarehouseFaultError
from conversions_assets.warehouse.dialect import DialectError, parse_expression
from conversions_assets.warehouse.script import bind

ROWS, WINNERS = (Path(__file__).with_name(name) for name in ("rows.sql", "winners.sql"))
ONE_DAY = timedelta(days=1)
FAR = timedelta(days=36_500)


@dataclass(frozen=True)
class Run:
    """What one run of a conversion knows of itself.

    Attributes:
        id: the orchestrator's run id.
        clock: its now.
        local_date: r of the semantics, the local date in the project's zone.
        crm_load_id: the newest load among the raw tables; None if nothing tells it.
        release: why a person lets the run retract what the guard held back (R19).
        thaw: why a person lets the run change frozen days that it covers (R21).
        jobs: the jobs of its session, also those to come.
    """

    id: str
    clock: Clock
    local_date: date
    crm_load_id: str | None
    release: str | None = None
    thaw: str | None = None
    jobs: Sequence[Job] = ()

    @property
    def now(self) -> datetime:
        return self.clock.now


@dataclass(frozen=True)
class Wanted:
    """Which rows of a query are wanted.

    Attributes:
        days: the local days the query is asked for.
        open_ended: also rows after these days (for a query that does not cut them itself).
        far: bind @end_date far in the future, so that a mistyped date still returns its row (R18).
        ids: a table with the only ids of interest; None: all.
        nothing: stage no row at all, only the empty tables.
    """

    days: Days
    open_ended: bool = False
    far: bool = False
    ids: Table | None = None
    nothing: bool = False


@dataclass(frozen=True)
class Staged:
    """What was staged.

    Attributes:
        returned: the contract's columns that the query returned.
        unwanted_rows: rows that it returned for other days (R2), where this is counted.
    """

    returned: frozenset[str]
    unwanted_rows: int


@dataclass(frozen=True)
class Asked:
    """A user's query as it is sent.

    Attributes:
        types: names and BigQuery types of its columns.
        user_query: with its clock and days bound.
        reading: around it, what is wanted of it.
        instants: where the days begin and end, and how late a `created` may be.
    """

    types: Mapping[str, str]
    user_query: Statement
    reading: exp.Query
    instants: Mapping[str, datetime]

    @property
    def statement(self) -> Statement:
        """What reads the raw tables, by itself."""
        used = {parameter.name for parameter in self.reading.find_all(exp.Parameter)}
        params = {**self.user_query.params, **self.instants}
        return Statement(self.reading, {name: value for name, value in params.items() if name in used})


def ask(warehouse: Warehouse, conversion: Conversion, wanted: Wanted, now: datetime) -> Asked:
    """Bind a query's days, have it described and put around it what is wanted. Runs nothing.

    Raises:
        QueryError: a table or column that is not there, or a column that breaks the contract.
    """
    tree = _with_clock(conversion.query.tree, now)
    margin = FAR if wanted.far else ONE_DAY
    params = {"start_date": wanted.days.first - ONE_DAY, "end_date": wanted.days.last + margin}
    user_query = Statement(tree, {name: params[name] for name in conversion.query.parameters})
    types = describe(warehouse, conversion.query, user_query)
    latest = now + timedelta(minutes=conversion.project.thresholds.future_tolerance_minutes)
    cut = exp.false() if wanted.nothing else _cut(conversion.query, wanted)
    instants = _instants(conversion.project, wanted.days) | {"latest_created": latest}
    return Asked(types, user_query, _wrap(tree, types, cut, wanted.ids), instants)


def stage(warehouse: Warehouse, conversion: Conversion, wanted: Wanted, run: Run) -> Staged:
    """Run the user's query once and leave `staged` and `repeated` in the session.

    Raises:
        QueryError: the result breaks the contract as a whole (column, type, NULL `created`), or the engine refuses it.
    """
    asked = ask(warehouse, conversion, wanted, run.now)
    statements = bind(
        ROWS,
        {"user_query": asked.reading},
        {
            **asked.user_query.params,
            **asked.instants,
            "project_currency": conversion.project.currency,
            "time_zone": conversion.project.timezone,
            "currencies": CURRENCIES,
            "max_id_length": MAX_ID_LENGTH,
        },
    )
    try:
        warehouse.execute(statements)
    except WarehouseFaultError:
        raise
    except (WarehouseError, DialectError) as error:
        raise _located(conversion.query, error) from error
    if _count_repeated(warehouse, conversion.query):
        warehouse.execute(bind(WINNERS, {}, {"latest_wins": conversion.dedup == "latest"}))
    counted = wanted.ids is None and not wanted.open_ended
    unwanted = _count_unwanted(warehouse, conversion, asked) if counted else 0
    return Staged(frozenset(name.casefold() for name in asked.types), unwanted)


def describe(warehouse: Warehouse, query: Query, bound: Statement) -> Mapping[str, str]:
    """Names and BigQuery types of a query's result, checked against the contract.

    Raises:
        QueryError: a table or column that is not there, or a column that breaks the contract.
    """
    if query.names is not None:
        check_names(query, query.names)
    try:
        types = warehouse.describe(bound)
    except WarehouseFaultError:
        raise
    except (WarehouseError, DialectError) as error:
        raise _located(query, error) from error
    check_names(query, list(types))
    check_types(query, types)
    return types


def _wrap(tree: exp.Query, present: Mapping[str, str], cut: exp.Expr | None, ids: Table | None) -> exp.Query:
    lowered = {name.casefold(): kind for name, kind in present.items()}
    columns = [
        exp.column(column.name, table="q").as_(column.name)
        if lowered.get(column.name, "NULL") != "NULL"
        else exp.cast(exp.null(), exp.DataType.build(column.type, dialect="bigquery")).as_(column.name)
        for column in COLUMNS
    ]
    wrapped = exp.select(*columns).from_(
        exp.Subquery(this=tree.copy(), alias=exp.TableAlias(this=exp.to_identifier("q")))
    )
    if cut is not None:
        wrapped = wrapped.where(cut)
    if ids is not None:
        known = exp.select("id").from_(exp.table_(ids.name))
        wrapped = wrapped.where(exp.In(this=_TRIMMED_ID.copy(), query=exp.Subquery(this=known)))
    return wrapped


_TRIMMED_ID = parse_expression("trimmed(q.id)")
_FROM_FIRST = parse_expression("q.created IS NULL OR q.created >= @first_instant")
_WITHIN = parse_expression(
    "q.created IS NULL OR (q.created >= @first_instant AND q.created < @end_instant) OR q.created > @latest_created"
)


def _cut(query: Query, wanted: Wanted) -> exp.Expr | None:
    # A query that uses both parameters cuts itself: its margin of a day is staged, so that it can be counted.
    if wanted.open_ended:
        return _FROM_FIRST.copy()
    return None if query.uses_days else _WITHIN.copy()


def _instants(project: Project, days: Days) -> dict[str, datetime]:
    return {"first_instant": project.midnight(days.first), "end_instant": project.midnight(days.last + ONE_DAY)}


def _count_unwanted(warehouse: Warehouse, conversion: Conversion, asked: Asked) -> int:
    outside = parse_expression("(created < @first_instant OR created >= @end_instant) AND created <= @latest_created")
    source: exp.Expr = exp.table_("staged")
    params: dict[str, Any] = dict(asked.instants)
    if not conversion.query.uses_days:
        source = exp.Subquery(this=asked.user_query.tree.copy(), alias=exp.TableAlias(this=exp.to_identifier("q")))
        params |= asked.user_query.params
    counting = exp.select(exp.Count(this=exp.Star()).as_("unwanted")).from_(source).where(outside)
    return int(warehouse.query(Statement(counting, params))[0]["unwanted"])


def _count_repeated(warehouse: Warehouse, query: Query) -> int:
    """How many ids have more than one row in a day. Refuses a NULL in `created`."""
    empty, repeated = (
        exp.Subquery(this=exp.select(exp.Count(this=exp.Star())).from_(table).where(*conditions)).as_(name)
        for name, table, conditions in (("empty", "staged", ["created IS NULL"]), ("repeated", "repeated", []))
    )
    [found] = warehouse.query(Statement(exp.select(empty, repeated)))
    if found["empty"]:
        rows = f"{found['empty']} row{'s' if found['empty'] > 1 else ''}"
        problem = f"R6: `created` is NULL in {rows}: the whole result is refused"
        fix = "leave these rows out with WHERE … IS NOT NULL, or choose a time column that is always filled"
        raise QueryError(at_column(query, "created", problem, fix))
    return int(found["repeated"])


def _with_clock(tree: exp.Query, now: datetime) -> exp.Query:
    """CURRENT_* as literals of the run's clock (R33): one run has one now, and a replay has its own."""

    def literal(node: exp.Expr) -> exp.Expr:
        if isinstance(node, exp.CurrentTimestamp):
            return exp.cast(exp.Literal.string(now.isoformat()), exp.DataType.build("TIMESTAMP", dialect="bigquery"))
        if isinstance(node, exp.CurrentDate | exp.CurrentDatetime | exp.CurrentTime):
            local = now.astimezone(_zone(node.this))
            replaced: exp.Expr = _CURRENT[type(node)](local)
            return replaced
        return node

    bound = tree.transform(literal)
    assert isinstance(bound, exp.Query)
    return bound


def _zone(argument: exp.Expr | None) -> Any:
    from zoneinfo import ZoneInfo

    return ZoneInfo(argument.name) if isinstance(argument, exp.Literal) else UTC


_CURRENT: dict[type[exp.Expr], Any] = {
    exp.CurrentDate: lambda local: exp.cast(exp.Literal.string(local.date().isoformat()), "DATE"),
    exp.CurrentDatetime: lambda local: exp.cast(
        exp.Literal.string(local.replace(tzinfo=None).isoformat(sep=" ")),
        exp.DataType.build("DATETIME", dialect="bigquery"),
    ),
    exp.CurrentTime: lambda local: exp.cast(exp.Literal.string(local.time().isoformat()), "TIME"),
}

_MISSING = (
    (
        re.compile(r"Table with name (?P<name>\S+) does not exist"),
        "the table `{}` does not exist",
        "write a table of the warehouse",
    ),
    (
        re.compile(r"Schema with name (?P<name>\S+) does not exist"),
        "the dataset `{}` does not exist",
        "load it, or correct the name",
    ),
    (
        re.compile(r'Referenced column "(?P<name>[^"]+)" not found'),
        "the column `{}` does not exist",
        "write a column of the table",
    ),
    (
        re.compile(r'does not have a column named "(?P<name>[^"]+)"'),
        "the column `{}` does not exist",
        "write a column of the table",
    ),
    (
        re.compile(r"Scalar Function with name (?P<name>\S+) does not exist"),
        "the function `{}` does not exist here",
        "use a function of BigQuery",
    ),
)
_SUGGESTION = re.compile(r"(?:Did you mean|Candidate bindings|Candidate functions):?(?P<names>[^\n?]+)")
_QUOTED = re.compile(r'"?([A-Za-z_][A-Za-z0-9_.]*)"?')


def _located(query: Query, error: WarehouseError | DialectError) -> QueryError:
    """The engine's complaint at the word of the user's SQL that it names."""
    message = str(error)
    for pattern, problem, fix in _MISSING:
        found = pattern.search(message)
        if found:
            name = found["name"].strip('"!.')
            near = _SUGGESTION.search(message)
            names = ", ".join(dict.fromkeys(_QUOTED.findall(near["names"]))) if near else ""
            hint = f"{fix}; near: {names}" if names else fix
            return query.source.refuse(query.source.word(name), problem.format(name), hint)
    words = {word.casefold() for word in re.findall(r"\w+", message)}
    named = next((t.start for t in query.source.tokens if t.text.casefold() in words and len(t.text) > 3), None)
    place = query.source.first_word if named is None else named
    return query.source.refuse(place, f"the warehouse refuses the query: {message}", "correct the SQL")
