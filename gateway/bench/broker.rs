//! A broker for the benchmark: librdkafka's mock cluster, in memory, filled from a file.
//!
//! `broker IN OUT PARTITIONS FILE`: topic IN holds the lines of FILE, in turns by partition, and OUT is empty. Prints its
//! address once it is filled, and ends with its standard input.

use std::error::Error;
use std::io::{BufRead, BufReader, Read, Write};
use std::time::Duration;

use rdkafka::config::ClientConfig;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [topic, out, partitions, file] = &arguments[..] else {
        return Err("usage: broker IN OUT PARTITIONS FILE".into());
    };
    let partitions: i32 = partitions.parse()?;
    let cluster = MockCluster::new(1)?;
    cluster.create_topic(topic, partitions, 1)?;
    cluster.create_topic(out, partitions, 1)?;
    let mut config = ClientConfig::new();
    // A partition of the mock keeps 5 MB.
    config.set("bootstrap.servers", cluster.bootstrap_servers()).set("compression.codec", "zstd");
    config.set("queue.buffering.max.messages", "1000000");
    let producer: ThreadedProducer<DefaultProducerContext> = config.create()?;
    let lines = BufReader::new(std::fs::File::open(file)?).lines();
    for (line, partition) in lines.zip((0..partitions).cycle()) {
        let record = BaseRecord::<(), str>::to(topic).partition(partition);
        producer.send(record.payload(line?.as_str())).map_err(|(error, _)| error)?;
    }
    producer.flush(Duration::from_secs(60))?;
    writeln!(std::io::stdout(), "{}", cluster.bootstrap_servers())?;
    std::io::stdout().flush()?;
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}
