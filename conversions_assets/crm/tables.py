"""What a CRM's source gives: tables with their columns, their keys and a function that reads them."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

Row = dict[str, Any]
T = TypeVar("T")


STAMPS = {
    "id": "text",
    "created_at": "timestamp",
    "updated_at": "timestamp",
    "archived_at": "timestamp",
    "_deleted": "bool",
    "_merged_into": "text",
}
"""The first columns of every table that keeps versions."""


@dataclass(frozen=True)
class SourceTable:
    """One table of a load.

    Attributes:
        columns: name -> dlt's data type; columns that are NULL in every row are made as well.
        key: the columns by which rows replace older ones; none: the table is replaced whole.
        read: pages of rows. It gets the table's state, which the load stores with the rows, and what the warehouse
            holds (`Known`, which also says whether all ids are to be compared); with `of` it gets a page of that
            table's rows instead.
        versioned: whether `<name>_versions` is kept.
        of: the table of whose rows this one is read; its key may then stand in many rows, all replaced together.
        names: key -> name of columns that `columns` and the rows know by a key that never changes, such as those of
            fields that people name; the warehouse has the name of the first load (`names.py`).
    """

    name: str
    columns: dict[str, str]
    key: Sequence[str]
    read: Callable[..., Iterator[list[Row]]]
    versioned: bool = False
    of: str | None = None
    names: Mapping[str, str] = field(default_factory=dict)


def chunks(items: Sequence[T] | Iterable[T], size: int) -> Iterator[list[T]]:
    """Lists of `size` items, the last one shorter."""
    part: list[T] = []
    for item in items:
        part.append(item)
        if len(part) == size:
            yield part
            part = []
    if part:
        yield part
