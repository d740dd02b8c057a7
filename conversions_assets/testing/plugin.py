"""The pytest plugin: each case of a `*.test.yaml` beside a defs.yaml is a test. It is always loaded: keep it light."""

from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from conversions_assets.contract.conversion import Conversion
    from conversions_assets.testing.casefile import Case, CaseFile
    from conversions_assets.testing.types import Types
    from conversions_assets.warehouse.base import Table

ENDING = ".test.yaml"


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> "CaseModule | None":
    """Collect the test files of conversions."""
    if file_path.name.endswith(ENDING) and (file_path.parent / "defs.yaml").is_file():
        return CaseModule.from_parent(parent, path=file_path)
    return None


class CaseModule(pytest.File):
    """One test file."""

    def collect(self) -> Iterator["CaseItem"]:
        """One test per case; a file that cannot be read is one test, which fails and leaves all others alone."""
        from conversions_assets.testing.casefile import read_case_file
        from conversions_assets.testing.document import CaseError

        try:
            file = read_case_file(self.path)
        except CaseError as error:
            yield CaseItem.from_parent(self, name="the file", broken=error)
            return
        for case in file.cases:
            yield CaseItem.from_parent(self, name=case.name, file=file, case=case)

    @cached_property
    def conversion(self) -> "Conversion":
        """The conversion that the folder describes."""
        from conversions_assets.testing.run import read_conversion

        return read_conversion(self.path.parent)

    @cached_property
    def known(self) -> "Mapping[Table, Types]":
        """Columns of raw tables from the committed `*.schema.yaml`; a test never depends on what a warehouse holds."""
        from conversions_assets.warehouse.schemas import read_schema_files

        root = next((folder for folder in self.path.parents if folder.name == "defs"), None)
        return read_schema_files(root) if root else {}


class CaseItem(pytest.Item):
    """One case."""

    def __init__(
        self,
        *,
        file: "CaseFile | None" = None,
        case: "Case | None" = None,
        broken: Exception | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.file, self.case, self.broken = file, case, broken

    def runtest(self) -> None:
        """Run the case."""
        from conversions_assets.testing.run import run_case

        if self.file is None or self.case is None:
            assert self.broken is not None
            raise self.broken
        module = self.parent
        assert isinstance(module, CaseModule)
        run_case(self.file, self.case, module.conversion, module.known)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """What an author of SQL reads: the message alone, where it is one of ours."""
        from conversions_assets.contract.source import QueryError
        from conversions_assets.project import ConfigurationError
        from conversions_assets.testing.document import CaseError

        if isinstance(excinfo.value, CaseError | QueryError | ConfigurationError):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """File, line (from 0) and name."""
        return self.path, self.case.line - 1 if self.case else 0, self.name
