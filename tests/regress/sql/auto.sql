-- The model auto: English, or the model of many languages for a text that is not English.
SELECT model_version FROM unnest(ARRAY['what a lovely day, I love it', 'me encanta esta canción, es maravillosa', 'ich liebe diesen Film, wunderbar',
    'je déteste ce film, quelle horreur', 'هذا اليوم جميل جدا', '', NULL]) WITH ORDINALITY AS t (body, ord), sentiment_detail(body, 'auto') ORDER BY ord;
SELECT sentiment('me encanta esta canción, es maravillosa', 'auto') = sentiment('me encanta esta canción, es maravillosa', 'multilingual') AS spanish,
       sentiment_score('what a lovely day, I love it', 'auto') = sentiment_score('what a lovely day, I love it', 'english') AS english;
SELECT count(*) FROM sentiment_explain('je déteste ce film', 'auto') WHERE toward = 'negative';
SET sentiment.default_model = 'auto';
SELECT sentiment_json('quelle horreur, je déteste')->>'model_version' AS version;

-- Rows: each says which version read it, and none of them is stale.
CREATE TABLE messages (id int, body text);
INSERT INTO messages VALUES (1, 'what a lovely day, I love it'), (2, 'me encanta esta canción, es maravillosa'), (3, NULL);
SELECT enable_sentiment('messages', 'body', 'auto');
INSERT INTO messages VALUES (4, 'ich liebe diesen Film, wunderbar'), (5, ' ');
SELECT id, sentiment, sentiment_version LIKE 'multilingual@%' AS multilingual, sentiment_version LIKE 'english@%' AS english FROM messages ORDER BY id;
SELECT stale_sentiment('messages');
UPDATE messages SET sentiment_version = 'english@99' WHERE id IN (1, 4);
SELECT stale_sentiment('messages');
CALL rescore_sentiment('messages');
SELECT id, sentiment_version LIKE 'multilingual@%' AS multilingual FROM messages WHERE id IN (1, 4) ORDER BY id;

-- Refusals.
SELECT sentiment_at('lovely', 'auto');
SELECT sentiment('lovely', 'auto@1');
SELECT import_sentiment('auto', export_sentiment('english'));
