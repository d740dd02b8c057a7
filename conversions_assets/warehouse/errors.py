"""What the translation to DuckDB raises, and what stands behind an error of a library."""

from collections.abc import Iterator


class DialectError(Exception):
    """BigQuery SQL that has no equal on DuckDB."""


def causes(error: BaseException) -> Iterator[BaseException]:
    """The error, then what it holds and came from: libraries keep causes as causes, arguments or attributes."""
    seen: set[int] = set()
    waiting = [error]
    while waiting:
        found = waiting.pop(0)
        if id(found) not in seen:
            seen.add(id(found))
            yield found
            held = (found.__cause__, found.__context__, *found.args, *vars(found).values())
            waiting += [value for value in held if isinstance(value, BaseException)]
