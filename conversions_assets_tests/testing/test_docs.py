"""The example of docs/testing-your-sql.md is one that passes, and its table of keys is complete."""

import re
import textwrap
from pathlib import Path

from conversions_assets.project import PACKAGE
from conversions_assets.testing.casefile import CASE_KEYS, FILE_KEYS, read_case_file
from conversions_assets.testing.run import read_conversion, run_case
from conversions_assets.warehouse.schemas import read_schema_files

PAGE = (PACKAGE.parent / "docs" / "testing-your-sql.md").read_text(encoding="utf-8")


def test_the_example_passes_with_the_shipped_lead(tmp_path: Path) -> None:
    found = re.search(r"^    # lead\.test\.yaml\n(?:    .*\n|\n)+", PAGE, re.MULTILINE)
    assert found is not None
    path = tmp_path / "lead.test.yaml"
    path.write_text(textwrap.dedent(found[0]), encoding="utf-8")
    file = read_case_file(path)
    conversion = read_conversion(PACKAGE / "defs" / "conversions" / "lead")
    for case in file.cases:
        run_case(file, case, conversion, read_schema_files(PACKAGE / "defs"))


def test_every_key_is_explained() -> None:
    assert set(re.findall(r"^\| `([a-z]+)` \|", PAGE, re.MULTILINE)) == {*FILE_KEYS, *CASE_KEYS}
