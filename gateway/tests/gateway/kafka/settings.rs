//! Settings that cannot be, told without the values that may be secrets.

use sentiment_tests::Database;

use crate::harness::{run, run_clean};

#[test]
fn what_cannot_be_is_said_at_once_and_no_secret_with_it() {
    let database = Database::new();
    run_clean(&database, &["migrate"]);
    let file = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("kafka.properties");
    std::fs::write(&file, "# ours\n\nsasl.username = me\nsasl.password hunter2\n").unwrap();
    let file = file.to_str().unwrap();
    let cases: [(&[&str], &str); 10] = [
        (&["--kafka-properties", "sasl.pasword=hunter2"], "Kafka's property sasl.pasword: "),
        (&["--kafka-properties", "a=b,hunter2"], "Kafka's properties, number 2: expected NAME=VALUE"),
        (&["--kafka-properties", "group.id=hunter2"], "the gateway itself sets Kafka's property group.id"),
        (&["--kafka-properties-file", file], "Kafka's properties, line 4: expected NAME=VALUE"),
        (&["--kafka-properties-file", "/none"], "the file of Kafka's properties cannot be read"),
        (&["--kafka-out-topic", "in"], "the topic in would be read and written"),
        (
            &["--kafka-out-topic", " out\n", "--kafka-dead-letters", "more\n"],
            "the topic more would be read and written",
        ),
        (&["--kafka-dead-letters", "in"], "the topic in would be read and written"),
        (&["--kafka-properties", "security.protocol=sasl_ssl,sasl.mechanisms=none"], "Kafka's settings: "),
        (&["--kafka-properties", "ssl.ca.location=/none,security.protocol=ssl"], "Kafka's settings: "),
    ];
    for (arguments, words) in cases {
        let mut all = vec!["serve", "--listen", "127.0.0.1:0", "--kafka-brokers", "127.0.0.1:9"];
        all.extend(["--kafka-topics", "in, more"]);
        all.extend(arguments);
        let output = run(&database, &all);
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && errors.contains(words), "{arguments:?}: {errors}");
        assert!(!errors.contains("hunter2"), "{errors}");
    }
}

/// TLS and SASL as librdkafka has them are in the program; a broker that speaks neither is not taken.
#[test]
fn a_broker_without_tls_is_not_trusted() {
    let brokers = super::broker::Brokers::start(&[("in", 1)]);
    let mut database = Database::new();
    brokers.writer().fill("in", 1, 10);
    for mechanism in ["PLAIN", "SCRAM-SHA-512"] {
        let secure = format!(
            "security.protocol=sasl_ssl,sasl.mechanism={mechanism},sasl.username=me,sasl.password=hunter2,session.timeout.ms=6000"
        );
        let gateway = brokers.reader(&database, "in", &["--kafka-properties", &secure]);
        gateway.await_log("Kafka: ");
        gateway.await_log("SSL");
        assert!(!gateway.log().contains("hunter2"));
        assert_eq!(database.value::<i64>(super::broker::STORED), 0);
    }
}
