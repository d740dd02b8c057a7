"""What a user writes in YAML. Each component is a schema and hands over to `assets`."""

from conversions_assets.components.crm_source import CrmSource
from conversions_assets.components.crm_tables import CrmTables
from conversions_assets.components.custom_conversion import CustomConversion
from conversions_assets.components.exchange_rates import ExchangeRates

__all__ = ["CrmSource", "CrmTables", "CustomConversion", "ExchangeRates"]
