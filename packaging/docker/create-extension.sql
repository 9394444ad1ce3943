-- Run once, in the database that the image makes (POSTGRES_DB). Not in template1: in a database that another role makes from that, the
-- extension would be the superuser's, and its owner could neither train in it, nor drop it, nor restore a dump.
CREATE EXTENSION IF NOT EXISTS pg_sentiment;
