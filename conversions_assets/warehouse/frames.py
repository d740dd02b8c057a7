"""DataFrames on their way into a warehouse."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pandas import DataFrame
    from pyarrow import Table


def typed(frame: "DataFrame", columns: Mapping[str, str]) -> "Table":
    """A DataFrame with the types that are declared, also where no row tells them.

    Args:
        columns: name -> BigQuery type (STRING, INT64, FLOAT64, BOOL, DATE, TIMESTAMP).
    """
    import pyarrow as pa

    types = {
        "STRING": pa.string(),
        "INT64": pa.int64(),
        "FLOAT64": pa.float64(),
        "BOOL": pa.bool_(),
        "DATE": pa.date32(),
        "TIMESTAMP": pa.timestamp("us", tz="UTC"),
    }
    schema = pa.schema([(name, types[kind]) for name, kind in columns.items()])
    return pa.Table.from_pandas(frame[list(columns)], schema=schema, preserve_index=False)
