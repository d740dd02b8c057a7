SELECT
  id,
  JSON_VALUE(properties, '$.hs_probability') AS probability,
  CAST(JSON_VALUE(properties, '$.hs_probability') AS FLOAT64) AS as_float,
  JSON_VALUE(properties, '$.hs_is_closed') = 'true' AS is_closed,
  JSON_VALUE(properties, '$.owner') AS owner_object,
  JSON_VALUE(properties, '$.owner.name') AS owner_name,
  JSON_VALUE(properties, '$.tags[1]') AS second_tag,
  JSON_QUERY(properties, '$.owner') AS owner_json
FROM hubspot.deals
ORDER BY id
