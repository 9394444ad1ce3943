-- the settings of the prefix sentiment
SELECT sentiment('load the library');
SELECT name, setting, context, vartype, min_val, max_val, enumvals, short_desc FROM pg_settings WHERE name LIKE 'sentiment.%' ORDER BY name;
SHOW sentiment.default_model;

-- a frozen default
SET sentiment.default_model = 'english@1';
SELECT sentiment('I love it, wonderful');

-- the default is looked up when it is used
SET sentiment.default_model = 'no_such_model';
SELECT sentiment('I love it, wonderful');
SELECT sentiment('I love it, wonderful', 'english');
RESET sentiment.default_model;
SELECT sentiment('I love it, wonderful');

-- it holds to the end of the transaction, and a function may bring its own
BEGIN;
SET LOCAL sentiment.default_model = 'english@1';
COMMIT;
SHOW sentiment.default_model;

-- what triggers do when they do not say it themselves
CREATE TABLE broken (body text, sentiment text);
CREATE TRIGGER scored BEFORE INSERT ON broken FOR EACH ROW EXECUTE FUNCTION sentiment_trigger('body', 'model=no_such_model', 'label=sentiment');
INSERT INTO broken VALUES ('good ocelotquux') RETURNING sentiment;
SET sentiment.on_error = 'raise';
INSERT INTO broken VALUES ('good ocelotquux') RETURNING sentiment;
RESET sentiment.on_error;

-- refusals; the words are the server's
\set VERBOSITY sqlstate
SET sentiment.on_error = 'ignore';
SET sentiment.default_model = '';
SET sentiment.cache_size = -2;
SET sentiment.train_memory = 'much';
