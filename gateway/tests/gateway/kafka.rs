//! Kafka, in and out: the real binary against librdkafka's mock cluster, which speaks the protocol and fails when told to.

mod broker;
mod faults;
mod incoming;
mod outgoing;
mod settings;
