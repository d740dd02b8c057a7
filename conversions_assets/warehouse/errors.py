"""What the translation to DuckDB raises."""


class DialectError(Exception):
    """BigQuery SQL that has no equal on DuckDB."""
