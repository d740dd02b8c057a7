-- BigQuery's functions in DuckDB's words, where DuckDB's function of that name means something else. `rewrites/` calls them.
-- A macro is expanded when a query is bound, and TYPEOF is known then: a CASE over it costs nothing per row.

-- Text of a value. ZetaSQL writes a double with 15 digits, with 17 where 15 do not give it back.
CREATE OR REPLACE TEMP MACRO bq_double_text(x) AS
  CASE WHEN x = 0 THEN '0' WHEN TRY_CAST(printf('%.15g', x) AS DOUBLE) = x THEN printf('%.15g', x) ELSE printf('%.17g', x) END;
CREATE OR REPLACE TEMP MACRO bq_fraction(x, format) AS
  strftime(x, format) || CASE
    WHEN date_part('microsecond', x) % 1000000 = 0 THEN ''
    WHEN date_part('microsecond', x) % 1000 = 0 THEN '.' || strftime(x, '%g')
    ELSE '.' || strftime(x, '%f')
  END;
CREATE OR REPLACE TEMP MACRO bq_text(x) AS
  CASE
    WHEN typeof(x) IN ('DOUBLE', 'FLOAT') THEN bq_double_text(TRY_CAST(x AS DOUBLE))
    WHEN typeof(x) LIKE 'DECIMAL%' THEN regexp_replace(CAST(x AS VARCHAR), '(\.\d*[1-9])0+$|\.0+$', '\1')
    WHEN typeof(x) = 'TIMESTAMP' THEN bq_fraction(TRY_CAST(x AS TIMESTAMP), '%Y-%m-%d %H:%M:%S')
    WHEN typeof(x) = 'TIMESTAMP WITH TIME ZONE'
      THEN bq_fraction(timezone('UTC', TRY_CAST(x AS TIMESTAMPTZ)), '%Y-%m-%d %H:%M:%S') || '+00'
    ELSE CAST(x AS VARCHAR)
  END;

-- CAST and SAFE_CAST from text take less in BigQuery than in DuckDB: `bq_only` gives a text on, or one that no CAST takes.
CREATE OR REPLACE TEMP MACRO bq_only(x, good) AS CASE WHEN good THEN x WHEN x IS NULL THEN NULL ELSE 'not: ' || x END;
CREATE OR REPLACE TEMP MACRO bq_int_text(x) AS
  bq_only(x, regexp_full_match(x, '\s*[+-]?([0-9]+|0[xX][0-9a-fA-F]+)\s*'));
CREATE OR REPLACE TEMP MACRO bq_float_text(x) AS bq_only(x, NOT contains(x, '_'));
CREATE OR REPLACE TEMP MACRO bq_bool_text(x) AS bq_only(x, lower(x) IN ('true', 'false'));
CREATE OR REPLACE TEMP MACRO bq_date_text(x) AS bq_only(x, regexp_full_match(x, '[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}'));
CREATE OR REPLACE TEMP MACRO bq_datetime_text(x) AS
  bq_only(
    x,
    regexp_full_match(
      x, '[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}([ Tt]([01]?[0-9]|2[0-3]):[0-9]{1,2}:[0-9]{1,2}(\.[0-9]{1,9})?)?'
    )
  );
CREATE OR REPLACE TEMP MACRO bq_instant_text(x) AS
  bq_only(
    CASE WHEN regexp_matches(x, '[tz]|[+-][0-9]$') THEN regexp_replace(upper(x), '([+-])([0-9])$', '\10\2') ELSE x END,
    regexp_full_match(
      x,
      '[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}([ Tt]([01]?[0-9]|2[0-3]):[0-9]{1,2}:[0-9]{1,2}(\.[0-9]{1,9})?([Zz]|[+-][0-9]{1,2}(:?[0-9]{2})?| UTC)?)?'
    )
  );
CREATE OR REPLACE TEMP MACRO bq_int(x) AS
  CASE
    WHEN typeof(x) = 'VARCHAR' THEN CAST(bq_int_text(TRY_CAST(x AS VARCHAR)) AS BIGINT)
    WHEN typeof(x) IN ('DOUBLE', 'FLOAT') THEN CAST(round(TRY_CAST(x AS DOUBLE)) AS BIGINT)
    ELSE CAST(x AS BIGINT)
  END;
CREATE OR REPLACE TEMP MACRO bq_safe_int(x) AS
  CASE
    WHEN typeof(x) = 'VARCHAR' THEN TRY_CAST(bq_int_text(TRY_CAST(x AS VARCHAR)) AS BIGINT)
    WHEN typeof(x) IN ('DOUBLE', 'FLOAT') THEN TRY_CAST(round(TRY_CAST(x AS DOUBLE)) AS BIGINT)
    ELSE TRY_CAST(x AS BIGINT)
  END;
CREATE OR REPLACE TEMP MACRO bq_float(x) AS
  CASE
    WHEN typeof(x) = 'VARCHAR' THEN CAST(bq_float_text(TRY_CAST(x AS VARCHAR)) AS DOUBLE)
    ELSE CAST(x AS DOUBLE)
  END;
CREATE OR REPLACE TEMP MACRO bq_safe_float(x) AS
  CASE
    WHEN typeof(x) = 'VARCHAR' THEN TRY_CAST(bq_float_text(TRY_CAST(x AS VARCHAR)) AS DOUBLE)
    ELSE TRY_CAST(x AS DOUBLE)
  END;
CREATE OR REPLACE TEMP MACRO bq_bool(x) AS
  CASE
    WHEN typeof(x) = 'VARCHAR' THEN CAST(bq_bool_text(TRY_CAST(x AS VARCHAR)) AS BOOLEAN)
    ELSE CAST(x AS BOOLEAN)
  END;
CREATE OR REPLACE TEMP MACRO bq_safe_bool(x) AS
  CASE
    WHEN typeof(x) = 'VARCHAR' THEN TRY_CAST(bq_bool_text(TRY_CAST(x AS VARCHAR)) AS BOOLEAN)
    ELSE TRY_CAST(x AS BOOLEAN)
  END;
CREATE OR REPLACE TEMP MACRO bq_date(x) AS
  CASE
    WHEN typeof(x) = 'VARCHAR' THEN CAST(bq_date_text(TRY_CAST(x AS VARCHAR)) AS DATE)
    ELSE CAST(x AS DATE)
  END;
CREATE OR REPLACE TEMP MACRO bq_safe_date(x) AS
  CASE
    WHEN typeof(x) = 'VARCHAR' THEN TRY_CAST(bq_date_text(TRY_CAST(x AS VARCHAR)) AS DATE)
    ELSE TRY_CAST(x AS DATE)
  END;
CREATE OR REPLACE TEMP MACRO bq_datetime(x) AS
  CASE
    WHEN typeof(x) = 'VARCHAR' THEN CAST(bq_datetime_text(TRY_CAST(x AS VARCHAR)) AS TIMESTAMP)
    ELSE CAST(x AS TIMESTAMP)
  END;
CREATE OR REPLACE TEMP MACRO bq_safe_datetime(x) AS
  CASE
    WHEN typeof(x) = 'VARCHAR' THEN TRY_CAST(bq_datetime_text(TRY_CAST(x AS VARCHAR)) AS TIMESTAMP)
    ELSE TRY_CAST(x AS TIMESTAMP)
  END;
CREATE OR REPLACE TEMP MACRO bq_instant(x) AS
  CASE
    WHEN typeof(x) = 'VARCHAR' THEN CAST(bq_instant_text(TRY_CAST(x AS VARCHAR)) AS TIMESTAMPTZ)
    ELSE CAST(x AS TIMESTAMPTZ)
  END;
CREATE OR REPLACE TEMP MACRO bq_safe_instant(x) AS
  CASE
    WHEN typeof(x) = 'VARCHAR' THEN TRY_CAST(bq_instant_text(TRY_CAST(x AS VARCHAR)) AS TIMESTAMPTZ)
    ELSE TRY_CAST(x AS TIMESTAMPTZ)
  END;

-- Numbers
CREATE OR REPLACE TEMP MACRO bq_ieee_divide(a, b) AS
  CASE
    WHEN b <> 0 THEN a / b
    WHEN a IS NULL OR b IS NULL THEN NULL
    WHEN a = 0 OR isnan(CAST(a AS DOUBLE)) THEN CAST('nan' AS DOUBLE)
    ELSE CAST('inf' AS DOUBLE) * sign(CAST(a AS DOUBLE)) * CASE WHEN CAST(CAST(b AS DOUBLE) AS VARCHAR) = '-0.0' THEN -1 ELSE 1 END
  END;
-- The exact half is rounded away from zero; DuckDB's ROUND multiplies first, and so sees halves where there are none.
CREATE OR REPLACE TEMP MACRO bq_round_double(x, n, written) AS
  CASE
    WHEN round(x, n) = CAST(written AS DOUBLE) OR NOT isfinite(x) THEN round(x, n)
    WHEN regexp_matches(printf('%.60f', abs(x)), '\.[0-9]{' || n || '}50*$') THEN round(x, n)
    ELSE CAST(written AS DOUBLE)
  END;
-- DuckDB does not know the type of an aggregate when it chooses an overload, so an aggregate has a macro of its own.
CREATE OR REPLACE TEMP MACRO bq_round_any(x, n) AS
  CASE
    WHEN typeof(x) IN ('DOUBLE', 'FLOAT') AND n > 0
      THEN bq_round_double(CAST(x AS DOUBLE), n, printf('%.' || greatest(n, 0) || 'f', CAST(x AS DOUBLE)))
    ELSE CAST(round(x, n) AS DOUBLE)
  END;
CREATE OR REPLACE TEMP MACRO bq_round(x BIGINT, n) AS round(CAST(x AS DOUBLE), n),
  (x DECIMAL(38, 9), n) AS round(x, n),
  (x DOUBLE, n) AS bq_round_any(CAST(x AS DOUBLE), n);
-- NaN: smaller than every number in an order, equal to nothing, and it wins in MIN, MAX, LEAST and GREATEST.
CREATE OR REPLACE TEMP MACRO bq_is_nan(x) AS
  CASE WHEN typeof(x) IN ('DOUBLE', 'FLOAT') THEN isnan(TRY_CAST(x AS DOUBLE)) ELSE FALSE END;

-- Text
CREATE OR REPLACE TEMP MACRO bq_upper(x) AS upper(CASE WHEN contains(x, 'ß') THEN replace(x, 'ß', 'SS') ELSE x END);
CREATE OR REPLACE TEMP MACRO bq_substr(x, start) AS
    CASE WHEN start > 0 THEN substring(x, start) WHEN start = 0 OR -start > length(x) THEN x ELSE substring(x, start) END,
  (x, start, size) AS
    CASE
      WHEN size < 0 THEN error('the third argument of SUBSTR is negative')
      WHEN start > 0 THEN substring(x, start, size)
      WHEN start = 0 OR -start > length(x) THEN substring(x, 1, size)
      ELSE substring(x, start, size)
    END;
CREATE OR REPLACE TEMP MACRO bq_not_negative(n) AS CASE WHEN n < 0 THEN error('a length is negative') ELSE n END;
CREATE OR REPLACE TEMP MACRO bq_byte_length(x) AS
  CASE WHEN typeof(x) = 'BLOB' THEN octet_length(TRY_CAST(x AS BLOB)) ELSE strlen(TRY_CAST(x AS VARCHAR)) END;

-- Arrays
CREATE OR REPLACE TEMP MACRO bq_element(list, position) AS
  CASE
    WHEN position < 1 OR position > len(list) THEN error('an array index is out of bounds: use SAFE_OFFSET or SAFE_ORDINAL')
    ELSE list[position]
  END;
CREATE OR REPLACE TEMP MACRO bq_safe_element(list, position) AS CASE WHEN position >= 1 THEN list[position] END;

-- Time. A local time that comes twice when the clock is set back is the first of the two.
CREATE OR REPLACE TEMP MACRO bq_first_instant(local, zone) AS
  CASE
    WHEN timezone(zone, timezone(zone, local) - INTERVAL 1 HOUR) = local THEN timezone(zone, local) - INTERVAL 1 HOUR
    ELSE timezone(zone, local)
  END;
CREATE OR REPLACE TEMP MACRO bq_timestamp(x, zone) AS
  bq_first_instant(
    CASE
      WHEN typeof(x) = 'VARCHAR' THEN CAST(bq_datetime_text(TRY_CAST(x AS VARCHAR)) AS TIMESTAMP)
      ELSE CAST(x AS TIMESTAMP)
    END,
    zone
  );
CREATE OR REPLACE TEMP MACRO bq_local(x, other) AS
  CASE
    WHEN typeof(other) = 'TIME' THEN TRY_CAST(x AS DATE) + TRY_CAST(other AS TIME)
    ELSE timezone(CAST(other AS VARCHAR), CAST(x AS TIMESTAMPTZ))
  END;
CREATE OR REPLACE TEMP MACRO bq_naive(x) AS
  CASE
    WHEN typeof(x) = 'TIMESTAMP WITH TIME ZONE' THEN timezone('UTC', TRY_CAST(x AS TIMESTAMPTZ))
    ELSE bq_datetime(x)
  END;
CREATE OR REPLACE TEMP MACRO bq_time(x) AS TRY_CAST(bq_naive(x) AS TIME);
CREATE OR REPLACE TEMP MACRO bq_date_diff(unit, later, earlier) AS
  CASE
    WHEN typeof(later) = 'TIMESTAMP WITH TIME ZONE' THEN datesub(unit, earlier, later)
    ELSE datediff(unit, earlier, later)
  END;
-- What is added to a DATE or cut from one stays a DATE.
CREATE OR REPLACE TEMP MACRO bq_like(x, result) AS result, (x DATE, result) AS CAST(result AS DATE);
CREATE OR REPLACE TEMP MACRO bq_part(part, x) AS
  CASE
    WHEN typeof(x) = 'INTERVAL' THEN error('EXTRACT from an INTERVAL: write DATE_DIFF or TIMESTAMP_DIFF')
    ELSE date_part(part, x)
  END;
CREATE OR REPLACE TEMP MACRO bq_week(x, first) AS
  CAST((date_part('dayofyear', x) + 6 - (date_part('dayofweek', x) - first + 7) % 7) // 7 AS BIGINT);

-- JSON as text. BigQuery gives a number as it is written (1.50); DuckDB writes it anew, so it is looked up by its pattern.
CREATE OR REPLACE TEMP MACRO bq_json_number(x, number, pattern) AS
  CASE len(list_distinct(list_filter(
    regexp_extract_all(x, pattern, 1), lambda t: TRY_CAST(t AS DOUBLE) = TRY_CAST(number AS DOUBLE)
  )))
    WHEN 1 THEN list_filter(
      regexp_extract_all(x, pattern, 1), lambda t: TRY_CAST(t AS DOUBLE) = TRY_CAST(number AS DOUBLE)
    )[1]
    ELSE error('a JSON number cannot be given as it is written: CAST it to FLOAT64')
  END;
CREATE OR REPLACE TEMP MACRO bq_json_found(x, found) AS
  CASE
    WHEN found IS NULL AND regexp_matches(x, '^\s*[{\[]') AND NOT json_valid(x) THEN error('a text is broken JSON')
    ELSE found
  END;
CREATE OR REPLACE TEMP MACRO bq_json_scalar(x, path) AS bq_json_found(x, TRY(json_value(x, path))) ->> '$';
CREATE OR REPLACE TEMP MACRO bq_json_value(x, path, pattern) AS
  CASE
    WHEN regexp_matches(TRY(json_value(x, path)), '^-?[0-9]+[.eE]')
      THEN bq_json_number(x, TRY(json_value(x, path)), pattern)
    ELSE bq_json_scalar(x, path)
  END;
CREATE OR REPLACE TEMP MACRO bq_json_as_written(x, found, pattern) AS
  CASE
    WHEN found IS NULL OR found = 'null' THEN NULL
    WHEN regexp_matches(found, '^-?[0-9]+[.eE]') THEN bq_json_number(x, found, pattern)
    WHEN contains(x, found) OR NOT regexp_matches(found, '[0-9][.eE][0-9+-]') THEN found
    WHEN contains(regexp_replace(x, '\s', '', 'g'), regexp_replace(found, '\s', '', 'g')) THEN found
    ELSE error('a JSON number cannot be given as it is written: read it with JSON_VALUE')
  END;
CREATE OR REPLACE TEMP MACRO bq_json_query(x, path, pattern) AS
  bq_json_as_written(x, bq_json_found(x, CAST(TRY(json_extract(x, path)) AS VARCHAR)), pattern);
CREATE OR REPLACE TEMP MACRO bq_json_list(text) AS
  CASE WHEN starts_with(text, '[') THEN list_transform(CAST(CAST(text AS JSON) AS JSON[]), lambda e: CAST(e AS VARCHAR)) END;
CREATE OR REPLACE TEMP MACRO bq_json_query_array(x, path) AS bq_json_list(bq_json_query(x, path, '(x)'));
CREATE OR REPLACE TEMP MACRO bq_json_value_array(x, path) AS
  CASE
    WHEN NOT list_bool_or(list_transform(bq_json_query_array(x, path), lambda e: e[1] IN ('{', '[') OR e = 'null'))
      OR len(bq_json_query_array(x, path)) = 0
      THEN list_transform(bq_json_query_array(x, path), lambda e: CASE WHEN e[1] = '"' THEN CAST(e AS JSON) ->> '$' ELSE e END)
  END;
-- What TO_JSON_STRING writes of a field: DuckDB writes numbers and times otherwise.
CREATE OR REPLACE TEMP MACRO bq_json_double(x) AS
  CASE WHEN isfinite(x) THEN bq_double_text(x) WHEN isnan(x) THEN '"NaN"' WHEN x > 0 THEN '"Infinity"' WHEN x < 0 THEN '"-Infinity"' END;
CREATE OR REPLACE TEMP MACRO bq_json_field(x) AS
  CASE
    WHEN typeof(x) IN ('DOUBLE', 'FLOAT') THEN CAST(bq_json_double(TRY_CAST(x AS DOUBLE)) AS JSON)
    WHEN typeof(x) IN ('BIGINT', 'HUGEINT') AND abs(TRY_CAST(x AS HUGEINT)) > 9007199254740992 THEN to_json(CAST(x AS VARCHAR))
    WHEN typeof(x) = 'TIMESTAMP' THEN to_json(bq_fraction(TRY_CAST(x AS TIMESTAMP), '%Y-%m-%dT%H:%M:%S'))
    WHEN typeof(x) = 'TIMESTAMP WITH TIME ZONE'
      THEN to_json(bq_fraction(timezone('UTC', TRY_CAST(x AS TIMESTAMPTZ)), '%Y-%m-%dT%H:%M:%S') || 'Z')
    WHEN regexp_matches(typeof(x), '^(STRUCT|MAP)|\[') AND regexp_matches(typeof(x), 'DOUBLE|FLOAT|DECIMAL|TIME|BLOB')
      THEN error('TO_JSON_STRING of numbers with a fraction or times inside of an array or STRUCT column')
    WHEN typeof(x) LIKE 'DECIMAL%' OR typeof(x) IN ('BLOB', 'INTERVAL')
      THEN error('TO_JSON_STRING of NUMERIC, BYTES or INTERVAL: CAST it to STRING')
    ELSE to_json(x)
  END;
CREATE OR REPLACE TEMP MACRO bq_json_text(x) AS COALESCE(CAST(x AS VARCHAR), 'null');
