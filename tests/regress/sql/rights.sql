-- what PUBLIC may do: score, and read the views
CREATE ROLE rights_reader;
CREATE ROLE rights_owner;
GRANT CREATE ON SCHEMA public TO rights_owner;
SET ROLE rights_reader;
SELECT sentiment('so happy'), sentiment_at('so happy', 'english@1'), (sentiment_detail('so happy')).label;
SELECT count(*) > 0 AS tokens FROM sentiment_tokens('so happy');
SELECT count(*) > 0 AS terms FROM sentiment_explain('so happy');
SELECT model FROM sentiment.models;
CREATE TABLE sentiment.mine (x int);

-- an owner may have the own table scored
SET ROLE rights_owner;
CREATE TABLE messages (body text);
INSERT INTO messages VALUES ('so happy, great');
SELECT enable_sentiment('messages', 'body');
SELECT sentiment FROM messages;
SELECT stale_sentiment('messages');

-- and whoever may insert there has the rows scored
GRANT INSERT, SELECT ON messages TO rights_reader;
SET ROLE rights_reader;
INSERT INTO messages VALUES ('so sad, terrible') RETURNING sentiment;

-- refusals: another's table
SELECT enable_sentiment('messages', 'body', model => 'english@1');
SELECT disable_sentiment('messages');
CALL rescore_sentiment('messages');
SET ROLE rights_owner;
REVOKE SELECT ON messages FROM rights_reader;
SET ROLE rights_reader;
SELECT stale_sentiment('messages');

-- row security: only what the caller sees is counted
SET ROLE rights_owner;
GRANT SELECT ON messages TO rights_reader;
UPDATE messages SET sentiment_version = NULL;
ALTER TABLE messages ENABLE ROW LEVEL SECURITY;
CREATE POLICY happy ON messages FOR SELECT USING (body LIKE 'so happy%');
SELECT stale_sentiment('messages') AS by_the_owner;
SET ROLE rights_reader;
SELECT stale_sentiment('messages') AS by_the_reader;

RESET ROLE;
DROP TABLE messages;
DROP OWNED BY rights_owner, rights_reader;
DROP ROLE rights_owner, rights_reader;
