"""YAML in which every key and value knows its line, and a mistake is told with file and line."""

import difflib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

import yaml

MERGE = "tag:yaml.org,2002:merge"


class CaseError(Exception):
    """A test file is wrong, or what it expects is not what the SQL returns. The message begins with file:line."""


@dataclass(frozen=True)
class Entry:
    """A value of a mapping, with the line of its key."""

    line: int
    node: yaml.Node


class _Loader(yaml.SafeLoader):
    """As PyYAML, but NO is a country, 01234 a post code and 1:30 a text, as YAML 1.2 has it."""


_SCALARS = {
    "bool": ("true|True|TRUE|false|False|FALSE", "tTfF"),
    "int": ("[-+]?(?:0|[1-9][0-9]*)", "-+0123456789"),
    "float": (
        r"[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf)|\.(?:nan|NaN)",
        "-+.0123456789",
    ),
    "timestamp": (
        r"\d{4}-\d\d-\d\d(?:[Tt ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?: ?(?:Z|[-+]\d\d(?::?\d\d)?))?)?",
        "0123456789",
    ),
}
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag.rpartition(":")[2] not in _SCALARS]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
for _name, (_pattern, _first) in _SCALARS.items():
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_name}", re.compile(f"^(?:{_pattern})$"), list(_first))


def _time(_loader: yaml.SafeLoader, node: yaml.ScalarNode) -> date | datetime:
    text = node.value.replace(" +", "+").replace(" -", "-").replace(" Z", "Z")
    return date.fromisoformat(text) if len(text) == 10 else datetime.fromisoformat(text)


_Loader.add_constructor("tag:yaml.org,2002:timestamp", _time)


class Document:
    """One YAML document of a file.

    Raises:
        CaseError: the file is missing, is no UTF-8 text or no YAML.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            text = path.read_bytes().decode("utf-8-sig")
            root = yaml.compose(text, Loader=_Loader)
        except OSError as error:
            raise self.wrong(1, f"the file cannot be read: {error.strerror}", "create it") from error
        except UnicodeDecodeError as error:
            line = path.read_bytes()[: error.start].count(b"\n") + 1
            raise self.wrong(line, "the file is not UTF-8 text", "save it as UTF-8") from error
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            line = mark.line + 1 if mark else 1
            raise self.wrong(line, f"this is no YAML: {error.problem or error.context}", "correct this line") from error
        except (yaml.YAMLError, RecursionError) as error:
            reason = str(error).splitlines()[0]
            raise self.wrong(1, f"this is no YAML that can be read: {reason}", "correct the file") from error
        if root is None:
            raise self.wrong(1, "the file is empty", "write `cases:` as in docs/testing-your-sql.md")
        self.root: yaml.Node = root
        self._loader = _Loader("")

    def wrong(self, line: int, problem: str, fix: str) -> CaseError:
        """The error at a line."""
        return CaseError(f"{self.path}:{line}: {problem}\n  fix: {fix}")

    def line(self, node: yaml.Node) -> int:
        """The line on which a node begins."""
        return int(node.start_mark.line) + 1

    def entries(self, node: yaml.Node, what: str, known: Sequence[str] = ()) -> dict[str, Entry]:
        """A mapping's keys; `<<: *anchor` is resolved. An unknown or repeated key is an error.

        Args:
            what: how the message names the mapping.
            known: the keys that may be there; none: any.
        """
        if not isinstance(node, yaml.MappingNode):
            raise self.wrong(self.line(node), f"{what} is no mapping", f"write {what} as `key: value`")
        merged: dict[str, Entry] = {}
        own: dict[str, Entry] = {}
        for key, value in node.value:
            if key.tag == MERGE:
                for base in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                    merged = self.entries(base, what, known) | merged
                continue
            name, line = str(key.value), self.line(key)
            if not isinstance(key, yaml.ScalarNode):
                raise self.wrong(line, f"a key of {what} is no word", "write `key: value`")
            if name in own:
                raise self.wrong(line, f"`{name}` is there twice in {what}", "keep one of them")
            if known and name not in known:
                raise self.wrong(line, f"`{name}` is no key of {what}", nearest(name, known))
            own[name] = Entry(line, value)
        return merged | own

    def items(self, node: yaml.Node, what: str) -> list[yaml.Node]:
        """A list's items; an empty value is an error, as it may be a list that was forgotten."""
        if not isinstance(node, yaml.SequenceNode):
            raise self.wrong(self.line(node), f"{what} is no list", "write `- …` for each item, or [] for none")
        return list(node.value)

    def value(self, node: yaml.Node) -> Any:
        """What a node holds: text, number, true or false, date, time, None, lists and mappings of these."""
        try:
            return self._loader.construct_object(node, deep=True)
        except (yaml.YAMLError, ValueError) as error:
            reason = getattr(error, "problem", None) or str(error)
            written = f"`{node.value}`: " if isinstance(node, yaml.ScalarNode) else ""
            fix = "correct it, or put it in quotes if it is text"
            raise self.wrong(self.line(node), f"{written}{reason}", fix) from error


def nearest(name: str, known: Iterable[str]) -> str:
    """What to write instead of an unknown name."""
    names = list(known)
    near = difflib.get_close_matches(name, names, n=1)
    return f"write {near[0]}" if near else f"write one of {', '.join(names)}"
