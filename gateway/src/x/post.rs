//! What a line of the stream says: a post, or that the stream ends. Members may come in any order, be missing, or be new.

use std::collections::HashSet;

use serde::{Deserialize, Deserializer};

use super::back_off::Fault;
use crate::message::{Message, parse_instant};

/// The source of messages that come this way.
pub const SOURCE: &str = "x";
/// What the rules that the gateway made are tagged with.
pub const TAG: &str = "sentiment-gateway";

/// What was made of a line.
#[derive(Debug)]
pub enum Read {
    Message(Box<Message>),
    /// Nothing to store, and why
    Skipped(&'static str),
    /// X ends the stream: how it goes on, and X's name for it
    Ended(Fault, String),
}

#[derive(Debug, Deserialize)]
struct Item {
    #[serde(default)]
    data: Option<Post>,
    #[serde(default)]
    includes: Option<Includes>,
    #[serde(default)]
    matching_rules: Option<Vec<Rule>>,
    #[serde(default, deserialize_with = "or_default")]
    errors: Vec<Problem>,
    /// A problem may also stand by itself.
    #[serde(flatten)]
    problem: Problem,
}

#[derive(Debug, Deserialize)]
struct Post {
    id: String,
    #[serde(default, deserialize_with = "or_default")]
    text: String,
    /// All of a long post, of which `text` is the beginning.
    #[serde(default)]
    note_tweet: Option<Note>,
    #[serde(default)]
    author_id: Option<String>,
    #[serde(default)]
    created_at: Option<String>,
    /// Where it must not be shown.
    #[serde(default)]
    withheld: Option<serde::de::IgnoredAny>,
}

#[derive(Debug, Deserialize)]
struct Note {
    #[serde(default, deserialize_with = "or_default")]
    text: String,
}

#[derive(Debug, Default, Deserialize)]
struct Includes {
    #[serde(default, deserialize_with = "or_default")]
    users: Vec<User>,
}

#[derive(Debug, Deserialize)]
struct User {
    id: String,
    username: String,
}

#[derive(Debug, Deserialize)]
struct Rule {
    id: String,
    #[serde(default)]
    tag: Option<String>,
}

/// What X says when something is wrong: the URI of a kind, and more that depends on it.
#[derive(Debug, Default, Deserialize)]
pub struct Problem {
    #[serde(default, rename = "type")]
    kind: Option<String>,
    #[serde(default)]
    title: Option<String>,
    #[serde(default)]
    connection_issue: Option<String>,
    #[serde(default)]
    disconnect_type: Option<String>,
}

impl Problem {
    /// X's name for it; only what looks like a name, for it is logged.
    pub fn name(&self) -> Option<&str> {
        let kind = self.kind.as_deref().and_then(|kind| kind.rsplit('/').next());
        [self.disconnect_type.as_deref(), self.connection_issue.as_deref(), kind, self.title.as_deref()]
            .into_iter()
            .flatten()
            .find(|name| is_name(name))
    }

    /// How it goes on, if this ends a stream.
    pub fn fault(&self) -> Option<Fault> {
        let kind = self.kind.as_deref().and_then(|kind| kind.rsplit('/').next()).unwrap_or_default();
        match kind {
            "usage-capped" => Some(Fault::Limited(None)),
            "streaming-connection" => Some(Fault::Refused),
            "operational-disconnect" | "client-disconnected" => Some(Fault::Lost),
            _ if self.connection_issue.is_some() => Some(Fault::Refused),
            _ if self.disconnect_type.is_some() => Some(Fault::Lost),
            _ => None,
        }
    }
}

/// Reads null as what a member is that is missing.
pub fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(from: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

fn is_name(name: &str) -> bool {
    (1..=60).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'-')
}

/// Reads a line that is not empty. `wanted` are the rules whose posts are stored; without them, any.
pub fn read(line: &[u8], wanted: Option<&HashSet<String>>) -> Read {
    let Ok(item) = serde_json::from_slice::<Item>(line) else { return Read::Skipped("malformed") };
    let Some(post) = item.data else {
        // Errors beside a post are about what it refers to.
        let problems = item.errors.iter().chain([&item.problem]);
        let ended = problems.filter_map(|problem| Some((problem.fault()?, problem))).next();
        return match ended {
            Some((fault, problem)) => Read::Ended(fault, problem.name().unwrap_or("unknown").to_owned()),
            None => Read::Skipped("unknown"),
        };
    };
    // Other rules of the same app are other people's.
    let is_ours = |rule: &Rule| {
        rule.tag.as_deref() == Some(TAG) || wanted.is_none_or(|wanted| wanted.contains(&rule.id))
    };
    let matched = item.matching_rules.unwrap_or_default();
    if !matched.is_empty() && !matched.iter().any(is_ours) {
        return Read::Skipped("other rule");
    }
    if post.withheld.is_some() {
        return Read::Skipped("withheld");
    }
    let body = post.note_tweet.map(|note| note.text).filter(|text| !text.is_empty()).unwrap_or(post.text);
    if body.trim().is_empty() {
        return Read::Skipped("no text");
    }
    let users = item.includes.unwrap_or_default().users;
    let author = post.author_id.map(|id| {
        let user = users.into_iter().find(|user| user.id == id);
        user.map_or(id, |user| user.username)
    });
    let message = Message {
        source: SOURCE.into(),
        external_id: Some(post.id),
        author,
        body,
        sent_at: post.created_at.as_deref().and_then(parse_instant),
    };
    match message.check("") {
        Ok(()) => Read::Message(Box::new(message)),
        Err(_) => Read::Skipped("unstorable"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(line: &str) -> Message {
        match read(line.as_bytes(), None) {
            Read::Message(message) => *message,
            other => panic!("{other:?}"),
        }
    }

    fn skipped(line: &str) -> &'static str {
        match read(line.as_bytes(), Some(&HashSet::from(["7".to_owned()]))) {
            Read::Skipped(why) => why,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_post_becomes_a_message() {
        let line = r#"{"matching_rules": [{"id": "9", "tag": ""}], "new": [], "includes": {"users": [{"name": "B", "username": "bob",
            "id": "4"}, {"name": "Ann", "username": "ann", "id": "3"}]}, "data": {"text": "I \u2764 it &amp; you", "id": "12",
            "edit_history_tweet_ids": ["12"], "author_id": "3", "created_at": "2026-01-31T12:00:00.000Z"}}"#;
        let message = message(line);
        assert_eq!((message.source.as_str(), message.external_id.as_deref()), ("x", Some("12")));
        assert_eq!((message.author.as_deref(), message.body.as_str()), (Some("ann"), "I ❤ it &amp; you"));
        assert_eq!(message.sent_at, parse_instant("2026-01-31T12:00:00Z"));
    }

    #[test]
    fn a_post_may_lack_all_but_its_text() {
        let bare = message(r#"{"data": {"id": "1", "text": "good"}}"#);
        assert_eq!((bare.author, bare.sent_at), (None, None));
        let null = message(
            r#"{"data": {"id": "1", "text": "good", "author_id": "3", "note_tweet": {"text": null}, "created_at": null},
                "errors": null, "includes": {"users": null}, "matching_rules": null, "title": null}"#,
        );
        assert_eq!((null.author.as_deref(), null.body.as_str()), (Some("3"), "good"));
        let long = r#"{"data": {"id": "1", "text": "goo…", "author_id": "3", "note_tweet": {"text": "good it is"}},
                       "errors": [{"title": "Not Found Error", "type": "https://api.twitter.com/2/problems/resource-not-found"}]}"#;
        let long = message(long);
        assert_eq!((long.body.as_str(), long.author.as_deref()), ("good it is", Some("3")));
    }

    #[test]
    fn what_is_not_to_be_stored_is_skipped() {
        for (line, why) in [
            (r#"{"data": {"id": "1", "text": "a", "withheld": {"country_codes": ["DE"]}}}"#, "withheld"),
            (r#"{"data": {"id": "1", "text": " "}}"#, "no text"),
            (r#"{"data": {"id": "1"}}"#, "no text"),
            (r#"{"data": {"id": "1", "text": null}}"#, "no text"),
            (
                r#"{"data": {"id": "1", "text": "a"}, "matching_rules": [{"id": "8", "tag": "theirs"}]}"#,
                "other rule",
            ),
            (r#"{"data": {"id": "1", "text": "a\u0000"}}"#, "unstorable"),
            (r#"{"data": {"id": "", "text": "a"}}"#, "unstorable"),
            (r#"{"data": {"id": "1", "text": "a"}"#, "malformed"),
            (r#"{"data": {"id": 1, "text": "a"}}"#, "malformed"),
            ("null", "malformed"),
            (r#"{"hello": {"new": "kind"}}"#, "unknown"),
            (
                r#"{"errors": [{"title": "Not Found Error", "type": "https://api.twitter.com/2/problems/resource-not-found"}]}"#,
                "unknown",
            ),
        ] {
            assert_eq!(skipped(line), why, "{line}");
        }
        let ours = r#"{"data": {"id": "1", "text": "a"}, "matching_rules": [{"id": "8"}, {"id": "7"}]}"#;
        assert!(matches!(read(ours.as_bytes(), Some(&HashSet::from(["7".to_owned()]))), Read::Message(_)));
    }

    /// As the documentation of disconnections has them.
    #[test]
    fn the_stream_says_why_it_ends() {
        for (line, fault, name) in [
            (
                r#"{"errors": [{"title": "operational-disconnect", "disconnect_type": "UpstreamOperationalDisconnect",
                    "detail": "This stream has been disconnected upstream for operational reasons.",
                    "type": "https://api.twitter.com/2/problems/operational-disconnect"}]}"#,
                Fault::Lost,
                "UpstreamOperationalDisconnect",
            ),
            (
                r#"{"title": "ConnectionException", "detail": "This stream is currently at the maximum allowed connection limit.",
                    "connection_issue": "TooManyConnections", "type": "https://api.twitter.com/2/problems/streaming-connection"}"#,
                Fault::Refused,
                "TooManyConnections",
            ),
            (
                r#"{"errors": [{"title": "a secret; text", "type": "https://api.twitter.com/2/problems/usage-capped"}]}"#,
                Fault::Limited(None),
                "usage-capped",
            ),
        ] {
            match read(line.as_bytes(), None) {
                Read::Ended(found, called) => assert_eq!((found, called.as_str()), (fault, name)),
                other => panic!("{other:?}"),
            }
        }
    }
}
