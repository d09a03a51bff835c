-- Orders in memory: inserted, indexed, joined, changed, deleted. SIZE is
-- replaced by their number.
PRAGMA temp_store = memory;
CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT, city TEXT);
CREATE TABLE orders (id INTEGER PRIMARY KEY, customer INTEGER, item TEXT, price INTEGER, note TEXT);
CREATE TABLE random (a INTEGER, b INTEGER, c INTEGER);

-- Numbers of a generator of our own: SQLite's differs in each run.
INSERT INTO random
WITH RECURSIVE numbers (n, x) AS (
    SELECT 1, 17 UNION ALL SELECT n + 1, x * 48271 % 2147483647 FROM numbers WHERE n < SIZE
)
SELECT x, x / 7, x / 1009 FROM numbers;

INSERT INTO customers (name, city)
SELECT 'customer ' || a, 'city ' || (b % 500) FROM random WHERE rowid % 10 = 0;
INSERT INTO orders (customer, item, price, note)
SELECT 1 + a % (SELECT count(*) FROM customers), 'item ' || (b % 2000), c % 10000,
       substr('some words that are said of an order, or none at all', 1, b % 52)
FROM random;

CREATE INDEX by_item ON orders (item, price);
CREATE INDEX by_customer ON orders (customer);

SELECT count(*), sum(total), max(length(names)) FROM (
    SELECT city, sum(price) AS total, group_concat(name || ' ' || item, ', ') AS names
    FROM orders JOIN customers ON customers.id = customer
    GROUP BY city
);
SELECT sum(place * price % 1009) FROM (
    SELECT price, row_number() OVER (PARTITION BY item ORDER BY price, id) AS place FROM orders
);
UPDATE orders SET note = upper(note) || ' ' || item, price = price + 1 WHERE id % 3 = 0;
DELETE FROM orders WHERE customer % 4 = 1;
SELECT count(*), sum(length(note)), count(DISTINCT note) FROM orders;
SELECT sum(length(json_group)), count(*) FROM (
    SELECT json_group_array(json_object('id', id, 'item', item, 'note', note)) AS json_group
    FROM orders GROUP BY item
);
