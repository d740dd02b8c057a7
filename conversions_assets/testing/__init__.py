"""Tests of a user's SQL in YAML beside it: raw rows in, expected conversions out (docs/testing-your-sql.md)."""
