-- All that must be the same on the new server.
SELECT * FROM sentiment.models WHERE NOT shipped ORDER BY model;
SELECT * FROM sentiment.versions ORDER BY model, number;
SELECT * FROM sentiment.deployments ORDER BY deployed_at, model_version;
SELECT model, number, md5(export_sentiment(model, number)) FROM sentiment.version ORDER BY model, number;
SELECT model, body, label FROM sentiment.feedback ORDER BY id;
SELECT count(*) FROM sentiment.unlearned;
SELECT * FROM sentiment.term;
SELECT *, sentiment(body), sentiment(body, 'mood'), sentiment_score(body, 'logistic'), sentiment_at(body, 'forest@1') FROM messages ORDER BY id;
SELECT * FROM pinned;
SELECT * FROM labels ORDER BY 1;
SELECT tgname, tgenabled, pg_get_triggerdef(oid) FROM pg_trigger ORDER BY tgname;
SELECT pg_get_indexdef('by_label'::regclass);
SELECT proname, proacl FROM pg_proc WHERE proname IN ('learn_sentiment', 'train_sentiment') ORDER BY 1;
