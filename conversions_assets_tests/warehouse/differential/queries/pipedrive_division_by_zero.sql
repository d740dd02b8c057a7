-- An error in both.
SELECT id, 100 / value AS share FROM pipedrive.deals
