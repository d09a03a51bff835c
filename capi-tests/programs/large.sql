-- Memory-intensive queries, with parallel workers and JIT-compiled expressions;
-- each returns few rows.
\pset footer off
CREATE TABLE orders AS
SELECT n AS id, (n::bigint * 7919) % 20011 AS customer, (n::bigint * 104729) % 9973 AS amount,
       md5(n::text) AS reference, date '2020-01-01' + (n % 1500) AS day
FROM generate_series(1, 300000) AS n;
CREATE TABLE customers AS
SELECT n AS id, 'customer ' || md5((n * 31)::text) AS name, n % 17 AS region,
       array(SELECT (n * k) % 101 FROM generate_series(1, 8) AS k) AS marks,
       jsonb_build_object('id', n, 'tags', jsonb_build_array(n % 5, md5(n::text)), 'deep',
                          jsonb_build_object('a', n % 7)) AS about
FROM generate_series(0, 20010) AS n;
ANALYZE;

SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
SET jit = off;

EXPLAIN (COSTS OFF) SELECT count(*), sum(o.amount) FROM orders o JOIN orders p ON o.reference = p.reference;
SELECT count(*), sum(o.amount) FROM orders o JOIN orders p ON o.reference = p.reference;

SET enable_sort = off;
EXPLAIN (COSTS OFF) SELECT reference, count(*) FROM orders GROUP BY reference;
SELECT count(*), max(reference), sum(many) FROM
    (SELECT reference, count(*) AS many FROM orders GROUP BY reference) AS groups;
SET enable_sort = on;

EXPLAIN (COSTS OFF) SELECT * FROM orders ORDER BY reference, day;
SELECT md5(string_agg(reference, '' ORDER BY reference, id)) FROM orders;

SELECT c.region, count(*), sum(o.amount), md5(string_agg(o.reference, ',' ORDER BY o.id))
FROM orders o JOIN customers c ON o.customer = c.id GROUP BY c.region ORDER BY c.region;

SELECT sum(rank), sum(running), count(DISTINCT customer) FROM (
    SELECT customer, rank() OVER (PARTITION BY customer ORDER BY amount, id) AS rank,
           sum(amount) OVER (PARTITION BY day ORDER BY id) AS running FROM orders) AS windows;

SELECT about -> 'tags' ->> 0 AS tag, count(*), sum((about #>> '{deep,a}')::int),
       md5(string_agg(about::text, '' ORDER BY id)), sum(cardinality(marks))
FROM customers GROUP BY 1 ORDER BY 1;

WITH RECURSIVE walk(at, steps, path) AS (
    SELECT 1, 0, ARRAY[1] UNION ALL
    SELECT (at * 7919 + 13) % 20011, steps + 1, path || at FROM walk WHERE steps < 2000)
SELECT count(*), sum(at), md5(string_agg(cardinality(path)::text, ',')) FROM walk;

SELECT count(*), md5(string_agg(regexp_replace(name, '([0-9a-f])([0-9])', '\2-\1', 'g'), '' ORDER BY id))
FROM customers WHERE name ~ '(ab|cd)+[0-9]{2}|(\d)\2\2';

-- An external sort, which does not fit in memory.
SET work_mem = '1MB';
SELECT md5(string_agg(reference, '' ORDER BY amount, reference)) FROM orders;
SET work_mem = '64MB';

SET jit = on;
SET jit_above_cost = 0;
SET jit_inline_above_cost = 0;
SET jit_optimize_above_cost = 0;
-- Shows that JIT was used, without timings, which vary.
CREATE FUNCTION compiled(query text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE line text;
BEGIN
    FOR line IN EXECUTE 'EXPLAIN (ANALYZE, TIMING OFF, SUMMARY OFF) ' || query LOOP
        IF line ~ '^ *JIT' THEN RETURN NEXT trim(line); END IF;
    END LOOP;
END $$;
SELECT * FROM compiled('SELECT customer % 7, sum(amount * 2 + id % 3) FROM orders GROUP BY 1');
SELECT customer % 7 AS rest, sum(amount * 2 + id % 3), avg(CASE WHEN day > '2021-06-01' THEN amount ELSE id END)
FROM orders WHERE (amount + id) % 5 <> 2 OR reference < '8' GROUP BY 1 ORDER BY 1;

SET jit = off;
CREATE INDEX ON orders (reference);
CREATE INDEX ON customers USING gin (about);
SELECT count(*) FROM customers WHERE about @> '{"deep": {"a": 3}}';
DO $$
DECLARE total bigint := 0;
BEGIN
    FOR round IN 1..3000 LOOP
        EXECUTE format('SELECT %s + coalesce(sum(amount), 0) FROM orders WHERE reference = md5(%L)', total, round)
            INTO total;
    END LOOP;
    RAISE NOTICE 'total %', total;
END $$;
