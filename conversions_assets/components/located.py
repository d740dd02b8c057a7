"""Errors of a user's YAML with file, line and key."""

import re
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar, Self

import dagster as dg
import yaml
from pydantic import BaseModel, ValidationError

from conversions_assets.project import ConfigurationError


class LocatedComponent(dg.Component):
    """A component that knows its folder; wrong values are refused with the line of defs.yaml that holds them."""

    folder: ClassVar[Path]

    @classmethod
    def load(cls, attributes: BaseModel | None, context: dg.ComponentLoadContext) -> Self:
        """Build the component from its YAML.

        Raises:
            ConfigurationError: a value is wrong; the message names file, line and key.
        """
        try:
            component = super().load(attributes, context)
        except Exception as error:
            wrong = _validation_error(error)
            if wrong is None:
                raise
            # A nested model's error does not say under which key it stands: the model is named after it.
            outer = () if wrong.title == cls.__name__ else (wrong.title.lower(),)
            problems = [yaml_error(context.path, (*outer, *e["loc"]), _message(e)) for e in wrong.errors()]
            raise ConfigurationError("\n".join(problems)) from None
        # Not a field: it comes from where the YAML lies, not from what it says.
        object.__setattr__(component, "folder", context.path)
        return component


def _validation_error(error: BaseException | None) -> ValidationError | None:
    while error is not None and not isinstance(error, ValidationError):
        error = error.__cause__ or error.__context__
    return error


def yaml_error(folder: Path, keys: Sequence[Any], problem: str) -> str:
    """`<folder>/defs.yaml:<line>: <key>: <problem>`; the line is that of the innermost key that is found."""
    path = folder / "defs.yaml"
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    line = 0
    for key in keys:
        found = (
            n for n in range(line, len(lines)) if re.match(rf"\s*-?\s*[\"']?{re.escape(str(key))}[\"']?\s*:", lines[n])
        )
        line = next(found, line)
    return f"{path}:{line + 1}: {'.'.join(map(str, keys))}: {problem}"


def unreadable(defs: Path) -> Iterator[str]:
    """What keeps files `defs.yaml` below a folder from being components, as `yaml_error` writes it.

    Looked for once Dagster has refused them: of these it names no file, or no fix.
    """
    for path in sorted(defs.rglob("defs.yaml")):
        try:
            documents = list(yaml.safe_load_all(path.read_text(encoding="utf-8")))
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            mark = getattr(error, "problem_mark", None)
            place = f"{path}:{mark.line + 1 if mark else 1}"
            problem = getattr(error, "problem", None) or "it is not UTF-8"
            yield f"{place}: this is no YAML: {problem}"
            continue
        for document in documents or [None]:
            problem = _unreadable_component(document)
            if problem:
                yield yaml_error(path.parent, ["type"], problem)


def _unreadable_component(document: Any) -> str | None:
    ours = import_module("conversions_assets.components")
    example = f"write `type: {ours.__name__}.CustomConversion`, or another component"
    if not isinstance(document, dict):
        found = "the file is empty" if document is None else "the file holds no keys"
        return f"{found}: {example}, and its attributes, or delete the file"
    named = document.get("type")
    if not isinstance(named, str):
        return f"it is missing: {example}"
    module, _, name = named.rpartition(".")
    try:
        known = import_module(module)
    except (ImportError, ValueError):
        return f"there is no module `{module}`: {example}"
    if hasattr(known, name):
        return None
    near = get_close_matches(name, getattr(known, "__all__", ours.__all__), n=1)
    return f"there is no component `{name}` in {module}{f'; near: {near[0]}' if near else f': {example}'}"


def _message(details: Any) -> str:
    message = str(details["msg"]).removeprefix("Value error, ")
    return message if "got" in message or details["type"] == "value_error" else f"{message}; found {details['input']!r}"
