"""A fake CRM that speaks HubSpot, Salesforce, Dynamics 365 and Pipedrive, for tests and the demo: see README.md."""
