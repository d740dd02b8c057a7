"""The CRMs, one file each with a class `CRM`: a further file here is a further CRM (docs/crm/add-a-crm.md)."""
