//! The page in a browser: it loads, it lives, it complains of nothing.

use sentiment_tests::Database;

use crate::browser::Browser;
use crate::harness::{Gateway, agent};

const SKIPPED: &str =
    "the page, for chromium or chromedriver is not installed (make test-gateway installs them)";

/// Messages of the last hour, of each label.
const HOUR: &str = "INSERT INTO messages.message (source, author, body, sent_at)
    SELECT (ARRAY['app', 'sms', 'web'])[n % 3 + 1], (ARRAY['ann', 'bob', 'cem', NULL])[n % 4 + 1],
        (ARRAY['I love it 😍', 'worst service ever, never again', 'The train leaves at 7:45 from platform 3',
               'thank you so much, that was quick', 'the app crashes when I log in :('])[n % 5 + 1],
        now() - n * interval '17 seconds'
    FROM generate_series(1, 200) AS n";

fn keep(browser: &Browser, name: &str) {
    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(path, browser.picture()).unwrap();
}

#[test]
fn it_shows_what_another_client_stores_and_complains_of_nothing() {
    let Some(browser) = Browser::start(false) else { return sentiment_tests::skip(SKIPPED) };
    let mut database = Database::new();
    let gateway = Gateway::with(&database, &["--public-scopes", "read"]);
    database.run(HOUR);
    browser.open(&gateway.url);
    browser.wait("document.getElementById('state').textContent.startsWith('Connected')");
    browser.wait("document.querySelector('#share li') && document.querySelector('#chart polyline')");
    browser.wait("document.querySelector('#models tbody tr')");
    // A page of the newest, and more where the stream tells of those that were stored just now.
    browser.wait("document.querySelectorAll('#live li').length >= 20");
    // From the commit to the page, as the page's own clock has it. The limit is the users': a second.
    browser.run(
        "const list = document.getElementById('live');
         new MutationObserver(() => { window.shown ??= Date.now(); }).observe(list, {childList: true});",
    );
    let before = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
    database.run("INSERT INTO messages.message (source, author, body) VALUES ('psql', 'dee', '<b>best</b> concert EVER')");
    browser.wait("window.shown");
    let shown = browser.run("return window.shown").as_u64().unwrap();
    sentiment_tests::note(&format!(
        "from the INSERT to the page: {} ms",
        u128::from(shown).saturating_sub(before)
    ));
    let text = browser.run("return document.querySelector('#live li').innerText");
    let text = text.as_str().unwrap();
    assert!(
        text.contains("<b>best</b> concert EVER") && text.contains("positive") && text.contains("dee"),
        "{text}"
    );
    browser.wait(
        "[...document.querySelectorAll('#share .figure')].some((figure) => figure.textContent.includes('('))",
    );
    keep(&browser, "page-light.png");
    // With the keyboard alone: from the text to the button, and an explanation comes.
    browser.run("document.getElementById('text').focus()");
    browser.press("\u{e004}\u{e004}\u{e007}");
    browser.wait("document.querySelector('#answer table tbody tr')");
    let answer = browser.run("return document.getElementById('answer').innerText");
    assert!(answer.as_str().unwrap().contains("negative"), "{answer}");
    assert_eq!(browser.run("return document.getElementById('answer').ariaLive"), "polite");
    // A button whose words change has no state besides: "Go on, pressed" would say the contrary.
    browser.run("document.getElementById('pause').focus()");
    browser.press("\u{e007}");
    assert_eq!(browser.run("return document.activeElement.innerText"), "Go on");
    assert_eq!(browser.run("return document.activeElement.ariaPressed"), serde_json::Value::Null);
    // Everything that can be worked has a name.
    let nameless = browser.run(
        "return [...document.querySelectorAll('input, textarea, select, button, a, svg, table')]
            .filter((element) => !(element.labels?.length || element.innerText?.trim() || element.textContent?.trim()))
            .map((element) => element.outerHTML)",
    );
    assert_eq!(nameless, serde_json::json!([]));
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn it_asks_for_a_key_and_is_dark_where_that_is_liked() {
    let Some(browser) = Browser::start(true) else { return sentiment_tests::skip(SKIPPED) };
    let mut database = Database::new();
    let gateway = Gateway::start(&database);
    database.run(HOUR);
    browser.open(&gateway.url);
    browser.wait("document.activeElement.id === 'secret'");
    assert_eq!(browser.complaints(), Vec::<String>::new(), "nothing is asked for that would be refused");
    // What no header can hold, and what is no key, are said to be none, and asked for again.
    for bad in ["“ключ”", "sgk_none"] {
        browser.press(&format!("{bad}\u{e007}"));
        browser.wait(
            "document.getElementById('key-problem').textContent && document.activeElement.id === 'secret'",
        );
        browser.run("document.getElementById('key-problem').textContent = ''");
    }
    // The browser complains of each that is refused.
    browser.wait(
        "['stream', 'messages'].every((path) =>
            performance.getEntriesByType('resource').some((part) => part.name.includes(path)))",
    );
    browser.complaints();
    browser.press(&format!("{}\u{e007}", gateway.key));
    browser.wait("document.getElementById('state').textContent.startsWith('Connected')");
    browser.wait("document.querySelector('#chart polyline') && document.querySelector('#models tbody tr')");
    database.run("INSERT INTO messages.message (source, body) SELECT 'psql', CASE n % 2 WHEN 0 THEN 'I love it' ELSE 'I hate it' END FROM generate_series(1, 150) AS n");
    browser.wait("document.querySelectorAll('#live li').length === 100");
    let ground = browser.run("return getComputedStyle(document.body).backgroundColor");
    assert_eq!(ground, "rgb(13, 17, 23)");
    keep(&browser, "page-dark.png");
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

/// Long labels had been drawn over the text, and long names had left it the width of a letter.
#[test]
fn long_labels_and_names_leave_texts_readable() {
    let Some(browser) = Browser::start(false) else { return sentiment_tests::skip(SKIPPED) };
    let mut database = Database::new();
    let gateway = Gateway::with(&database, &["--public-scopes", "read"]);
    database.run(
        "CREATE TABLE labelled AS SELECT (ARRAY['awful', 'great'])[n % 2 + 1] || ' ' || md5(n::text) AS body,
             (ARRAY['complaint_about_the_billing_of_customers', 'praise'])[n % 2 + 1] AS label
             FROM generate_series(1, 300) AS n;
         SELECT train_sentiment('long', 'labelled', 'body', 'label');
         SET sentiment.default_model = 'long';
         INSERT INTO messages.message (source, author, body) VALUES
             ('web', NULL, 'awful, and this can be read'), ('web', repeat('author', 80), 'awful, and this too'),
             (repeat('source', 80), 'ann', 'great')",
    );
    browser.open(&gateway.url);
    browser.wait("document.querySelectorAll('#live li').length === 3 && document.querySelectorAll('#share li').length > 3");
    let squeezed = browser.run(
        "const box = (element) => element.getBoundingClientRect();
         return [...document.querySelectorAll('#live li, #share li')].filter((line) =>
             [...line.children].some((part) => part.scrollWidth > part.clientWidth || box(part).right > box(line).right + 1)
             || line.matches('#live li') && box(line.querySelector('.body')).width < box(line).width / 3
         ).map((line) => line.innerText)",
    );
    assert_eq!(squeezed, serde_json::json!([]));
}

/// Texts of Arabic had been laid out from the left: what ends a sentence stood at its beginning.
#[test]
fn scripts_from_the_right_are_laid_out_from_the_right() {
    let Some(browser) = Browser::start(false) else { return sentiment_tests::skip(SKIPPED) };
    let mut database = Database::new();
    let gateway = Gateway::with(&database, &["--public-scopes", "read"]);
    database.run(
        "INSERT INTO messages.message (source, author, body) VALUES
             ('web', 'ann', 'great'), ('web', 'أحمد', 'الخدمة سيئة جدا! iPhone لا يعمل.')",
    );
    browser.open(&gateway.url);
    browser.wait("document.querySelectorAll('#live li').length === 2");
    let direction = "return [...document.querySelectorAll('#live .body')]
        .map((body) => getComputedStyle(body).direction + getComputedStyle(body.parentElement).direction)";
    assert_eq!(browser.run(direction), serde_json::json!(["rtlltr", "ltrltr"]));
    // A name of the other direction does not turn round what stands beside it.
    assert_eq!(browser.run("return document.querySelectorAll('#live .from bdi').length"), 4);
    browser.run("document.getElementById('text').value = 'خدمة سيئة!'");
    assert_eq!(browser.run("return getComputedStyle(document.getElementById('text')).direction"), "rtl");
}

/// Stars from 1 to 5 were drawn above the picture.
#[test]
fn scores_beyond_one_are_in_the_picture() {
    let Some(browser) = Browser::start(false) else { return sentiment_tests::skip(SKIPPED) };
    let mut database = Database::new();
    let gateway = Gateway::with(&database, &["--public-scopes", "read"]);
    database.run(
        r#"CREATE TABLE starred AS SELECT (ARRAY['awful', 'so so', 'great'])[n % 3 + 1] || ' ' || md5(n::text) AS body,
             (ARRAY['1', '3', '5'])[n % 3 + 1] AS label FROM generate_series(1, 300) AS n;
         SELECT train_sentiment('stars', 'starred', 'body', 'label', options => '{"label_scores": {"1": 1, "3": 3, "5": 5}}');
         SET sentiment.default_model = 'stars';
         INSERT INTO messages.message (source, body) VALUES ('web', 'great')"#,
    );
    browser.open(&gateway.url);
    browser.wait("document.querySelector('#chart circle')");
    let picture = "const box = (element) => element.getBoundingClientRect(), chart = box(document.getElementById('chart'));
        return [...document.querySelectorAll('#chart *')].map(box)
            .filter((part) => part.width && (part.top < chart.top || part.bottom > chart.bottom)).length";
    assert_eq!(browser.run(picture), 0);
    let axis = "return [...document.querySelectorAll('#chart text[text-anchor=end]')].map((mark) => mark.textContent).slice(0, 3)";
    assert_eq!(browser.run(axis), serde_json::json!(["5", "0", "-1"]));
}

/// It had stayed without models and messages, and said that it was connected.
#[test]
fn what_the_gateway_could_not_answer_as_the_page_opened_comes_later() {
    let Some(browser) = Browser::start(false) else { return sentiment_tests::skip(SKIPPED) };
    let mut database = Database::new();
    let gateway = Gateway::with(&database, &["--public-scopes", "read", "--statement-timeout", "500ms"]);
    database.run("INSERT INTO messages.message (source, body) VALUES ('a', 'first'), ('a', 'second')");
    let mut locking = database.connect("postgres");
    let mut lock = locking.transaction().unwrap();
    lock.batch_execute("LOCK TABLE messages.message IN ACCESS EXCLUSIVE MODE").unwrap();
    browser.open(&gateway.url);
    browser
        .wait("performance.getEntriesByType('resource').some((part) => part.name.includes('/v1/messages'))");
    assert_eq!(browser.run("return document.querySelectorAll('#live li, #models tbody tr').length"), 0);
    lock.rollback().unwrap();
    browser.wait("document.querySelectorAll('#live li').length === 2 && document.querySelectorAll('#models tbody tr').length");
    let texts = "return [...document.querySelectorAll('#live .body')].map((body) => body.textContent)";
    assert_eq!(browser.run(texts), serde_json::json!(["second", "first"]));
    database.ask_errors_so_far();
}

/// The API's description shows everything and asks what it is told to, with nothing of its own refused by its own policy.
#[test]
fn the_description_keeps_to_its_policy() {
    let Some(browser) = Browser::start(false) else { return sentiment_tests::skip(SKIPPED) };
    let database = Database::new();
    let gateway = Gateway::with(&database, &["--public-scopes", "read"]);
    let page = agent().get(format!("{}/docs/", gateway.url)).call().unwrap();
    let policy = page.headers()["content-security-policy"].to_str().unwrap();
    assert!(policy.starts_with("default-src 'none'; script-src 'self';"), "{policy}");
    browser.open(&format!("{}/docs/", gateway.url));
    browser.wait("document.querySelectorAll('.opblock').length > 10");
    let press = |button: &str| {
        let found = format!("document.querySelector('#operations-out-score {button}')");
        browser.wait(&found);
        browser.run(&format!("{found}.click()"));
    };
    ["button.opblock-summary-control", "button.try-out__btn", "button.execute"].into_iter().for_each(press);
    browser.wait(
        "document.querySelector('#operations-out-score .live-responses-table')?.innerText.includes('200')",
    );
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

/// A deployment while it was open had not been seen.
#[test]
fn a_deployment_is_seen_while_the_page_is_open() {
    let Some(browser) = Browser::start(false) else { return sentiment_tests::skip(SKIPPED) };
    let mut database = Database::new();
    let gateway = Gateway::with(&database, &["--public-scopes", "read"]);
    browser.open(&gateway.url);
    browser.wait("document.querySelectorAll('#models tbody tr').length");
    browser.run("document.getElementById('model').value = 'multilingual'");
    database.run(
        "CREATE TABLE labelled AS SELECT (ARRAY['awful', 'great'])[n % 2 + 1] || ' ' || md5(n::text) AS body,
             (ARRAY['negative', 'positive'])[n % 2 + 1] AS label FROM generate_series(1, 300) AS n;
         SELECT train_sentiment('mine', 'labelled', 'body', 'label', 'naive_bayes', deploy => 'always');
         SET sentiment.default_model = 'mine';
         INSERT INTO messages.message (source, body) VALUES ('a', 'great')",
    );
    let shows = |version: &str| {
        browser.wait(&format!(
            "[...document.querySelectorAll('#models tbody th')].some((name) => name.textContent === '{version}')"
        ));
    };
    shows("mine@1");
    assert_eq!(browser.run("return document.getElementById('model').value"), "multilingual");
    database.run(
        "SELECT train_sentiment('mine', 'labelled', 'body', 'label', 'naive_bayes', deploy => 'always');
         INSERT INTO messages.message (source, body) VALUES ('a', 'great')",
    );
    shows("mine@2");
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

/// Nobody need send a message: the page looks every half minute. Its clock goes a hundred times as fast here.
#[test]
fn a_deployment_is_seen_where_no_message_comes() {
    let Some(browser) = Browser::start(false) else { return sentiment_tests::skip(SKIPPED) };
    let mut database = Database::new();
    let gateway = Gateway::with(&database, &["--public-scopes", "read"]);
    browser.run_first(
        "const repeat = setInterval;
         window.setInterval = (run, pause) => { window.pause = pause; return repeat(run, pause / 100); };",
    );
    browser.open(&gateway.url);
    browser.wait("document.querySelectorAll('#models tbody tr').length");
    assert_eq!(browser.run("return window.pause"), 30_000);
    database.run(
        "CREATE TABLE labelled AS SELECT (ARRAY['awful', 'great'])[n % 2 + 1] || ' ' || md5(n::text) AS body,
             (ARRAY['negative', 'positive'])[n % 2 + 1] AS label FROM generate_series(1, 300) AS n;
         SELECT train_sentiment('mine', 'labelled', 'body', 'label', 'naive_bayes', deploy => 'always')",
    );
    browser.wait(
        "[...document.querySelectorAll('#models tbody th')].some((name) => name.textContent === 'mine@1')",
    );
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

/// What was sent on another day had looked as if it were of today.
#[test]
fn a_time_of_another_day_has_its_date() {
    let Some(browser) = Browser::start(false) else { return sentiment_tests::skip(SKIPPED) };
    let mut database = Database::new();
    let gateway = Gateway::with(&database, &["--public-scopes", "read"]);
    database.run("INSERT INTO messages.message (source, body, sent_at) VALUES ('a', 'good', '2020-02-03 12:00+00'), ('a', 'good', now())");
    browser.open(&gateway.url);
    browser.wait("document.querySelectorAll('#live li').length === 2");
    let dated = "return [...document.querySelectorAll('#live time')].map((time) => time.textContent.includes('2020'))";
    let today = "return [...document.querySelectorAll('#live time')].map((time) => time.textContent.includes(new Date().getFullYear()))";
    assert_eq!(browser.run(dated), serde_json::json!([false, true]));
    assert_eq!(browser.run(today), serde_json::json!([false, false]));
}
