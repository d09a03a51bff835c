-- Tables, indexes, full-text search, triggers and window functions; at the end
-- an integrity check and a dump of the database.
PRAGMA journal_mode = WAL;
PRAGMA cache_size = -20000;
CREATE TABLE account(id INTEGER PRIMARY KEY, name TEXT UNIQUE, balance INTEGER NOT NULL DEFAULT 0);
CREATE TABLE entry(id INTEGER PRIMARY KEY, account INTEGER REFERENCES account, amount INTEGER, note TEXT, data BLOB);
CREATE INDEX entry_account ON entry(account, amount);
CREATE INDEX entry_note ON entry(note COLLATE NOCASE) WHERE amount > 500;
CREATE TABLE log(at INTEGER, text TEXT);
CREATE TRIGGER booked AFTER INSERT ON entry BEGIN
    UPDATE account SET balance = balance + new.amount WHERE id = new.account;
    INSERT INTO log SELECT new.id, printf('%d: %+d', new.account, new.amount) WHERE new.id % 100 = 0;
END;
BEGIN;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500)
INSERT INTO account(id, name) SELECT i, printf('account %05d', i * 7919 % 10007) FROM n;
WITH RECURSIVE n(i, r) AS (SELECT 1, 1 UNION ALL SELECT i + 1, (r * 1103515245 + 12345) & 2147483647 FROM n WHERE i < 60000)
INSERT INTO entry(id, account, amount, note, data)
SELECT i, 1 + (r >> 8) % 500, (r >> 4) % 2001 - 1000,
       printf('note %d of %x and %s', i, r, substr('lorem ipsum dolor sit amet consectetur', 1 + (r >> 12) % 30)),
       CASE WHEN i % 50 = 0 THEN zeroblob((r >> 10) % 3000) ELSE CAST(printf('%x', r * i) AS BLOB) END
FROM n;
COMMIT;
SELECT count(*), sum(balance), (SELECT sum(amount) FROM entry) FROM account;
CREATE VIRTUAL TABLE words USING fts5(note, content = 'entry', content_rowid = 'id');
INSERT INTO words(words) VALUES ('rebuild');
SELECT count(*), min(rowid), max(rowid) FROM words WHERE words MATCH 'ipsum NOT amet OR "sit amet"';
SELECT rowid, snippet(words, 0, '<', '>', '..', 4) FROM words WHERE words MATCH 'dolor' ORDER BY rowid LIMIT 5;
SELECT account, total, rank FROM (
    SELECT account, sum(amount) AS total, rank() OVER (ORDER BY sum(amount) DESC, account) AS rank
    FROM entry GROUP BY account) WHERE rank % 50 = 1;
SELECT sum(running) FROM (SELECT sum(amount) OVER (PARTITION BY account ORDER BY id ROWS 20 PRECEDING) AS running FROM entry);
SELECT count(*), sum(length(a.note || b.note)) FROM entry a JOIN entry b ON a.account = b.account AND a.amount = b.amount AND a.id < b.id;
WITH all_data AS (SELECT json_group_array(json_object('id', id, 'note', note, 'amount', amount)) AS j FROM entry WHERE id % 3 = 0)
SELECT length(j), json_extract(j, '$[1234].note'), json_array_length(j) FROM all_data;
SELECT sum(value ->> 'amount'), count(DISTINCT value ->> 'note')
FROM json_each((SELECT json_group_array(json_object('note', substr(note, -9), 'amount', amount)) FROM entry));
SELECT length(group_concat(note, ';')) FROM (SELECT note FROM entry ORDER BY note COLLATE NOCASE DESC);
BEGIN;
DELETE FROM entry WHERE id % 7 = 3;
UPDATE entry SET note = upper(note) || hex(data), data = NULL WHERE id % 11 = 5;
SAVEPOINT half;
DELETE FROM account WHERE id > 250;
ROLLBACK TO half;
COMMIT;
ALTER TABLE entry ADD COLUMN seen TEXT DEFAULT 'never';
VACUUM;
ANALYZE;
INSERT INTO words(words) VALUES ('rebuild');
SELECT 'integrity', integrity_check FROM pragma_integrity_check;
.dump
