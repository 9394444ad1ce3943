//! Text messages, as Twilio sends them on.

use std::net::SocketAddr;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use sha1::Sha1;

use super::Application;
use crate::ingest;
use crate::message::Message;
use crate::problem::Problem;
use crate::request::form;

/// The source of messages that come this way.
const SOURCE: &str = "sms";
/// The most bytes and fields of a webhook: Twilio's have some dozens of fields, and a text of 1,600 characters. They are read
/// before it is known who sent them.
const MOST_BYTES: usize = 64 << 10;
const MOST_FIELDS: usize = 200;
/// The bytes of a signature.
const SIGNATURE: usize = 20;

/// Receive a text message
///
/// Form-encoded and signed as Twilio does it: X-Twilio-Signature is the HMAC-SHA1 of the URL and the sorted parameters
/// under the account's auth token, in Base64. MessageSid is the external id: a message that is sent on again is stored once.
#[utoipa::path(
    post, path = "/webhooks/sms", tag = "in",
    request_body(content = Object, content_type = "application/x-www-form-urlencoded", description = "MessageSid, From, Body and more"),
    responses(
        (status = 200, description = "stored; the answer is TwiML", body = String, content_type = "text/xml"),
        (status = "4XX", description = "refused", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", description = "failed", body = Problem, content_type = "application/problem+json")
    )
)]
pub async fn receive(
    State(application): State<Application>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
) -> Result<Response, Problem> {
    let sms = &application.sms;
    let (Some(token), Some(public)) = (&sms.sms_auth_token, &sms.public_url) else {
        return Err(Problem::internal());
    };
    let fields = match signed_fields(token, public, request).await {
        Ok(fields) => fields,
        // Who signs is not held up by others at the same address.
        Err(problem) => {
            application.gate.count_stranger(peer.ip())?;
            return Err(problem);
        }
    };
    let field = |name: &str| fields.iter().find(|(field, _)| field == name).map(|(_, value)| value.clone());
    let sid = field("MessageSid").or_else(|| field("SmsMessageSid"));
    let message = Message {
        source: SOURCE.into(),
        external_id: Some(sid.ok_or_else(|| Problem::unusable("MessageSid is missing").at("MessageSid"))?),
        author: field("From"),
        body: field("Body").ok_or_else(|| Problem::unusable("Body is missing").at("Body"))?,
        sent_at: None,
    };
    message.check("")?;
    ingest::store(&application.pool, "sms", &[message]).await?;
    Ok(([(header::CONTENT_TYPE, "text/xml; charset=utf-8")], twiml(sms.sms_reply.as_deref())).into_response())
}

/// The fields of a webhook that is signed. One without the form of a signature is not read.
async fn signed_fields(
    token: &str,
    public: &str,
    request: Request,
) -> Result<Vec<(String, String)>, Problem> {
    let unsigned = || Problem::new(StatusCode::FORBIDDEN, "the signature is missing or wrong");
    let given = request.headers().get("x-twilio-signature");
    let given = given.and_then(|given| STANDARD.decode(given.as_bytes()).ok());
    let given = given.filter(|given| given.len() == SIGNATURE).ok_or_else(unsigned)?;
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    let url = format!("{}{path}", public.trim_end_matches('/'));
    let fields = form(request, MOST_BYTES, MOST_FIELDS).await?;
    if is_signed(token, &url, &fields, &given) { Ok(fields) } else { Err(unsigned()) }
}

/// Whether this is the signature of URL and fields under the token. The comparison takes the same time whatever differs.
fn is_signed(token: &str, url: &str, fields: &[(String, String)], given: &[u8]) -> bool {
    let Ok(mut mac) = Hmac::<Sha1>::new_from_slice(token.as_bytes()) else { return false };
    mac.update(url.as_bytes());
    let mut sorted: Vec<&(String, String)> = fields.iter().collect();
    sorted.sort();
    sorted.dedup();
    for (name, value) in sorted {
        mac.update(name.as_bytes());
        mac.update(value.as_bytes());
    }
    mac.verify_slice(given).is_ok()
}

fn twiml(reply: Option<&str>) -> String {
    let mut answer = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?><Response>");
    if let Some(reply) = reply {
        let reply = reply.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        answer.extend(["<Message>", &reply, "</Message>"]);
    }
    answer + "</Response>"
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of Twilio's documentation of webhook security.
    #[test]
    fn signatures_are_those_of_the_documentation() {
        let fields = [
            ("CallSid", "CA1234567890ABCDE"),
            ("Caller", "+14158675309"),
            ("Digits", "1234"),
            ("From", "+14158675309"),
            ("To", "+18005551212"),
        ];
        let fields: Vec<_> =
            fields.iter().rev().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        let url = "https://mycompany.com/myapp.php?foo=1&bar=2";
        let signature = STANDARD.decode("RSOYDt4T1cUTdK1PDd93/VVr8B8=").unwrap();
        assert!(is_signed("12345", url, &fields, &signature));
        assert!(!is_signed("12346", url, &fields, &signature));
        assert!(!is_signed("12345", "https://mycompany.com/myapp.php", &fields, &signature));
        assert!(!is_signed("12345", url, &fields[1..], &signature));
    }

    #[test]
    fn replies_are_xml() {
        assert_eq!(twiml(None), "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Response></Response>");
        assert!(twiml(Some("<3 & more")).contains("<Message>&lt;3 &amp; more</Message>"));
    }
}
