"""Records of one kind by number, by time of change and by sequence: a page is found by bisection, never by a scan."""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class Record:
    """One version of a record; an event makes a new one.

    Attributes:
        kind: `contact`, `company`, `deal`, `lead`, `role` (a contact of a deal) or `stage_change`.
        number: unique in the kind; rises with creation unless the event gives it.
        fields: values under their neutral names; custom fields under the name they were added with.
        sequence: number of the event that made this version.
        deleted_at: when it went to the recycle bin; `erased` says that it is gone from there too.
        merged_into: number of the record that took this one over.
        archived: put aside in Pipedrive, which the other CRMs do not know.
        stages: a deal's stages with the time of entry; the last one is the present stage.
    """

    kind: str
    number: int
    fields: Mapping[str, Any]
    created_at: datetime
    updated_at: datetime
    sequence: int
    deleted_at: datetime | None = None
    erased: bool = False
    merged_into: int | None = None
    archived: bool = False
    stages: tuple[tuple[str, datetime], ...] = ()

    @property
    def alive(self) -> bool:
        """Whether a user of the CRM sees it in a list."""
        return self.deleted_at is None and not self.erased and self.merged_into is None

    @property
    def changed(self) -> tuple[datetime, int]:
        """Order of change at the resolution of the CRMs, whole seconds; many records share one."""
        return self.updated_at.replace(microsecond=0), self.number


@dataclass
class Index:
    """Records that are in one state, in the orders that a dialect pages through."""

    rows: dict[int, Record] = field(default_factory=dict)
    numbers: list[int] = field(default_factory=list)
    changes: list[tuple[datetime, int]] = field(default_factory=list)
    generation: int = 0

    def put(self, record: Record) -> None:
        """Take in a new version of a record."""
        self.drop(record.number)
        self.generation += 1
        self.rows[record.number] = record
        insort(self.numbers, record.number)
        insort(self.changes, record.changed)

    def drop(self, number: int) -> None:
        """Forget a record, if it is there."""
        old = self.rows.pop(number, None)
        if old is not None:
            self.generation += 1
            del self.numbers[bisect_left(self.numbers, number)]
            del self.changes[bisect_left(self.changes, old.changed)]

    def after(self, number: int, keep: Callable[[Record], bool] | None = None) -> Iterator[Record]:
        """Records above a number, by number."""
        for position in range(bisect_right(self.numbers, number), len(self.numbers)):
            record = self.rows[self.numbers[position]]
            if keep is None or keep(record):
                yield record

    def changed_after(
        self, key: tuple[datetime, int], keep: Callable[[Record], bool] | None = None
    ) -> Iterator[Record]:
        """Records whose (second of the last change, number) lies above `key`, in this order."""
        for position in range(bisect_right(self.changes, key), len(self.changes)):
            record = self.rows[self.changes[position][1]]
            if keep is None or keep(record):
                yield record
