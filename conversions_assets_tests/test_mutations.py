"""The list of mutations is of today's code, and has every rule of R1-R24. `make mutations` runs it."""

import pytest

from conversions_assets_tests.mutations import PACKAGE, ROOT, TESTS, Mutation, load_mutations

MUTATIONS = load_mutations()


@pytest.mark.parametrize("mutation", MUTATIONS, ids=[f"{m.rule}, {m.what}" for m in MUTATIONS])
def test_a_mutation_changes_one_place_and_the_rule_has_tests(mutation: Mutation) -> None:
    assert (ROOT / PACKAGE / mutation.file).read_text(encoding="utf-8").count(mutation.old) == 1
    assert mutation.new != mutation.old
    assert f"{mutation.selection}_" in (ROOT / TESTS / mutation.tests).read_text(encoding="utf-8")


def test_every_rule_of_contract_and_adjustment_is_switched_off_once() -> None:
    assert {mutation.rule for mutation in MUTATIONS} == {f"R{number}" for number in range(1, 25)}
