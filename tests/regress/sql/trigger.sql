-- sentiment_trigger(): a row is scored as it arrives
CREATE TABLE messages (
    id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    body text,
    author text,
    sentiment text,
    sentiment_score float8,
    sentiment_version text
);
CREATE TRIGGER scored BEFORE INSERT OR UPDATE OF body ON messages FOR EACH ROW EXECUTE FUNCTION sentiment_trigger(
    'body', 'label=sentiment', 'score=sentiment_score', 'version=sentiment_version', 'model=english', 'on_error=null');
INSERT INTO messages (body) VALUES ('I love it, wonderful'), ('I hate it, awful'), (NULL), ('');
SELECT id, body, sentiment, sentiment_score = sentiment_score(body) AS score, sentiment_version FROM messages ORDER BY id;

-- what the client sends for the scored columns does not count
INSERT INTO messages (body, sentiment) VALUES ('so happy, great', 'negative') RETURNING sentiment;

-- an update of the text scores again; of another column it does not
UPDATE messages SET body = 'so sad, terrible' WHERE id = 1 RETURNING sentiment;
UPDATE messages SET body = NULL WHERE id = 2 RETURNING sentiment, sentiment_score, sentiment_version;
UPDATE messages SET author = 'anna', sentiment = 'by hand' WHERE id = 1 RETURNING sentiment;

COPY messages (body) FROM stdin;
what a lovely day, so happy
worst film ever, so boring
\.
SELECT body, sentiment FROM messages WHERE id > 5 ORDER BY id;

-- any of the columns may be left out; a version alone, a name without settings
CREATE TABLE brief (body varchar(160), mood text);
CREATE TRIGGER scored BEFORE INSERT OR UPDATE ON brief FOR EACH ROW EXECUTE FUNCTION sentiment_trigger('body', 'label=mood');
INSERT INTO brief VALUES ('I love it, wonderful') RETURNING mood;
DROP TRIGGER scored ON brief;
CREATE TRIGGER scored BEFORE INSERT ON brief FOR EACH ROW EXECUTE FUNCTION sentiment_trigger('body', 'version=mood');
INSERT INTO brief VALUES ('I love it, wonderful') RETURNING mood;

-- a scoring failure leaves NULL and a warning, or raises, as the trigger says
CREATE TABLE broken (body text, sentiment text);
CREATE TRIGGER scored BEFORE INSERT ON broken FOR EACH ROW EXECUTE FUNCTION sentiment_trigger('body', 'model=no_such_model', 'label=sentiment');
INSERT INTO broken VALUES ('good ocelotquux') RETURNING sentiment;
DROP TRIGGER scored ON broken;
CREATE TRIGGER scored BEFORE INSERT ON broken FOR EACH ROW EXECUTE FUNCTION sentiment_trigger('body', 'model=no_such_model', 'label=sentiment', 'on_error=raise');
INSERT INTO broken VALUES ('good ocelotquux') RETURNING sentiment;

-- refusals: arguments
CREATE FUNCTION try(VARIADIC arguments text[]) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    state text;
    message text;
    hint text;
BEGIN
    EXECUTE 'DROP TRIGGER IF EXISTS scored ON brief';
    EXECUTE format('CREATE TRIGGER scored BEFORE INSERT ON brief FOR EACH ROW EXECUTE FUNCTION sentiment_trigger(%s)',
                   (SELECT string_agg(quote_literal(a), ', ') FROM unnest(arguments) AS a));
    INSERT INTO brief VALUES ('good ocelotquux');
    RETURN 'works';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT, hint = PG_EXCEPTION_HINT;
    RETURN format(E'%s: %s\nHINT: %s', state, message, hint);
END $$;
\t on
\pset format unaligned
SELECT try('body', 'label=mood');
SELECT try('text', 'label=mood');
SELECT try('body', 'label=feeling');
SELECT try('body', 'lable=mood');
SELECT try('body', 'mood');
SELECT try('body', 'label=');
SELECT try('body', '=mood');
SELECT try('body', 'label=mood', 'label=mood');
SELECT try('body', 'on_error=ignore', 'label=mood');
SELECT try('body', 'label=body');
SELECT try('body', 'score=mood');
SELECT try('body');
SELECT try('');
SELECT try('body', 'label=mood', 'model=no_such_model', 'on_error=raise');
SELECT try('body', 'label=mood', 'model=no such model', 'on_error=raise');
SELECT try('body', 'label=mood', 'model=english@99', 'on_error=raise');
SELECT try(VARIADIC '{}');
\t off
\pset format aligned

-- refusals: the ways a trigger can be made
DROP TRIGGER IF EXISTS scored ON brief;
CREATE TRIGGER scored AFTER INSERT ON brief FOR EACH ROW EXECUTE FUNCTION sentiment_trigger('body', 'label=mood');
INSERT INTO brief VALUES ('good');
DROP TRIGGER scored ON brief;
CREATE TRIGGER scored BEFORE INSERT ON brief FOR EACH STATEMENT EXECUTE FUNCTION sentiment_trigger('body', 'label=mood');
INSERT INTO brief VALUES ('good');
DROP TRIGGER scored ON brief;
CREATE TRIGGER scored BEFORE DELETE ON brief FOR EACH ROW EXECUTE FUNCTION sentiment_trigger('body', 'label=mood');
DELETE FROM brief;
DROP TRIGGER scored ON brief;
SELECT sentiment_trigger();

-- refusals: columns of another type
CREATE TABLE numbers (body int, mood text, score text, version float8);
CREATE TRIGGER scored BEFORE INSERT ON numbers FOR EACH ROW EXECUTE FUNCTION sentiment_trigger('body', 'label=mood');
INSERT INTO numbers (body) VALUES (1);
DROP TRIGGER scored ON numbers;
CREATE TRIGGER scored BEFORE INSERT ON numbers FOR EACH ROW EXECUTE FUNCTION sentiment_trigger('mood', 'score=score');
INSERT INTO numbers (mood) VALUES ('good');
DROP TRIGGER scored ON numbers;
CREATE TRIGGER scored BEFORE INSERT ON numbers FOR EACH ROW EXECUTE FUNCTION sentiment_trigger('mood', 'version=version');
INSERT INTO numbers (mood) VALUES ('good');
