"""What a CRM's file gives (`sources/<name>.py`, the class `CRM`): the tables it has, and how they are read."""

import difflib
import importlib
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, ClassVar

from conversions_assets.crm import sources
from conversions_assets.crm.client import Client, CrmError, Patience
from conversions_assets.crm.tables import SourceTable

if TYPE_CHECKING:
    from requests import Session


@dataclass(frozen=True)
class Settings:
    """What a user configures of any CRM.

    Attributes:
        objects: the objects to load; none: all that the CRM's file knows.
        properties: object -> properties (fields, columns) beside the default ones and those of one's own.
        client_id: the property that holds the website's client id; some object has to have it.
        address: of the account, such as `https://acme.my.salesforce.com`; None: the vendor's own.
        lag: how far the CRM may be behind in telling a change; so much is read again each time.
    """

    objects: Sequence[str] = ()
    properties: Mapping[str, Sequence[str]] = field(default_factory=dict)
    client_id: str | None = None
    address: str | None = None
    lag: timedelta = timedelta(minutes=10)


@dataclass(frozen=True)
class Declared:
    """A table as it is known without a call.

    Attributes:
        name: the table's name.
        key: the columns that name a row; none where the table is replaced whole.
        versioned: whether it has `id`, `updated_at`, `_deleted`, `_merged_into` and `<name>_versions` beside it.
    """

    name: str
    key: Sequence[str] = ()
    versioned: bool = False


class Crm(ABC):
    """One CRM, configured.

    Attributes:
        title: the vendor's name of it.
        all_objects: the objects that can be loaded, all of them unless the settings say which.
        secrets: alternatives, each the names of what has to be given together: `(("token",),)`.
        needs_address: whether each account has an address of its own.

    Raises:
        CrmError: the settings name an object that is none, or lack the address.
    """

    title: ClassVar[str]
    all_objects: ClassVar[Sequence[str]]
    secrets: ClassVar[Sequence[Sequence[str]]]
    needs_address: ClassVar[bool] = False

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.objects = settings.objects or self.all_objects
        for name in (*settings.objects, *settings.properties):
            if name not in self.all_objects:
                raise CrmError(f"{self.title}: there is no object '{name}'; write one of {', '.join(self.all_objects)}")
        if self.needs_address and settings.address is None:
            raise CrmError(f"{self.title}: each account has an address of its own: write `address: https://...`")

    @abstractmethod
    def declared(self) -> list[Declared]:
        """The tables of a load; no call is made."""

    @abstractmethod
    def client(self, secrets: Mapping[str, str], patience: Patience, session: "Session | None" = None) -> Client:
        """A client with this CRM's words for refusals; `secrets` is one of the alternatives."""

    @abstractmethod
    def tables(self, client: Client) -> list[SourceTable]:
        """The declared tables with their columns, which the CRM tells.

        Raises:
            CrmError: a configured property does not exist, or the CRM refuses.
        """


def check_properties(title: str, wanted: Mapping[str, Sequence[str]], there: Mapping[str, Sequence[str]]) -> None:
    """Refuse properties that an object has not.

    Raises:
        CrmError: names the object, the property and the nearest that exists.
    """
    for name, properties in wanted.items():
        for missing in sorted(set(properties) - set(there.get(name, properties))):
            raise CrmError(f"{title}: {name} have no property '{missing}'{_nearest(missing, there[name])}")


def check_client_id(title: str, client_id: str | None, there: Mapping[str, Sequence[str]]) -> None:
    """Refuse a client id's property that no loaded object has.

    Raises:
        CrmError: names the nearest property that exists.
    """
    everywhere = sorted({name for names in there.values() for name in names})
    if client_id is not None and client_id not in everywhere:
        objects = ", ".join(there)
        raise CrmError(f"{title}: none of {objects} has the client id '{client_id}'{_nearest(client_id, everywhere)}")


def crm_names() -> list[str]:
    """The CRMs there are."""
    return sorted(module.name for module in pkgutil.iter_modules(sources.__path__))


def find_crm(name: str) -> type[Crm]:
    """The class of a CRM.

    Raises:
        CrmError: there is none of this name.
    """
    if name not in crm_names():
        raise CrmError(f"there is no CRM '{name}'; write one of {', '.join(crm_names())}")
    found: type[Crm] = importlib.import_module(f"{sources.__name__}.{name}").CRM
    return found


def _nearest(missing: str, there: Sequence[str]) -> str:
    near = difflib.get_close_matches(missing, there, 1)
    return f"; write {near[0]}" if near else ""
