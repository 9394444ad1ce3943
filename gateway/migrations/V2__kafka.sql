-- What the gateway keeps of Kafka.

-- Records that could not be stored as messages, as they were. Read again they are not filed twice.
CREATE TABLE messages.kafka_rejected (
    topic         text NOT NULL,
    partition     int NOT NULL,
    record_offset bigint NOT NULL,
    rejected_at   timestamptz NOT NULL DEFAULT now(),
    reason        text NOT NULL,
    key           bytea,
    value         bytea,
    PRIMARY KEY (topic, partition, record_offset)
);
CREATE INDEX ON messages.kafka_rejected (rejected_at);
COMMENT ON TABLE messages.kafka_rejected IS 'records of Kafka that could not be stored, and why';

-- Up to where all messages are in a topic: a position of messages.batch, and within it a message.
CREATE TABLE messages.kafka_sent (
    topic    text PRIMARY KEY,
    position bigint NOT NULL,
    id       bigint NOT NULL
);
COMMENT ON TABLE messages.kafka_sent IS 'how far messages have been written to topics of Kafka';
