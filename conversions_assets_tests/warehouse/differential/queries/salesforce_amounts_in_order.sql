SELECT Id, Amount FROM salesforce.Opportunity ORDER BY Amount DESC, Id
