-- R9: values of params that look like an e-mail address or a phone number, of accepted and of refused rows. Leaves `personal`
-- in the session: where they are, never what they are. Most values have no digit and no @ and are spared the other two tests.
CREATE OR REPLACE TEMP TABLE personal AS
SELECT day, id, key, looks_like
FROM (
  SELECT
    s.day,
    s.id,
    p.key AS key,
    CASE
      WHEN NOT REGEXP_CONTAINS(p.value, r'[0-9@]') THEN NULL
      -- jane@example.com anywhere in the text, also with the @ as %40, %2540 or &#64;
      WHEN REGEXP_CONTAINS(
        p.value,
        r'[\pL\pN._+-](?:@|%(?:25)*40|&#(?:64|[xX]40);)[\pL\pN](?:[\pL\pN-]*[\pL\pN])?(?:\.[\pL\pN-]+)*\.\pL{2,}'
      ) THEN 'e-mail address'
      -- A phone number has a mark that tells it from an id, a date, a price or a version. In the order of the lines:
      -- +49 171 1234567, 8 to 15 digits, not behind a letter (a+b in a URL); +49.171.1234567; 0049 171 1234567; 00491711234567;
      -- (030) 123 456; (212) 555-0123; tel: 1234567; and as the whole value 0171 1234567, 0171-1234567, 01 23 45 67 89,
      -- 212-555-0123. Classes of ASCII where they suffice: with \pL for \w the pattern takes 100 times as long.
      WHEN REGEXP_CONTAINS(
        p.value,
        CONCAT(
          r'(?:^|[^\w.+-])(?:\+|%2[bB])[1-9](?:[\s\pZ\p{Pd}/()]{0,3}\d){7,14}(?:\W|$)',
          r'|(?:^|[^\w.+-])(?:\+|%2[bB])[1-9]\d{0,2}\.\d{2,5}\.\d{3,}',
          r'|(?:^\s*|[^\w\s.+-]|[^\d\s]\s+)00[1-9]\d{0,2}[\s\pZ\p{Pd}/()]{1,3}\d(?:[\s\pZ\p{Pd}/()]{0,3}\d){5,12}(?:\W|$)',
          r'|(?:^\s*|[^\w\s.+-]|[^\d\s]\s+)00(?:1\d|[34])\d{9,11}(?:\W|$)',
          r'|(?:^|\W)\(0\d{1,5}\)[\s\pZ\p{Pd}/]{0,3}\d(?:[\s\pZ\p{Pd}/]{0,3}\d){4,9}(?:\W|$)',
          r'|(?:^|\W)\([2-9]\d{2}\)[\s\pZ\p{Pd}]{0,2}\d{3}[\s\pZ\p{Pd}.]?\d{4}(?:\W|$)',
          r'|(?i:\b(?:tel|telefon|phone|fax|mobil|mobile|handy)[.:]{1,2}\s?)\(?\d(?:[\s\pZ\p{Pd}/()]{0,3}\d){6,14}(?:\W|$)',
          r'|^\s*0[1-9]\d{1,4}(?:\pZ|\pZ?/\pZ?)(?:[\s\pZ\p{Pd}]?\d){6,9}\s*$',
          r'|^\s*01[5-7]\d{1,2}\p{Pd}(?:[\s\pZ\p{Pd}]?\d){7,8}\s*$',
          r'|^\s*0[1-9](?:[ .]\d{2}){4}\s*$',
          r'|^\s*[2-9]\d{2}[-. ]\d{3}[-. ]\d{4}\s*$'
        )
      ) THEN 'phone number'
    END AS looks_like
  FROM staged AS s
  CROSS JOIN UNNEST(s.params) AS p
)
WHERE looks_like IS NOT NULL;
