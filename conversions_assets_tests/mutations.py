"""`make mutations`: switches each rule off, one after the other, and shows the test that fails.

The list is mutations.yaml. Works on a copy of the tree; ends with 1 if a rule can be switched off unnoticed.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

import yaml

ROOT = Path(__file__).resolve().parent.parent
PACKAGE, TESTS = "conversions_assets", "conversions_assets_tests"


@dataclass(frozen=True)
class Mutation:
    """A rule switched off: `new` in the place of `old` in a file; the rule's tests in `tests` must notice."""

    rule: str
    what: str
    file: str
    old: str
    new: str
    tests: str

    @property
    def selection(self) -> str:
        """What the names of the rule's tests have in them."""
        return f"r{int(self.rule[1:]):02}"


def load_mutations() -> list[Mutation]:
    """The list of mutations.yaml."""
    content = (ROOT / TESTS / "mutations.yaml").read_text(encoding="utf-8")
    return [Mutation(**entry) for entry in yaml.safe_load(content)]


def main(workers: int = 2) -> int:
    """Run all; returns the exit code."""
    wanted = set(sys.argv[1:])
    mutations = [m for m in load_mutations() if not wanted or m.rule in wanted]
    with tempfile.TemporaryDirectory() as folder:
        trees: SimpleQueue[Path] = SimpleQueue()
        for number in range(workers):
            trees.put(_copy(Path(folder) / str(number)))
        with ThreadPoolExecutor(workers) as pool:
            missed = 0
            for mutation, test in zip(mutations, pool.map(lambda m: _try(m, trees), mutations), strict=True):
                missed += test is None
                print(f"{mutation.rule:4} {mutation.what:45} {test or 'NOTHING FAILS'}", flush=True)
    print(f"{len(mutations)} rules switched off, {missed} unnoticed")
    return int(missed > 0)


def _copy(tree: Path) -> Path:
    for name in (PACKAGE, TESTS):
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tree)
    return tree


def _try(mutation: Mutation, trees: "SimpleQueue[Path]") -> str | None:
    """The name of the first test that fails; None if none does."""
    tree = trees.get()
    file = tree / PACKAGE / mutation.file
    original = file.read_text(encoding="utf-8")
    assert original.count(mutation.old) == 1, (
        f"{mutation.file}: {mutation.old!r} is there {original.count(mutation.old)} times"
    )
    file.write_text(original.replace(mutation.old, mutation.new), encoding="utf-8")
    try:
        return _first_failure(tree, mutation)
    finally:
        file.write_text(original, encoding="utf-8")
        trees.put(tree)


def _first_failure(tree: Path, mutation: Mutation) -> str | None:
    command = [
        *(sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "-k", mutation.selection),
        f"{TESTS}/{mutation.tests}",
    ]
    environment = {**os.environ, "PYTHONPATH": str(tree)}
    done = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True)
    failed = re.search(r"^(?:FAILED|ERROR) \S+::(\w+)", done.stdout, re.MULTILINE)
    assert failed or done.returncode == 0, f"{mutation.what}: no test ran\n{done.stdout[-2000:]}"
    return failed[1] if failed else None


if __name__ == "__main__":
    sys.exit(main())
