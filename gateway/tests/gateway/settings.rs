//! What the command line and the environment say, taken together.

use sentiment_tests::Database;
use serde_json::json;

use crate::harness::{Gateway, run_clean};

/// As files of Compose and charts leave settings out.
#[test]
fn a_variable_that_is_empty_is_none() {
    let database = Database::new();
    let help = run_clean(&database, &["serve", "--help"]);
    let variables = help.split("[env: ").skip(1).filter_map(|rest| rest.split(['=', ']']).next());
    let empty: Vec<(&str, &str)> =
        variables.filter(|name| *name != "DATABASE_URL").map(|name| (name, "")).collect();
    assert!(empty.len() > 15, "{empty:?}");
    run_clean(&database, &["migrate"]);
    let gateway = Gateway::among(&database, &[], &empty);
    gateway.post("/v1/messages", &json!({"source": "a", "body": "good"})).ok();
}
