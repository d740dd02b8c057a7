WITH RECURSIVE tree AS (
  SELECT Id, Name, 0 AS depth, Id AS root FROM salesforce.Account WHERE ParentId IS NULL
  UNION ALL
  SELECT a.Id, a.Name, t.depth + 1, t.root FROM salesforce.Account AS a JOIN tree AS t ON a.ParentId = t.Id
)
SELECT * EXCEPT (root), UPPER(Name) AS loud FROM tree ORDER BY depth, Name
