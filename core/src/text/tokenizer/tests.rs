//! What the tokenizer sees: one table of texts and their tokens.

use super::super::normalise::Normal;
use super::super::{Text, Tokenized};
use super::{Token, TokenKind, TokenMarks, Tokenizer, Tokens};
use proptest::prelude::*;

/// The tokens of a text: `form`, with `!` before a negated one, `^` before a shouted one, `~` before an elongated
/// one and `=` before a repeated one.
fn forms(text: &str) -> Vec<String> {
    let mut tokenized = Tokenized::default();
    tokenized.read(&Text::from(text));
    let sign = |marks: TokenMarks| {
        [
            (TokenMarks::NEGATED, '!'),
            (TokenMarks::SHOUTED, '^'),
            (TokenMarks::ELONGATED, '~'),
            (TokenMarks::REPEATED, '='),
        ]
        .into_iter()
        .filter(move |&(mark, _)| marks.has(mark))
        .map(|(_, sign)| sign)
    };
    tokenized
        .tokens()
        .iter()
        .map(|token| sign(token.marks).chain(tokenized.form(token).chars()).collect())
        .collect()
}

#[test]
fn table() {
    for (text, wanted) in [
        ("", ""),
        (" \t\r\n\u{1}", ""),
        ("I love it", "i love it"),
        ("LOVE this", "^love this"),
        ("Soooo coooool", "~soo ~cool"),
        ("Süüüß nééé sí", "~süüss ~néé sí"),
        ("Прривееет Ооо ооооо ОООх сссС", "~прривеет ~оо ~оо ~оох ~сс"),
        (
            "ßs ßßs straße2go señoooor Ñaaa aÑ'aaa ÜBER übeeer",
            "~ss ~ss strasse2go ~señoor ~ñaa ~añ'aa ^über ~übeer",
        ),
        ("جميييل aéé aééé ééa", "~جمييل aéé ~aéé ééa"),
        ("press 1\u{20e3} now", "press 1\u{20e3} now"),
        ("gr8 2 c u 2moro, luv ya", "great 0 c you tomorrow , love ya"),
        ("it's we'll I'm", "it 's we 'll i 'm"),
        ("dont can't won’t", "don't can't won't"),
        ("not a good day. good", "not !a !good !day . good"),
        ("not happy :( great not ok 😀 fun", "not !happy :( great not !ok 😀 fun"),
        ("never again but fine", "never !again but fine"),
        ("I don't think this is a very good idea", "i don't !think !this !is !a !very good idea"),
        ("what?! wow!!! ok... no?? hm!! eh!", "what ?! wow !!! ok ... no ?? hm !! eh !"),
        ("http://t.co/Ab1?x=2 www.foo.org bit.ly/x example.com.", "<url> <url> <url> <url> ."),
        ("@Some_One hi me@example.com", "<user> hi <url>"),
        ("RT @x: RT this", "<rt> <user> : ^rt this"),
        (
            "#ThrowbackThursday #nfl_sunday #2016Goals",
            "#throwbackthursday throwback thursday #nfl_sunday nfl sunday #2016goals 0000 goals",
        ),
        ("#HBOShow # #!", "#hboshow hbo show !"),
        ("$AAPL up $5 or 5%", "$aapl up 0 or 0"),
        ("10/10 at 3:30, 1,000.50!", "00/00 at 0:00 , 0,000.00 !"),
        ("😀😀 👍🏽 ❤️ 🇩🇪", "😀 =😀 👍 ❤ 🇩🇪"),
        ("nice:) :-( <3 ^_^ T.T xD", "nice :) :( <3 ^_^ t_t XD"),
        ("¯\\_(ツ)_/¯ ok", "¯\\_(ツ)_/¯ ok"),
        ("我爱你。很好！", "我 爱 你 . 很 好 !"),
        ("ดีมาก", "ดี ม า ก"),
        ("STRASSE Straße", "^strasse strasse"),
        ("ΣΊΣΥΦΟΣ σίσυφος", "^σίσυφοσ σίσυφοσ"),
        ("हिन्दी में", "हिन्दी में"),
        ("un&eacute; caf\\u00e9", "uné café"),
        ("rock'n'roll 'quoted' '", "rock'n'roll quoted"),
        ("well-known and/or", "well known and or"),
        ("a\u{fffd}b", "a b"),
        ("*** € \"\"", ""),
    ] {
        let wanted: Vec<&str> = wanted.split_whitespace().collect();
        assert_eq!(forms(text), wanted, "{text:?}");
    }
}

#[test]
fn kinds() {
    let text = "word 12 #tag $tick @user http://x.io 😀 :) ! 中";
    let mut tokenized = Tokenized::default();
    tokenized.read(&Text::from(text));
    let kinds: Vec<TokenKind> = tokenized.tokens().iter().map(|token| token.kind).collect();
    use TokenKind::*;
    let wanted = [Word, Number, Hashtag, Word, Cashtag, User, Url, Emoji, Emoticon, Punctuation, Character];
    assert_eq!(kinds, wanted);
}

#[test]
fn tokens_lead_back_to_the_text() {
    let text = "“Über” caf\u{65}\u{301} &amp; it’s #BigDay 😀!";
    let mut tokenized = Tokenized::default();
    tokenized.read(&Text::from(text));
    let starts: Vec<&str> = tokenized.tokens().iter().map(|token| &text[tokenized.origin(token)..]).collect();
    for (start, wanted) in starts.iter().zip(["Über", "caf", "it", "’s", "#Big", "BigDay", "Day", "😀", "!"])
    {
        assert!(start.starts_with(wanted), "{start:?} does not begin with {wanted:?}");
    }
}

proptest! {
    #[test]
    fn plain_words_are_read_as_all_words_are(
        text in "(('|#[a-zA-Z0-9]{1,9}|(#|@)[aA_1]{0,9}|[0-9]{1,2}[.,:]|[aA]{1,3}|[a-zA-Z]{1,9}|[0-9]|n't|'(s|m|re|ve|ll|d|T|x)|not|but|u|im|é|\\.co|@b|[ -~]| ){0,3} ?){0,12}",
    ) {
        let read = |no_word_is_plain| {
            let mut tokens = Tokens::default();
            tokens.begin(text.as_bytes());
            let mut tokenizer = Tokenizer::new(Normal { bytes: text.as_bytes(), text: &text }, &mut tokens);
            tokenizer.no_word_is_plain = no_word_is_plain;
            tokenizer.run_through();
            let said = |token: &Token| {
                (token.kind, token.marks, token.known, token.hash, token.unit, token.start, tokens.form(token).to_owned())
            };
            tokens.list.iter().map(said).collect::<Vec<_>>()
        };
        prop_assert_eq!(read(false), read(true));
    }
}
