-- sentiment_tokens(): what the tokenizer saw
SELECT ord, token, kind, start_pos FROM sentiment_tokens('I love it');
SELECT ord, token, kind, start_pos FROM sentiment_tokens('@anna soooo happy!!! :-) #BestDayEver http://example.org/x?y=1');
-- unaligned, since versions of psql differ over the width of emoji
\pset format unaligned
SELECT ord, token, kind, start_pos FROM sentiment_tokens('RT @bob: gr8 $ABC &amp; 10:30 👍🏽 👨‍👩‍👧 🇫🇷 1️⃣');
\pset format aligned
SELECT ord, token, kind, start_pos FROM sentiment_tokens('I don''t like it. Not GOOD at all, but ok');
SELECT ord, token, kind, start_pos FROM sentiment_tokens('今日は最高');
SELECT token, known FROM sentiment_tokens('good xqzjwv');

-- start_pos counts characters from 1, as strpos does
SELECT start_pos = strpos('😀 ünï good', 'good') AS right_place FROM sentiment_tokens('😀 ünï good') WHERE token = 'good';

-- nothing in, nothing out
SELECT count(*) FROM sentiment_tokens(NULL);
SELECT count(*) FROM sentiment_tokens('');
SELECT count(*) FROM sentiment_tokens(E' \n\t ');

-- refusals
SELECT * FROM sentiment_tokens('good', 'no_such_model');
