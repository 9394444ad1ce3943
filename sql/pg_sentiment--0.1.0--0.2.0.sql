\echo Use "ALTER EXTENSION pg_sentiment UPDATE TO '0.2.0'" to load this file. \quit

-- What a fresh 0.2.0 has and 0.1.0 has not. tests/tests/upgrade.rs holds the two against each other, object by object.
