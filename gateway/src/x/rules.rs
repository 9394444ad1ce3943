//! The rules of the stream: what an app has of ours is made what the settings say, and what is other people's stays.

use std::collections::HashSet;

use bytes::Bytes;
use hyper::{Method, StatusCode};
use serde::Deserialize;
use serde_json::json;

use super::api::{Api, Refusal};
use super::post::{TAG, or_default};

const PATH: &str = "/2/tweets/search/stream/rules";
/// The most rules of one request.
const PAGE: usize = 1000;
/// The most pages that are asked for: more than any app may have.
const PAGES: usize = 100;

#[derive(Clone, Debug, Deserialize)]
struct Rule {
    id: String,
    value: String,
    #[serde(default)]
    tag: Option<String>,
}

/// What X answers to requests about rules.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Answer {
    #[serde(deserialize_with = "or_default")]
    data: Vec<Rule>,
    #[serde(deserialize_with = "or_default")]
    errors: Vec<Fault>,
    #[serde(deserialize_with = "or_default")]
    meta: Meta,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Meta {
    next_token: Option<String>,
}

/// What is wrong with a rule.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Fault {
    value: Option<String>,
    /// Of the rule that is the same, if that is wrong with it.
    id: Option<String>,
    #[serde(rename = "type", deserialize_with = "or_default")]
    kind: String,
}

impl Fault {
    fn is_duplicate(&self) -> bool {
        self.kind.ends_with("/duplicate-rules")
    }
}

/// Makes our rules those that are wanted; returns the ids of the rules whose posts are ours, or none if all are.
///
/// A rule that somebody else has made already is not made a second time: X refuses that.
pub async fn reconcile(api: &Api, wanted: &[String]) -> Result<Option<HashSet<String>>, Refusal> {
    let existing = list(api).await?;
    let is_wanted = |rule: &Rule| wanted.contains(&rule.value);
    let obsolete = existing.iter().filter(|rule| rule.tag.as_deref() == Some(TAG) && !is_wanted(rule));
    let obsolete: Vec<&str> = obsolete.map(|rule| rule.id.as_str()).collect();
    for ids in obsolete.chunks(PAGE) {
        change(api, &json!({"delete": {"ids": ids}})).await?;
    }
    if wanted.is_empty() {
        return Ok(None);
    }
    let mut ours: HashSet<String> =
        existing.iter().filter(|rule| is_wanted(rule)).map(|rule| rule.id.clone()).collect();
    let is_missing = |value: &&String| !existing.iter().any(|rule| rule.value == **value);
    let missing: Vec<&String> = wanted.iter().filter(is_missing).collect();
    let added = add(api, &missing, wanted).await?;
    tracing::info!(
        kept = ours.len(),
        added = added.len(),
        deleted = obsolete.len(),
        "the rules of X are set"
    );
    ours.extend(added);
    if ours.is_empty() {
        return Err(Refusal::settings("none of the rules is taken"));
    }
    Ok(Some(ours))
}

/// Adds rules, those that X finds nothing wrong with; returns their ids.
async fn add(api: &Api, missing: &[&String], wanted: &[String]) -> Result<Vec<String>, Refusal> {
    let mut added = Vec::new();
    for page in missing.chunks(PAGE) {
        let mut left = page.to_vec();
        // X may take none where one is wrong.
        while !left.is_empty() {
            let rules: Vec<_> = left.iter().map(|value| json!({"value": value, "tag": TAG})).collect();
            let answer = change(api, &json!({"add": rules})).await?;
            added.extend(answer.data.iter().map(|rule| rule.id.clone()));
            for fault in &answer.errors {
                if fault.is_duplicate() {
                    added.extend(fault.id.clone());
                    continue;
                }
                let number = wanted.iter().position(|value| Some(value) == fault.value.as_ref());
                let number = number.map(|place| place + 1);
                tracing::error!(number, "X does not take a rule, see its documentation of operators");
            }
            let before = left.len();
            let is_refused =
                |value: &&String| answer.errors.iter().any(|fault| fault.value.as_ref() == Some(*value));
            left.retain(|value| !is_refused(value));
            if left.len() == before || !answer.data.is_empty() {
                break;
            }
        }
    }
    Ok(added)
}

/// All rules of the app. Where pages go round in a circle, or have no end, what was read counts: of rules that are missing in
/// it X says, when they are added, that they are there.
async fn list(api: &Api) -> Result<Vec<Rule>, Refusal> {
    let mut rules = Vec::new();
    let mut seen = HashSet::new();
    let mut page = String::new();
    for _ in 0..PAGES {
        let path = format!("{PATH}?max_results={PAGE}{page}");
        let answer: Answer =
            api.ask(Method::GET, &path, Bytes::new(), |status, _| status.is_success()).await?;
        rules.extend(answer.data);
        // A token is letters and digits; anything else would be no parameter.
        match answer.meta.next_token.filter(|token| token.bytes().all(|byte| byte.is_ascii_alphanumeric())) {
            Some(token) => page = format!("&pagination_token={token}"),
            None => return Ok(rules),
        }
        if !seen.insert(page.clone()) {
            break;
        }
    }
    tracing::warn!(read = rules.len(), "the list of X's rules has no end, and is not read on");
    Ok(rules)
}

/// Adds or deletes. Rules that are wrong are an answer too, whatever its status is.
async fn change(api: &Api, what: &serde_json::Value) -> Result<Answer, Refusal> {
    let is_answer = |status: StatusCode, answer: &Answer| {
        let about_rules =
            !answer.errors.is_empty() && answer.errors.iter().all(|fault| fault.value.is_some());
        status.is_success() || (status.is_client_error() && about_rules)
    };
    api.ask(Method::POST, PATH, Bytes::from(what.to_string()), is_answer).await
}
