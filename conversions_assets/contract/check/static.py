"""All tests of the static check over one query, with what they found kept in the cache."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from hashlib import sha256

from conversions_assets.contract.check.analysis import Analysis
from conversions_assets.contract.check.catalog import Catalog
from conversions_assets.contract.query import Query, code_version, sqlglot_version
from conversions_assets.contract.source import Finding, Severity
from conversions_assets.project import cache_folder

MAX_WORDS = 20_000


def check(query: Query, catalog: Catalog) -> tuple[Finding, ...]:
    """What is wrong with a query: errors and warnings, in the order of the text.

    Cached under .data/ by the SQL, by what the catalog knows of its tables, by sqlglot's version and by this code.
    """
    kept = cache_folder() / "checks" / f"{_key(query, catalog)}.json"
    try:
        found = [Finding(query.path, **values) for values in json.loads(kept.read_text(encoding="utf-8"))]
    except (OSError, ValueError, TypeError):
        found = _in_order(_findings(query, catalog))
        kept.parent.mkdir(parents=True, exist_ok=True)
        values = [{name: value for name, value in asdict(finding).items() if name != "path"} for finding in found]
        kept.write_text(json.dumps(values), encoding="utf-8")
    return tuple(found)


def _findings(query: Query, catalog: Catalog) -> Iterator[Finding]:
    from conversions_assets.contract.check.analysis import analyse
    from conversions_assets.contract.shape import name_findings

    try:
        analysis = None if len(query.source.tokens) > MAX_WORDS else analyse(query, catalog)
        if analysis is not None:
            yield from list(_all_tests(analysis))
            return
    except RecursionError:
        pass
    # A filter that cannot be seen must not be taken for granted.
    severity: Severity = "error" if any(map(catalog.partition_column, query.tables)) else "warning"
    problem = f"the query is too large or too deep to be checked: {len(query.source.tokens):,} words"
    yield query.source.finding(query.source.first_word, problem, "write it shorter, or with steps (WITH)", severity)
    if query.names is not None:
        yield from name_findings(query, query.names)


def _all_tests(analysis: Analysis) -> Iterator[Finding]:
    from conversions_assets.contract.check import grouping, moving, names, partitions, types
    from conversions_assets.contract.check.analysis import UNKNOWN
    from conversions_assets.contract.shape import name_findings, type_findings

    query, catalog = analysis.query, analysis.catalog
    unknown = [*names.missing_tables(analysis), *names.unknown_columns(analysis)]
    yield from unknown
    if not analysis.tree.is_star:
        yield from name_findings(query, query.names or analysis.tree.named_selects)
    if not analysis.complete:
        missing = [str(table) for table in query.tables if catalog.columns(table) is None]
        problem = f"the columns of {', '.join(missing)} are not known, so types are checked in part only"
        fix = "load the table and run `make schemas`"
        yield query.source.finding(query.source.first_word, problem, fix, "warning")
    certain = analysis.complete and not unknown
    yield from type_findings(query, {n: kind for n, kind in analysis.types().items() if certain or kind != UNKNOWN})
    yield from types.clashes(analysis)
    yield from grouping.ungrouped_columns(analysis)
    yield from partitions.missing_filters(analysis)
    yield from moving.moving_functions(analysis)
    yield from moving.constant_nulls(analysis)


def _in_order(findings: Iterable[Finding]) -> list[Finding]:
    """Each finding once, errors before warnings of the same place."""
    distinct = {(f.line, f.column, f.problem): f for f in findings}
    return sorted(distinct.values(), key=lambda f: (f.line, f.column, f.severity))


def _key(query: Query, catalog: Catalog) -> str:
    known = [
        [str(table), catalog.columns(table), catalog.partition_column(table), catalog.nearest(table)]
        for table in query.tables
    ]
    parts = [query.text, json.dumps(known), sqlglot_version(), code_version()]
    return sha256("\0".join(parts).encode()).hexdigest()[:32]
