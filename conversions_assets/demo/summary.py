"""What `make demo` prints at its end: loaded, converted, quarantined, adjusted, frozen, and where to look."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb

from conversions_assets.demo.history import Load

TABLES = ("hubspot.contacts", "hubspot.deals", "shop.orders")


def show(path: Path, loads: Sequence[Load], conversions: Sequence[str], predicted: str, seconds: float) -> None:
    """Print the summary of the file; `predicted` is the conversion whose value is predicted."""
    with duckdb.connect(":memory:") as connection:
        connection.execute("SET TimeZone = 'UTC'")
        file = str(path).replace("'", "''")
        connection.execute(f"ATTACH '{file}' AS demo (READ_ONLY)")
        connection.execute("USE demo")
        print(
            f"\n{'=' * 100}\n"
            f"The demo in figures (the clock stands at {loads[-1].at:%Y-%m-%d %H:%M} UTC; {seconds:.0f} s)\n"
        )
        _loaded(connection, loads)
        for name in conversions:
            _conversion(connection, name)
            if name == predicted:
                _predicted(connection, name)
        _examples(connection, conversions)
        _frozen(connection, conversions)
    print(
        "\nLook at it:   make dev     then http://127.0.0.1:3000/assets"
        '\nThe tables:   README.md, "Where the data lies"'
        f"\n{'=' * 100}"
    )


def _rows(connection: duckdb.DuckDBPyConnection, sql: str) -> list[dict[str, Any]]:
    cursor = connection.execute(sql)
    names = [column[0] for column in cursor.description or []]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def _loaded(connection: duckdb.DuckDBPyConnection, loads: Sequence[Load]) -> None:
    counts = [f"{_rows(connection, f'SELECT count(*) AS n FROM demo.{table}')[0]['n']:,} {table}" for table in TABLES]
    print(f"Loaded       {len(loads)} loads: {', '.join(counts)}")


def _conversion(connection: duckdb.DuckDBPyConnection, name: str) -> None:
    [rows] = _rows(
        connection,
        f"""SELECT count(*) FILTER (status = 'ACTIVE') AS active, count(*) FILTER (status = 'RETRACTED') AS retracted,
            avg((client_id IS NULL)::INT) FILTER (status = 'ACTIVE') AS unattributed, count(DISTINCT day) AS days
            FROM demo.adjusted.{name}""",
    )
    values = _rows(
        connection,
        f"""SELECT currency, sum(value) AS value FROM demo.adjusted.{name}
            GROUP BY 1 HAVING sum(value) <> 0 ORDER BY 2 DESC""",
    )
    money = ", ".join(f"{row['value']:,.0f} {row['currency']}" for row in values)
    quarantined = _rows(
        connection,
        f"SELECT rule, reason, count(*) AS n FROM demo.conversions.{name}_quarantine GROUP BY 1, 2 ORDER BY 1, 2",
    )
    reasons = _rows(
        connection,
        f"""SELECT reason, count(*) AS n FROM demo.adjusted.{name}_changes
            WHERE reason <> 'PUBLISHED' GROUP BY 1 ORDER BY 2 DESC, 1""",
    )
    print(f"\n{name}")
    print(
        f"  converted    {rows['active']:,} conversions on {rows['days']} days{', ' + money if money else ''}; "
        f"{rows['unattributed'] or 0:.1%} (not attributed)"
    )
    refused = "; ".join(f"{row['n']} x {row['rule']}: {row['reason']}" for row in quarantined)
    changed = ", ".join(f"{row['n']} {row['reason']}" for row in reasons)
    print(f"  quarantined  {refused or 'nothing'}")
    print(f"  adjusted     {changed or 'nothing'}; {rows['retracted']} taken back")


def _predicted(connection: duckdb.DuckDBPyConnection, name: str) -> None:
    [model] = _rows(
        connection, f"SELECT version, report FROM demo.predicted.{name}_models ORDER BY fitted_at DESC LIMIT 1"
    )
    [mature] = _rows(
        connection,
        f"""SELECT count(*) AS n, sum(probability) AS expected, sum(target_conversions) AS actual
            FROM demo.predicted.{name} WHERE target_conversions IS NOT NULL AND probability IS NOT NULL""",
    )
    report = json.loads(model["report"])
    print(
        f"  predicted    model {model['version']} of {report['targets']:,} targets; {mature['n']:,} leads are mature: "
        f"{mature['expected']:,.0f} targets by their scores, {mature['actual']:,.0f} came"
    )
    print(f"               {report['verdict']['line']}")


def _examples(connection: duckdb.DuckDBPyConnection, conversions: Sequence[str]) -> None:
    print("\nThree lines of the ledger")
    ledger = " UNION ALL ".join(
        f"SELECT '{name}' AS conversion, id, version, reason, before, after, day_after, value_delta, crm_load_id "
        f"FROM demo.adjusted.{name}_changes WHERE reason <> 'PUBLISHED'"
        for name in conversions
    )
    chosen = _rows(
        connection,
        f"""SELECT * FROM ({ledger})
            QUALIFY row_number() OVER (PARTITION BY reason ORDER BY abs(value_delta) DESC, conversion, id, version) = 1
            ORDER BY list_position(['VANISHED', 'VALUE_CHANGED', 'REAPPEARED', 'MOVED'], reason), reason LIMIT 3""",
    )
    for row in chosen:
        before, after = json.loads(row["before"]), json.loads(row["after"])
        print(
            f"  {row['conversion']} {row['id']} of {row['day_after']}: {row['reason']}, "
            f"value {_money(before)} -> {_money(after)}, "
            f"status {after['status']}, version {row['version']}, found in load {row['crm_load_id']}"
        )


def _money(row: dict[str, Any]) -> str:
    return "none" if row["value"] is None else f"{row['value']:,.2f} {row['currency']}"


def _frozen(connection: duckdb.DuckDBPyConnection, conversions: Sequence[str]) -> None:
    print("\nFrozen: what the CRM changed after the window; published figures stay, the difference is listed")
    for name in conversions:
        rows = _rows(
            connection,
            f"""SELECT kind, count(*) AS n, sum(value_delta) AS value
                FROM demo.adjusted.{name}_drift GROUP BY 1 ORDER BY 1""",
        )
        listed = ", ".join(f"{row['n']} {row['kind']} ({row['value']:+,.2f})" for row in rows)
        print(f"  {name:<16} {listed or 'nothing'}")
