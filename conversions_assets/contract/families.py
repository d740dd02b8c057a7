"""The rule families: one asset check each, as limits on columns of the profile. Columns come from columns.py."""

from dataclasses import dataclass

from conversions_assets.contract.columns import COLUMNS, OPTIONAL
from conversions_assets.contract.profile import NEVER_NULL
from conversions_assets.project import Thresholds


@dataclass(frozen=True)
class Rule:
    """One rule family: no day may have more than the limit in any of its columns.

    Attributes:
        name: the asset check's name.
        rules: their numbers in docs/rules.md.
        columns: of the profile; those that a profile lacks are not checked.
        blocking: a day that fails keeps its last good state; else it is a warning.
        description: what is checked.
        sentence: what a person reads when a day has more; `{threshold}` and `{names}` are filled in.
        setting: the threshold of project.yaml that the rule knows.
        is_limit: whether it is the largest value that a day may have; else this is 0.
        names: the column of the profile that lists what is at fault by name.
        shown: columns of the profile that tell the days apart.
        meanings: what a column of the profile says, where the description does not.
    """

    name: str
    rules: str
    columns: tuple[str, ...]
    blocking: bool
    description: str
    sentence: str
    setting: str | None = None
    is_limit: bool = True
    names: str | None = None
    shown: tuple[str, ...] = ()
    meanings: tuple[tuple[str, str], ...] = ()

    def threshold(self, thresholds: Thresholds) -> float:
        """What project.yaml says, 0 where the rule knows no threshold."""
        return float(getattr(thresholds, self.setting)) if self.setting else 0.0

    def limit(self, thresholds: Thresholds) -> float:
        """The largest value that a day may have."""
        return self.threshold(thresholds) if self.is_limit else 0.0


RULES: tuple[Rule, ...] = (
    Rule(
        "columns",
        "R6, R7",
        tuple(f"nulls_{name}" for name in NEVER_NULL),
        True,
        "Every conversion has what it cannot be without.",
        "conversions without an id or a time would be written",
        shown=("ids", *(f"nulls_{name}" for name in NEVER_NULL)),
        meanings=tuple(
            (f"nulls_{c.name}", f"`{c.name}` ({c.type}): {c.meaning}. NULL: {c.null}.")
            for c in COLUMNS
            if c.name in NEVER_NULL
        ),
    ),
    Rule(
        "quarantine",
        "R6, R7, R10",
        ("quarantined_share",),
        True,
        "Refused rows are in quarantine; a day with too many keeps its last good state.",
        "more than {threshold:.0%} of the day's rows are refused: see the quarantine table for the reasons",
        setting="quarantined_share",
        shown=("returned_rows", "quarantined_rows", "quarantined_share"),
    ),
    Rule(
        "conflicting_ids",
        "R5",
        ("conflicting_ids_share",),
        True,
        "Ids whose rows differ within one day, as a share of the result's ids.",
        "more than {threshold:.0%} of the ids have rows that differ: let the SQL return one row per id",
        setting="conflicting_ids_share",
        shown=("ids", "conflicting_ids", "conflicting_ids_share"),
    ),
    Rule(
        "client_ids",
        "R8",
        ("damaged_client_ids",),
        True,
        "Client ids are text; as a number they have lost digits.",
        "client ids of the form 1.23E9 have lost digits: cast the original text, not a number",
        shown=("ids", "damaged_client_ids"),
    ),
    Rule(
        "personal_data",
        "R9",
        ("personal_values",),
        True,
        "No value of params looks like an e-mail address or a phone number.",
        "values of params look like an e-mail address or a phone number: leave these keys out: {names}",
        names="personal_keys",
        shown=("ids", "personal_values"),
    ),
    Rule(
        "duplicate_ids",
        "R5",
        ("conflicting_ids",),
        False,
        "Identical rows of an id collapse; of rows that differ one is kept.",
        "some ids have rows that differ: one of them was kept by R5",
        shown=("returned_rows", "surplus_rows", "conflicting_ids"),
    ),
    Rule(
        "empty_columns",
        "R4",
        tuple(f"empty_{name}" for name in OPTIONAL),
        False,
        "A column that the SQL returns has a value on each day with many rows.",
        "{names}: no value on at least one day with {threshold:.0f} rows or more: omit the column",
        setting="empty_column_rows",
        is_limit=False,
        names="empty_columns",
        shown=("ids", *(f"filled_{name}" for name in OPTIONAL)),
        meanings=tuple(
            (f"empty_{c.name}", f"`{c.name}` ({c.type}): {c.meaning}. Some row of each day with many rows has it.")
            for c in COLUMNS
            if c.name in OPTIONAL
        ),
    ),
    Rule(
        "attribution",
        "R8",
        ("not_attributed_rise",),
        False,
        "The share of (not attributed) against its mean over the days before.",
        "(not attributed) is more than {threshold:.0%} of all conversions over its mean: look at the client id",
        setting="not_attributed_rise",
        shown=("ids", "not_attributed_rows", "not_attributed_share", "not_attributed_rise"),
    ),
    Rule(
        "params",
        "R9",
        ("repeated_keys",),
        False,
        "A key that is there twice in params keeps its first non-empty value.",
        "some rows have a key twice in params: the first non-empty value was kept",
        shown=("ids", "repeated_keys"),
    ),
    Rule(
        "negative_values",
        "R6",
        ("negative_values",),
        False,
        "Negative values are kept.",
        "negative values were kept: refunds belong to the order they take value off",
        shown=("ids", "negative_values"),
    ),
)
