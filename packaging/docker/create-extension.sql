-- Run once, in the database that the image makes (POSTGRES_DB). template1 has it too, so that databases made later do.
CREATE EXTENSION IF NOT EXISTS pg_sentiment;
\connect template1
CREATE EXTENSION IF NOT EXISTS pg_sentiment;
