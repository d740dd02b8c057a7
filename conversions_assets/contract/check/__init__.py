"""The static check: what is wrong with a query, found before it runs and without a warehouse."""
