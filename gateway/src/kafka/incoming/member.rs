//! What a member of a consumer group hears besides records: which partitions it loses, and how far behind it is.

use std::sync::{Mutex, MutexGuard, PoisonError};

use rdkafka::ClientContext;
use rdkafka::Message as _;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, ConsumerContext, Rebalance};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::statistics::Statistics;
use rdkafka::topic_partition_list::TopicPartitionList;

use super::super::Listener;
use super::Read;

/// Partitions that were lost and are not forgotten yet.
#[derive(Debug, Default)]
pub struct Member {
    lost: Mutex<Vec<(String, i32)>>,
}

impl Member {
    /// Takes out of a batch what was read of partitions that were lost since the last time.
    pub fn forget(&self, batch: &mut Vec<Read<'_>>) {
        let lost = std::mem::take(&mut *self.lost());
        if !lost.is_empty() {
            let is_lost = |topic: &str, partition| lost.iter().any(|(t, p)| t == topic && *p == partition);
            batch.retain(|(record, _)| !is_lost(record.topic(), record.partition()));
        }
    }

    fn lost(&self) -> MutexGuard<'_, Vec<(String, i32)>> {
        self.lost.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ConsumerContext for Member {
    fn pre_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        match rebalance {
            Rebalance::Assign(partitions) => {
                tracing::info!(count = partitions.count(), "partitions of Kafka are ours");
            }
            Rebalance::Revoke(partitions) => {
                tracing::info!(count = partitions.count(), "partitions of Kafka go to others");
                for element in partitions.elements() {
                    lag(element.topic(), element.partition(), 0);
                    self.lost().push((element.topic().to_owned(), element.partition()));
                }
            }
            Rebalance::Error(error) => tracing::warn!("Kafka: {error}"),
        }
    }

    fn commit_callback(&self, result: KafkaResult<()>, _: &TopicPartitionList) {
        if let Err(error) = result {
            tracing::debug!("Kafka does not know how far its records are stored: {error}");
        }
    }
}

impl ClientContext for Member {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        Listener.log(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        Listener.error(error, reason);
    }

    fn stats(&self, statistics: Statistics) {
        for (name, topic) in &statistics.topics {
            for (partition, figures) in &topic.partitions {
                // Below zero: not known, or not a partition of this member.
                if figures.fetch_state == "active" && figures.consumer_lag >= 0 {
                    lag(name, *partition, figures.consumer_lag);
                }
            }
        }
    }
}

fn lag(topic: &str, partition: i32, records: i64) {
    let labels = [("topic", topic.to_owned()), ("partition", partition.to_string())];
    metrics::gauge!("sentiment_gateway_kafka_lag", &labels).set(records as f64);
}
