SELECT TO_JSON_STRING(STRUCT(id, title, value, won_time AS won, labels)) AS row FROM pipedrive.deals WHERE labels IS NOT NULL
