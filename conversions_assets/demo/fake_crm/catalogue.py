"""What the fake company has set up in its CRM: pipelines, stages, users, and fields of its own."""

from dataclasses import dataclass
from typing import Any

KINDS = ("contact", "company", "deal", "lead", "role", "stage_change")
CUSTOM_KINDS = ("contact", "company", "deal", "lead")
TYPES = ("string", "number", "bool", "datetime")


@dataclass(frozen=True)
class Stage:
    """A stage of a pipeline; `probability` is 1 where the deal is won and 0 where it is lost."""

    id: str
    label: str
    pipeline: str
    probability: float
    number: int

    @property
    def won(self) -> bool:
        """Whether a deal that is here is won."""
        return self.probability == 1

    @property
    def closed(self) -> bool:
        """Whether a deal that is here is won or lost."""
        return self.probability in (0, 1)


@dataclass(frozen=True)
class User:
    """An owner of records."""

    number: int
    name: str
    email: str


@dataclass(frozen=True)
class CustomField:
    """A field that the company added; `name` never changes, the label does when somebody renames it."""

    kind: str
    name: str
    label: str
    type: str


PIPELINES = {"default": "Sales Pipeline", "enterprise": "Enterprise"}

# The second pipeline's stages have ids of digits, as HubSpot gives to stages that a user adds.
STAGES = {
    stage.id: stage
    for stage in (
        Stage("appointmentscheduled", "Appointment Scheduled", "default", 0.2, 1),
        Stage("qualifiedtobuy", "Qualified To Buy", "default", 0.4, 2),
        Stage("contractsent", "Contract Sent", "default", 0.9, 3),
        Stage("closedwon", "Closed Won", "default", 1, 4),
        Stage("closedlost", "Closed Lost", "default", 0, 5),
        Stage("190001", "Discovery", "enterprise", 0.1, 6),
        Stage("190002", "Proof of Concept", "enterprise", 0.5, 7),
        Stage("190003", "Signed", "enterprise", 1, 8),
        Stage("190004", "No Decision", "enterprise", 0, 9),
    )
}

USERS = (
    User(101, "Ada Example", "ada@crm.example"),
    User(102, "Ben Example", "ben@crm.example"),
    User(103, "Cleo Example", "cleo@crm.example"),
)

# The one field that every conversion needs; "GA Client ID" becomes ga_client_id, GA_Client_ID__c, new_gaclientid.
CLIENT_ID = "ga_client_id"


def initial_fields() -> list[CustomField]:
    """The client id's field on contacts, deals and leads."""
    return [CustomField(kind, CLIENT_ID, "GA Client ID", "string") for kind in ("contact", "deal", "lead")]


def stage_ids(pipeline: str) -> list[str]:
    """The stages of a pipeline in their order."""
    return [stage.id for stage in STAGES.values() if stage.pipeline == pipeline]


def coerce(value: Any, kind: str) -> str | float | bool | None:
    """A custom value as its field's type says now; None where the type was changed and the value does not fit."""
    if value is None:
        return None
    if kind == "number":
        try:
            return float(value)
        except (TypeError, ValueError):
            return None
    if kind == "bool":
        return value if isinstance(value, bool) else {"true": True, "false": False}.get(str(value).lower())
    return str(value).lower() if isinstance(value, bool) else str(value)
