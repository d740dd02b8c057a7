"""The reference: Google's own analyser and evaluator of BigQuery's SQL, ZetaSQL (PyPI `zetasql`, as WASM)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import wasmtime
from zetasql.core import ServerError, ZetaSqlLocalService, wasm_client
from zetasql.types import LanguageOptions, ZetaSQLBuiltinFunctionOptions
from zetasql.wasi._pb2.zetasql.local_service import local_service_pb2 as service
from zetasql.wasi._pb2.zetasql.proto import options_pb2
from zetasql.wasi._pb2.zetasql.public import options_pb2 as language_pb2
from zetasql.wasi._pb2.zetasql.public import type_pb2

EPOCH = date(1970, 1, 1)
NAMES = {
    type_pb2.TYPE_INT64: "INT64",
    type_pb2.TYPE_BOOL: "BOOL",
    type_pb2.TYPE_DOUBLE: "FLOAT64",
    type_pb2.TYPE_STRING: "STRING",
    type_pb2.TYPE_BYTES: "BYTES",
    type_pb2.TYPE_DATE: "DATE",
    type_pb2.TYPE_TIMESTAMP: "TIMESTAMP",
    type_pb2.TYPE_DATETIME: "DATETIME",
    type_pb2.TYPE_TIME: "TIME",
    type_pb2.TYPE_NUMERIC: "NUMERIC",
    type_pb2.TYPE_JSON: "JSON",
    type_pb2.TYPE_INTERVAL: "INTERVAL",
}


class Refusal(Exception):
    """ZetaSQL refuses the text, or its evaluation ends in an error.

    Attributes:
        analysis: the text was refused before it ran.
    """

    def __init__(self, message: str, *, analysis: bool) -> None:
        super().__init__(message)
        self.analysis = analysis


@dataclass(frozen=True)
class Result:
    """Column names, their BigQuery types, and rows of Python values."""

    names: tuple[str, ...]
    types: tuple[str, ...]
    rows: list[tuple[Any, ...]]


class Reference:
    """An evaluator without tables.

    Args:
        cache: where the compiled module is kept: its first compilation takes 15 to 35 seconds, loading it one.
    """

    def __init__(self, cache: Path) -> None:
        self._client = _client(cache)
        language = LanguageOptions.maximum_features().to_proto()
        language.product_mode = language_pb2.PRODUCT_EXTERNAL
        language.reserved_keywords.append("QUALIFY")
        self._options = options_pb2.AnalyzerOptionsProto(language_options=language, default_timezone="UTC")
        builtin = ZetaSQLBuiltinFunctionOptions().to_proto()
        builtin.language_options.CopyFrom(language)
        request = service.RegisterCatalogRequest()
        request.simple_catalog.name = "reference"
        request.simple_catalog.builtin_function_options.CopyFrom(builtin)
        self._catalog = self._client.call_grpc_func(
            "ZetaSqlLocalService_RegisterCatalog", request, service.RegisterResponse
        ).registered_id

    def query(self, sql: str) -> Result:
        """Evaluate one statement.

        Raises:
            Refusal: it is refused or ends in an error.
        """
        request = service.PrepareQueryRequest(sql=sql, options=self._options, registered_catalog_id=self._catalog)
        try:
            prepared = self._client.call_grpc_func(
                "ZetaSqlLocalService_PrepareQuery", request, service.PrepareQueryResponse
            ).prepared
        except ServerError as error:
            raise Refusal(error.message, analysis=True) from None
        try:
            answer = self._client.call_grpc_func(
                "ZetaSqlLocalService_EvaluateQuery",
                service.EvaluateQueryRequest(prepared_query_id=prepared.prepared_query_id),
                service.EvaluateQueryResponse,
            )
        except ServerError as error:
            raise Refusal(error.message, analysis=False) from None
        finally:
            self._client.call_grpc_func(
                "ZetaSqlLocalService_UnprepareQuery",
                service.UnprepareQueryRequest(prepared_query_id=prepared.prepared_query_id),
            )
        types = [column.type for column in prepared.columns]
        return Result(
            names=tuple(column.name for column in prepared.columns),
            types=tuple(_type_name(kind) for kind in types),
            rows=[
                tuple(_value(cell, kind) for cell, kind in zip(row.cell, types, strict=True))
                for row in answer.content.table_data.row
            ],
        )


def _client(cache: Path) -> wasm_client.WasmClient:
    settings = cache / "wasmtime.toml"
    settings.write_text(f'[cache]\ndirectory = "{cache / "modules"}"\n', encoding="utf-8")

    def cached_config() -> wasmtime.Config:
        config = wasmtime.Config()
        config.cache = str(settings)
        return config

    original, wasm_client.Config = wasm_client.Config, cached_config
    try:
        return ZetaSqlLocalService.get_instance().wasm_client
    finally:
        wasm_client.Config = original


def _type_name(kind: type_pb2.TypeProto) -> str:
    if kind.type_kind == type_pb2.TYPE_ARRAY:
        return f"ARRAY<{_type_name(kind.array_type.element_type)}>"
    if kind.type_kind == type_pb2.TYPE_STRUCT:
        fields = [f"{field.field_name} {_type_name(field.field_type)}" for field in kind.struct_type.field]
        return f"STRUCT<{', '.join(fields)}>"
    return NAMES.get(kind.type_kind) or type_pb2.TypeKind.Name(kind.type_kind)


def _value(cell: Any, kind: type_pb2.TypeProto) -> Any:
    which = cell.WhichOneof("value")
    if which is None:
        return None
    if kind.type_kind == type_pb2.TYPE_ARRAY:
        return [_value(element, kind.array_type.element_type) for element in cell.array_value.element]
    if kind.type_kind == type_pb2.TYPE_STRUCT:
        fields: Sequence[Any] = kind.struct_type.field
        parts = zip(fields, cell.struct_value.field, strict=True)
        return tuple((field.field_name, _value(part, field.field_type)) for field, part in parts)
    convert = _CONVERSIONS.get(which)
    raw = getattr(cell, which)
    return convert(raw) if convert else raw


def _instant(raw: Any) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=raw.seconds, microseconds=raw.nanos // 1000)


def _clock(seconds: int, nanos: int) -> time:
    return time(seconds >> 12 & 31, seconds >> 6 & 63, seconds & 63, nanos // 1000)


def _local_time(raw: Any) -> datetime:
    bits = raw.bit_field_datetime_seconds
    return datetime.combine(date(bits >> 26, bits >> 22 & 15, bits >> 17 & 31), _clock(bits, raw.nanos))


_CONVERSIONS: dict[str, Any] = {
    "date_value": lambda days: EPOCH + timedelta(days=days),
    "timestamp_value": _instant,
    "datetime_value": _local_time,
    "time_value": lambda bits: _clock(bits >> 30, bits & (1 << 30) - 1),
    "numeric_value": lambda raw: Decimal(int.from_bytes(raw, "little", signed=True)).scaleb(-9),
}
