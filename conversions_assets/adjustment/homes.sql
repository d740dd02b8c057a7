-- R17: on which days the ids of the run's own days are published. An id may have come from any day, so this one statement reads
-- all days of `published`, and of them two columns only; what comes after it reads and writes between these days alone.
SELECT MIN(p.day) AS first_home, MAX(p.day) AS last_home
FROM published AS p
JOIN (SELECT DISTINCT s.id FROM stored AS s WHERE s.day BETWEEN @first_day AND @last_day) AS own ON own.id = p.id
