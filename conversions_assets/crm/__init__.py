"""The CRMs: one dlt source each, and what they share. dlt is imported inside functions."""
