"""`guard:` in YAML: when a conversion's run counts as made on an incomplete load (R19)."""

import dagster as dg
from pydantic import Field

from conversions_assets.project import Project


class Guard(dg.Model, dg.Resolvable):
    """What a conversion leaves out is as in project.yaml.

    Attributes:
        raw_rows_fall: share of a raw table's rows that may be gone since the last run that wrote.
        vanished_share: share of the window's ids that may vanish at once.
        vanished_rows: so many may vanish at once in any case.
    """

    raw_rows_fall: float | None = Field(None, ge=0, le=1)
    vanished_share: float | None = Field(None, ge=0, le=1)
    vanished_rows: int | None = Field(None, ge=0)

    def applied(self, project: Project) -> Project:
        """The project with these limits."""
        changed = {name: value for name, value in self.model_dump().items() if value is not None}
        return project.model_copy(update={"thresholds": project.thresholds.model_copy(update=changed)})
