SELECT Name, Name LIKE '%&%' AS has_and, STRPOS(Name, 'e') AS moment, CHAR_LENGTH(Name) AS n FROM salesforce.Account ORDER BY Name
