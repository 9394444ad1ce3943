-- What is stored and what is answered, in one text: the same before and after an update, to the last bit.
SELECT (SELECT string_agg(m::text, E'\n' ORDER BY id) FROM messages AS m) || E'\n' ||
       (SELECT string_agg(d::text, E'\n' ORDER BY body) FROM days AS d) || E'\n' ||
       (SELECT string_agg(c::text, E'\n' ORDER BY id) FROM current_labels AS c) || E'\n' ||
       (SELECT string_agg(concat_ws(' ', id, model_version, sentiment_at(body, model_version),
                                    sentiment_score_at(body, model_version)), E'\n' ORDER BY id, model_version)
        FROM messages, sentiment.versions) || E'\n' ||
       (SELECT string_agg(concat_ws(' ', model, number, origin, deployed, bytes), E'\n' ORDER BY model, number) FROM sentiment.versions) || E'\n' ||
       (SELECT string_agg(concat_ws(' ', model_version, reason, current), E'\n' ORDER BY model, deployed_at, model_version) FROM sentiment.deployments) || E'\n' ||
       (SELECT string_agg(concat_ws(' ', f.model, f.body, f.label, u.feedback), E'\n' ORDER BY f.id)
        FROM sentiment.feedback AS f LEFT JOIN sentiment.unlearned AS u ON u.model = f.model AND u.feedback = f.id) || E'\n' ||
       (SELECT string_agg((model, term, score)::text, E'\n' ORDER BY term) FROM sentiment.term)
