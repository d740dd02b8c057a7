SELECT
  id,
  LOWER(TRIM(email)) AS email,
  SPLIT(LOWER(TRIM(email)), '@')[SAFE_OFFSET(1)] AS domain,
  REGEXP_EXTRACT(email, r'@([^.]+)\.') AS company,
  TO_HEX(SHA256(LOWER(TRIM(email)))) AS hashed,
  REGEXP_REPLACE(ga_client_id, r'^GA1\.\d\.', '') AS client_id,
  NULLIF(ga_client_id, '') IS NULL AS without_client
FROM hubspot.contacts
