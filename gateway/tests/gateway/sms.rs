//! Text messages, signed as Twilio signs them.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};

use sentiment_tests::{CANARY, Database};

use crate::harness::{Answer, Gateway, PATIENCE, agent};

const TOKEN: &str = "12345";
const URL: &str = "https://example.org";

/// The signature, as openssl works it out.
fn signature(url: &str, fields: &[(&str, &str)]) -> String {
    let mut sorted = fields.to_vec();
    sorted.sort_unstable();
    let signed: String = sorted.iter().fold(url.to_owned(), |signed, (name, value)| signed + name + value);
    let mut openssl = Command::new("sh")
        .args(["-c", &format!("openssl dgst -sha1 -hmac {TOKEN} -binary | base64")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    openssl.stdin.take().unwrap().write_all(signed.as_bytes()).unwrap();
    String::from_utf8(openssl.wait_with_output().unwrap().stdout).unwrap().trim().to_owned()
}

fn send(gateway: &Gateway, path: &str, fields: &[(&str, &str)], signature: Option<&str>) -> Answer {
    let mut request = agent().post(format!("{}{path}", gateway.url));
    if let Some(signature) = signature {
        request = request.header("x-twilio-signature", signature);
    }
    Answer::from(request.send_form(fields.iter().copied()).unwrap())
}

/// Whether there is an openssl to sign with.
fn can_sign() -> bool {
    let can = Command::new("openssl").arg("version").output().is_ok();
    if !can {
        sentiment_tests::skip("signed text messages, for openssl is not installed");
    }
    can
}

fn start(database: &Database<'_>) -> Gateway {
    let reply = "Thanks <3";
    Gateway::with(database, &["--sms-auth-token", TOKEN, "--public-url", URL, "--sms-reply", reply])
}

#[test]
fn a_signed_message_is_stored_once_however_often_it_comes() {
    if !can_sign() {
        return;
    }
    let mut database = Database::new();
    let gateway = start(&database);
    let fields =
        [("MessageSid", "SM1"), ("From", "+15550100"), ("Body", "gr8 service, thx :) ✓"), ("NumMedia", "0")];
    let path = "/webhooks/sms?tenant=1";
    let signature = signature(&format!("{URL}{path}"), &fields);
    for _ in 0..3 {
        let answer = send(&gateway, path, &fields, Some(&signature));
        assert_eq!((answer.status, answer.kind.as_str()), (200, "text/xml; charset=utf-8"), "{answer:?}");
        assert!(answer.body.contains("<Response><Message>Thanks &lt;3</Message></Response>"), "{answer:?}");
    }
    let stored = database.rows("SELECT source, external_id, author, body, label FROM messages.message");
    assert_eq!(stored.len(), 1);
    let stored: Vec<String> = (0..5).map(|column| stored[0].get(column)).collect();
    assert_eq!(stored, ["sms", "SM1", "+15550100", "gr8 service, thx :) ✓", "positive"]);
}

#[test]
fn what_is_not_signed_is_not_stored() {
    if !can_sign() {
        return;
    }
    let mut database = Database::new();
    let gateway = start(&database);
    let path = "/webhooks/sms";
    let fields = [("MessageSid", "SM1"), ("From", "+15550100"), ("Body", CANARY)];
    let good = signature(&format!("{URL}{path}"), &fields);
    send(&gateway, path, &fields, None).refused(403);
    send(&gateway, path, &fields, Some("")).refused(403);
    send(&gateway, path, &fields, Some("%%%")).refused(403);
    send(&gateway, path, &fields[..2], Some(&good)).refused(403);
    send(&gateway, "/webhooks/sms?a=b", &fields, Some(&good)).refused(403);
    let nameless = [("Body", CANARY)];
    let good = signature(&format!("{URL}{path}"), &nameless);
    send(&gateway, path, &nameless, Some(&good)).refused(422);
    assert_eq!(database.value::<i64>("SELECT count(*) FROM messages.message"), 0);
}

#[test]
fn without_a_token_there_is_no_webhook() {
    let database = Database::new();
    let gateway = Gateway::start(&database);
    send(&gateway, "/webhooks/sms", &[("Body", "a")], Some("a")).refused(404);
}

/// What anyone may send is refused before it takes memory or time.
#[test]
fn what_has_no_signature_is_not_read_and_what_is_read_is_small() {
    let database = Database::new();
    let gateway = start(&database);
    let path = "/webhooks/sms";
    for signature in ["", "x-twilio-signature: AAAA\r\n", "x-twilio-signature: %%%\r\n"] {
        let mut stream = TcpStream::connect(gateway.url.strip_prefix("http://").unwrap()).unwrap();
        stream.set_read_timeout(Some(PATIENCE / 6)).unwrap();
        // The body does not come: whoever waited for it would answer too late.
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\n{signature}content-type: application/x-www-form-urlencoded\r\n\
             content-length: 60000\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
        let mut start = [0; 12];
        stream.read_exact(&mut start).unwrap();
        assert_eq!(&start, b"HTTP/1.1 403", "{signature}");
    }
    let guess = "AAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    send(&gateway, path, &[("a", &"a".repeat(65_536))], Some(guess)).refused(413);
    send(&gateway, path, &[("a", ""); 201], Some(guess)).refused(413);
    send(&gateway, path, &[("a", ""); 200], Some(guess)).refused(403);
}

/// Behind a proxy all have the same address.
#[test]
fn strangers_do_not_hold_up_who_signs_or_has_a_key() {
    if !can_sign() {
        return;
    }
    let database = Database::new();
    let gateway = Gateway::with(
        &database,
        &["--sms-auth-token", TOKEN, "--public-url", URL, "--rate-limit", "20", "--public-scopes", "read"],
    );
    gateway.get("/v1/models").ok();
    let path = "/webhooks/sms";
    let fields = [("MessageSid", "SM1"), ("Body", "good")];
    let good = signature(&format!("{URL}{path}"), &fields);
    let guess = "AAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    let refused = |ask: &dyn Fn() -> Answer| (0..1000).map(|_| ask().status).any(|status| status == 429);
    let agent = agent();
    let guess_key = || {
        let request =
            agent.get(format!("{}/v1/models", gateway.url)).header("authorization", "Bearer sgk_no");
        Answer::from(request.call().unwrap())
    };
    assert!(refused(&|| send(&gateway, path, &fields, Some(guess))) && refused(&guess_key));
    for _ in 0..15 {
        guess_key();
        assert_eq!(send(&gateway, path, &fields, Some(&good)).status, 200);
        gateway.get("/v1/models").ok();
        let visit = agent.get(format!("{}/v1/models", gateway.url)).call().unwrap();
        assert_eq!(visit.status(), 200);
    }
}
