-- Functions that our SQL calls and that an engine computes best in its own way; each engine has a file of them.
-- trimmed: without white space (as Unicode and BigQuery's TRIM know it) at both ends; the pattern is tried first because
-- almost no text needs the replacement.
CREATE OR REPLACE TEMP MACRO trimmed(text) AS
  CASE
    WHEN regexp_matches(text, '^[\s\pZ\x{0b}\x{85}]|[\s\pZ\x{0b}\x{85}]$')
      THEN regexp_replace(text, '^[\s\pZ\x{0b}\x{85}]+|[\s\pZ\x{0b}\x{85}]+$', '', 'g')
    ELSE text
  END;
-- R9 in two steps, so that DuckDB computes each list once: clean_params (keys trimmed, lower-cased, spaces and hyphens to _;
-- empty keys and values dropped), then sorted_params (a key twice: the first one; sorted by key; NULL where nothing is left).
CREATE OR REPLACE TEMP MACRO clean_params(params) AS
  CASE
    WHEN len(list_filter(params, lambda p: p.value <> '' AND regexp_full_match(p.key, '[a-z0-9_]+'))) = len(params) THEN params
    ELSE list_filter(
      list_transform(
        params,
        lambda p: struct_pack(
          key := replace(replace(lower(trimmed(p.key)), ' ', '_'), '-', '_'),
          value := p.value
        )
      ),
      lambda p: p.key <> '' AND p.value <> ''
    )
  END;
CREATE OR REPLACE TEMP MACRO sorted_params(params) AS
  CASE
    WHEN len(params) = 0 THEN NULL
    WHEN len(list_filter(params, lambda p, i: i > 1 AND p.key <= params[i - 1].key)) = 0 THEN params
    ELSE list_sort(list_filter(params, lambda p, i: list_position(list_transform(params, lambda q: q.key), p.key) = i))
  END;
-- Whether params has a key.
CREATE OR REPLACE TEMP MACRO has_key(params, name) AS list_contains(list_transform(params, lambda p: p.key), name);
-- The value of a key of params; NULL where it is not there. Both lists are made once, however many keys are asked for.
CREATE OR REPLACE TEMP MACRO param(params, name) AS
  list_extract(list_transform(params, lambda p: p.value), list_position(list_transform(params, lambda p: p.key), name));
-- The params of a published row that is written out as JSON (R16).
CREATE OR REPLACE TEMP MACRO params_in(text) AS
  from_json(json_extract(text, '$.params'), '[{"key":"VARCHAR","value":"VARCHAR"}]');
-- R23: 63 bits of a row, for fingerprints. NULL is a value of its own.
CREATE OR REPLACE TEMP MACRO row_hash(id, client_id, created, amount, other_value, currency, is_qualified, params, user_id, refusal) AS
  (hash(id, client_id, created, amount, other_value, currency, is_qualified, params, user_id, refusal) >> 1)::BIGINT;
-- Marks what TO_JSON_STRING writes alike on both engines, and a FLOAT64; jsons.py then leaves the tests of its type out, which
-- cost most to plan.
CREATE OR REPLACE TEMP MACRO as_is(x) AS x;
CREATE OR REPLACE TEMP MACRO as_float(x) AS x;
