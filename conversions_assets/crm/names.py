"""Columns of fields that people name: each keeps the name that its field had when it was first loaded.

A query goes on after somebody has renamed a field in the CRM, and no column ever holds values of two fields. The names
are kept in the state of the table, which is in the warehouse.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from conversions_assets.crm.known import Known
from conversions_assets.crm.tables import Row, SourceTable

if TYPE_CHECKING:
    from dlt import Pipeline


def keep_names(pipeline: "Pipeline", table: SourceTable) -> SourceTable:
    """The table with names of columns in place of the keys of `table.names`."""
    if not table.names:
        return table
    resources = pipeline.state.get("sources", {}).get("crm", {}).get("resources", {})
    names: dict[str, str] = dict(resources.get(table.name, {}).get("names", {}))
    taken = {*table.columns, *names.values()}
    for key, wanted in table.names.items():
        if key not in names:
            names[key] = _free(wanted, taken)
            taken.add(names[key])

    def read(state: dict[str, Any], known: Known) -> Iterator[list[Row]]:
        for rows in table.read(state, known):
            yield [{names.get(name, name): value for name, value in row.items()} for row in rows]
        state["names"] = names

    columns = {names.get(name, name): kind for name, kind in table.columns.items()}
    return replace(table, columns=columns, read=read, names={})


def _free(wanted: str, taken: set[str]) -> str:
    """The name, with a number where another field has it already."""
    name, number = wanted, 1
    while name in taken:
        number += 1
        name = f"{wanted}_{number}"
    return name
