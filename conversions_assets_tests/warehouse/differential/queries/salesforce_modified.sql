SELECT Id, SAFE_CAST(LastModifiedDate AS TIMESTAMP) AS moment, SAFE.PARSE_TIMESTAMP('%Y-%m-%dT%H:%M:%E3S%z', LastModifiedDate) AS parsed
FROM salesforce.Account
