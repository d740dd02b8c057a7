"""The test of the tests: which filters prune partitions, and which only look like it."""

import pytest

from conversions_assets_tests.warehouse.pruning import unpruned

MADE = "CREATE TABLE IF NOT EXISTS `a`.`b` (`id` STRING, `day` DATE) PARTITION BY `day` CLUSTER BY `id`"


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM a.b WHERE day BETWEEN @first AND @last",
        "SELECT * FROM a.b WHERE day IN (DATE '2026-01-01', @last)",
        "SELECT * FROM a.b AS b JOIN c ON c.id = b.id WHERE b.day >= DATE_SUB(@first, INTERVAL 7 DAY)",
        "SELECT * FROM a.b AS b WHERE b.day = @first OR (@thaws AND b.day <= @last)",
        "SELECT * FROM c LEFT JOIN (SELECT * FROM a.b WHERE day = @first) AS b ON b.id = c.id",
        "DELETE FROM a.b AS b WHERE b.day >= @first AND EXISTS (SELECT 1 FROM c WHERE c.id = b.id)",
        "BEGIN TRANSACTION;\nINSERT INTO a.b (id) SELECT id FROM c;\nCOMMIT TRANSACTION",
        "SELECT * FROM a.whole",
    ],
)
def test_a_filter_that_is_known_before_the_job_runs_prunes(sql: str) -> None:
    assert unpruned([MADE, sql]) == []


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM a.b",
        "SELECT * FROM a.b AS b JOIN c ON c.id = b.id WHERE b.day = c.day",
        "SELECT * FROM a.b AS b JOIN c ON c.id = b.id WHERE c.day = @first",
        "SELECT * FROM a.b WHERE day >= (SELECT MAX(day) FROM c)",
        "SELECT * FROM a.b WHERE day = @first OR id = @id",
        "SELECT * FROM (SELECT * FROM a.b) WHERE day = @first",
        "SELECT * FROM a.b WHERE DATE_ADD(day, INTERVAL 1 DAY) = @first",
        "DELETE FROM a.b AS b WHERE b.id IN (SELECT id FROM c)",
        "BEGIN TRANSACTION;\nINSERT INTO a.b (id) SELECT id FROM a.b;\nCOMMIT TRANSACTION",
    ],
)
def test_a_filter_that_only_looks_like_it_does_not(sql: str) -> None:
    assert len(unpruned([MADE, sql])) == 1
