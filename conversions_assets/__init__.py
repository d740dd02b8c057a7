"""CRM data in, marketing conversions out that can be trusted: see README.md and docs/."""
