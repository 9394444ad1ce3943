-- Life goes on with it.
INSERT INTO messages (body) VALUES ('foggy');
INSERT INTO pinned VALUES ('sunny');
SET enable_seqscan = off;
DO $$
BEGIN
    ASSERT (SELECT sentiment_version = 'mood@2' AND sentiment = 'negative' AND generated IS NOT NULL FROM messages ORDER BY id DESC LIMIT 1);
    ASSERT (SELECT label = 'positive' FROM pinned WHERE body = 'sunny');
    ASSERT (SELECT count(*) > 0 FROM messages WHERE sentiment_at(body, 'mood@2') = 'positive');
    ASSERT stale_sentiment('messages') = 0;
    ASSERT (SELECT model_version = 'mood@3' AND rows_used = 20 FROM refresh_sentiment('mood'));
    ASSERT sentiment('misty', 'mood') = 'negative' AND sentiment('stellar', 'mood') = 'positive';
    ASSERT rollback_sentiment('mood') = 'mood@2';
    ASSERT (SELECT model_version = 'mood@4' FROM train_sentiment('mood', 'texts', 'body', 'label', 'naive_bayes', deploy => 'always'));
    ASSERT deploy_sentiment('forest', 1) = 'forest@1';
END $$;
CALL rescore_sentiment('messages');
DO $$ BEGIN ASSERT (SELECT count(*) = 501 FROM messages WHERE sentiment_version = 'mood@4'); END $$;
ALTER EXTENSION pg_sentiment UPDATE;
SELECT drop_sentiment('logistic');
DROP TABLE messages CASCADE;
DROP TABLE pinned;
DROP EXTENSION pg_sentiment;
