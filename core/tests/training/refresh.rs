//! Going on learning: what refreshes make of a model, and how what they learned is taken into its base.

use super::{corpus, label, open, options, rows, train, word};
use sentiment_core::refresh::{Lesson, Refreshed, RefreshedPart, refresh};
use sentiment_core::train::{Algorithm, Options, Trained, check_term};
use sentiment_core::{ErrorKind, Predictor, Scratch, Text};

/// Refreshes, and puts the parts together as a registry does.
pub fn taught(
    parts: &[Vec<u8>],
    lessons: &[(String, &str)],
    own: &[(String, f64)],
) -> (Refreshed, Vec<Vec<u8>>) {
    let lessons: Vec<Lesson<'_>> =
        lessons.iter().map(|(text, label)| Lesson { text: text.as_bytes(), label }).collect();
    let deltas: Vec<&[u8]> = parts[1..].iter().map(Vec::as_slice).collect();
    let refreshed = refresh(&parts[0], &deltas, &lessons, Some(own), &mut |_, _, _| Ok(())).unwrap();
    let after = refreshed.parts.iter().flatten().map(|part| match part {
        RefreshedPart::Kept(at) => parts[*at].clone(),
        RefreshedPart::New(bytes) => bytes.clone(),
    });
    let after = after.collect();
    (refreshed, after)
}

/// A freshly trained model.
fn trained(options: &Options, rows: &[(String, &str)]) -> Vec<Vec<u8>> {
    vec![train(options, &corpus(rows), &mut || Ok(())).unwrap().bytes]
}

/// Options of every model that goes on learning.
fn learners() -> Vec<Options> {
    let variants = ["multinomial", "complement", "bernoulli"];
    // Few rows ask for less smoothing.
    let bayes = options(Algorithm::NaiveBayes).with("smoothing", 0.5);
    let bayes = variants.map(|variant| bayes.clone().with("variant", variant));
    bayes.into_iter().chain([options(Algorithm::LogisticRegression)]).collect()
}

#[test]
fn it_goes_on_learning() {
    for options in learners() {
        let mut parts = trained(&options, &rows());
        let lessons =
            [("crypto airdrop today", "spam"), ("gym session today", "ham"), ("what", "unheard of")];
        let lessons = lessons.map(|(text, label)| (text.to_owned(), label));
        for _ in 0..9 {
            let (refreshed, after) = taught(&parts, &lessons, &[]);
            assert_eq!((refreshed.rows_used, refreshed.rows_skipped), (2, 1));
            parts = after;
        }
        assert!(parts.len() <= 5, "deltas are merged");
        assert_eq!(label(&parts, "an airdrop of crypto"), "spam", "{options:?}");
        assert_eq!(label(&parts, "gym?"), "ham", "{options:?}");
        assert_eq!(label(&parts, "free prize"), "spam", "{options:?}");
        assert_eq!(open(&parts).rows_train(), 78);
        assert!(taught(&parts, &[], &[]).0.parts.is_none(), "nothing new, nothing written");
        let other = trained(&options.with("language", "de"), &rows());
        let deltas: Vec<&[u8]> = parts[1..].iter().map(Vec::as_slice).collect();
        let mixed = Predictor::open_parts(&other[0], &deltas).unwrap_err();
        assert_eq!(mixed.kind(), ErrorKind::Damaged);
    }
}

/// Lessons with many words that nobody has seen, so that deltas grow.
fn stream(round: usize) -> Vec<(String, &'static str)> {
    let one = |at: usize| {
        let (label, mood) = [("ham", "lunch"), ("spam", "prize")][at % 2];
        let words: Vec<String> = (0..12).map(|n| format!("{}{}x{at}x{n}", word(at * n), round)).collect();
        (format!("{mood} {}", words.join(" ")), label)
    };
    (0..300).map(one).collect()
}

#[test]
fn what_was_learned_is_taken_into_the_base() {
    for options in learners() {
        let mut parts = trained(&options, &rows());
        let mut compacted = 0;
        for round in 0..12 {
            let lessons = stream(round);
            let (refreshed, after) = taught(&parts, &lessons, &[]);
            assert_eq!(refreshed.rows_used, 300);
            if after.len() == 1 {
                compacted += 1;
                assert!(after[0].len() > parts[0].len(), "the base has grown");
            }
            parts = after;
            let sizes: Vec<usize> = parts.iter().map(Vec::len).collect();
            assert!(sizes[1..].iter().sum::<usize>() <= (1 << 18).max((sizes[0] << 20).isqrt()), "{sizes:?}");
        }
        assert!(compacted > 0, "{options:?}");
        assert_eq!(open(&parts).rows_train(), 60 + 12 * 300);
        for text in ["see you at lunch", "a free prize", &stream(2)[4].0, &stream(11)[7].0] {
            assert_eq!(
                label(&parts, text),
                if text.contains("prize") { "spam" } else { "ham" },
                "{options:?}"
            );
        }
    }
}

/// Counts that go on are the counts of all rows at once.
#[test]
fn naive_bayes_refreshed_is_naive_bayes_trained_on_all() {
    let rows: Vec<(String, &str)> = (0..400)
        .map(|at: usize| {
            let class = (at * at / 7) % 2;
            (format!("w{} w{} w{}", at % 13, at % 7, (at * (class + 1)) % 5), ["negative", "positive"][class])
        })
        .collect();
    let options = options(Algorithm::NaiveBayes)
        .with("words", 1)
        .with("min_texts", 1)
        .with("calibration", "temperature");
    let (some, rest) = rows.split_at(300);
    let base = train(&options, &corpus(some), &mut || Ok(())).unwrap();
    let all = train(&options, &corpus(&rows), &mut || Ok(())).unwrap();
    let (_, parts) = taught(&[base.bytes], rest, &[]);
    let refreshed = open(&parts);
    let whole = Predictor::open(&all.bytes).unwrap();
    let (mut a, mut b) = (Scratch::default(), Scratch::default());
    for (text, _) in &rows {
        let odds = |p: &[f64]| (p[1] / p[0]).ln();
        let one = odds(refreshed.read(Text::from(text.as_str()), &mut a).unwrap().probabilities);
        let two = odds(whole.read(Text::from(text.as_str()), &mut b).unwrap().probabilities);
        // Each was calibrated on its own rows, and weights are rounded to 8 bits.
        let ratio = base.report.temperature / all.report.temperature;
        assert!((one * ratio - two).abs() < 0.05 * (1.0 + two.abs()), "{text}: {one} {two}");
    }
}

#[test]
fn a_users_own_terms() {
    let rows: Vec<(String, &str)> = (0..80)
        .map(|at| (format!("text {} of {}", word(at), at % 9), ["negative", "positive"][at % 2]))
        .collect();
    for algorithm in [Algorithm::NaiveBayes, Algorithm::LogisticRegression] {
        let base = trained(&options(algorithm), &rows);
        let own = [("lit".to_owned(), 1.0), ("low key bad".to_owned(), -1.0), ("🗿".to_owned(), -0.8)];
        let (_, parts) = taught(&base, &[], &own);
        for (text, wanted) in [
            ("this is lit", "positive"),
            ("it is low key bad", "negative"),
            ("🗿", "negative"),
            ("not lit", "negative"),
        ] {
            assert_eq!(label(&parts, text), wanted, "{text} by {algorithm:?}");
        }
        let (_, gone) = taught(&parts, &[], &[]);
        let (before, after) = (open(&base), open(&gone));
        let (mut a, mut b) = (Scratch::default(), Scratch::default());
        let score = |p: &Predictor<'_>, s: &mut Scratch| p.read(Text::from("text is lit"), s).unwrap().score;
        assert_eq!(score(&before, &mut a), score(&after, &mut b));
    }
    for (term, score) in [("", 0.5), ("one two three four", 0.5), ("fine", 1.5), ("fine", f64::NAN)] {
        assert_eq!(check_term(term, score).unwrap_err().kind(), ErrorKind::Parameter);
    }
}

fn reviews() -> Vec<(String, &'static str)> {
    let one = |at: usize| match at % 2 {
        0 => (format!("it was wonderfully {}", word(at)), "positive"),
        _ => (format!("it was terribly {}", word(at)), "negative"),
    };
    (0..200).map(one).collect()
}

/// What the user says of a term adds to what the model says of it, also where that reads a word by its letters, and says nothing
/// of a word that a longer term begins with.
#[test]
fn a_users_own_terms_leave_the_rest_of_a_word() {
    for options in learners() {
        let base = trained(&options, &reviews());
        let known = odds(&base, "wonderfull");
        if options.algorithm() == Algorithm::LogisticRegression {
            assert!(known < -0.1, "by its letters: {known}");
        }
        let with = |terms: &[(&str, f64)]| {
            let own: Vec<(String, f64)> =
                terms.iter().map(|(term, score)| ((*term).into(), *score)).collect();
            taught(&base, &[], &own).1
        };
        for score in [1.0, -1.0] {
            let parts = with(&[("wonderfull deal", score), ("wonderfull for me", score)]);
            let now = odds(&parts, "wonderfull");
            assert!((now - known).abs() < 1e-9, "{known} {now} {options:?}");
            for term in ["wonderfull deal", "wonderfull for me"] {
                let change = odds(&parts, term) - odds(&base, term);
                assert!(change * score < -0.1, "{term} {score} {change} {options:?}");
            }
        }
        let parts = with(&[("wonderfull", 0.1)]);
        assert!(odds(&parts, "wonderfull") < known, "{options:?}");
        // Learning goes on from both.
        let lesson = ("wonderfull".to_owned(), "positive");
        let own = [("wonderfull".to_owned(), 0.1)];
        let (_, parts) = taught(&parts, &vec![lesson; 3], &own);
        assert!(odds(&parts, "wonderfull") < known, "{options:?}");
        assert!(odds(&taught(&parts, &[], &[]).1, "wonderfull") < known, "{options:?}");
    }
}

/// What 0.1.0 made answers as it did there: a term of the user's own stood in the place of what a word's letters say. The next
/// version of such a model is read as any other.
#[test]
fn a_users_own_terms_of_the_first_format() {
    const FORMAT: usize = 8;
    let base = trained(&options(Algorithm::LogisticRegression), &reviews());
    let own = ["wonderfull", "terribble"].map(|term| (term.to_owned(), 0.5));
    let (_, parts) = taught(&base, &[], &own);
    assert_eq!((parts[0][FORMAT], parts[1][FORMAT]), (1, 2));
    let mut first = parts.clone();
    first[1][FORMAT] = 1;
    let apart = |parts: &[Vec<u8>]| (odds(parts, "wonderfull") - odds(parts, "terribble")).abs();
    assert!(apart(&parts) > 0.1 && apart(&first) < 1e-9, "{} {}", apart(&parts), apart(&first));

    assert!(taught(&first, &[], &own).0.parts.is_none(), "nothing new, nothing written");
    let lessons = [("a fine hour".to_owned(), "positive"), ("a wonderfull hour".to_owned(), "negative")];
    let learned = taught(&first, &lessons, &own).1;
    assert_eq!(learned, taught(&parts, &lessons, &own).1);
    let fewer = taught(&first, &[], &own[..1]).1;
    assert_eq!(fewer, taught(&parts, &[], &own[..1]).1);
    assert_eq!(taught(&fewer, &[], &[]).1[1][FORMAT], 1, "0.1.0 can read what has none");
}

#[test]
fn a_hashtag_is_one_word_of_a_users_own() {
    let base = trained(&options(Algorithm::LogisticRegression), &reviews());
    check_term("#BigBadDay", 1.0).unwrap();
    let (_, parts) = taught(&base, &[], &[("#BigBadDay".to_owned(), 1.0)]);
    assert!(odds(&parts, "what a #bigbadday") < odds(&base, "what a #bigbadday") - 1.0);
}

/// What is taken for a term has an effect: the words of a hashtag stand between it and what follows.
#[test]
fn a_hashtag_before_other_words_of_a_users_own() {
    let base = trained(&options(Algorithm::LogisticRegression), &reviews());
    for term in ["#bigday party", "#big #day", "what a #BigBadDay"] {
        check_term(term, 1.0).unwrap();
        let (_, parts) = taught(&base, &[], &[(term.to_owned(), 1.0)]);
        assert!(odds(&parts, term) < odds(&base, term) - 1.0, "{term}");
    }
    assert_eq!(check_term("#BigBadDay party", 1.0).unwrap_err().kind(), ErrorKind::Parameter);
}

/// Whoever has imported a model knows no spelling of its terms.
#[test]
fn terms_of_a_users_own_stay_where_none_are_given() {
    for options in [options(Algorithm::LogisticRegression), options(Algorithm::NaiveBayes)] {
        let base = trained(&options, &reviews());
        let (_, parts) = taught(&base, &[], &[("stellar".to_owned(), 1.0)]);
        let deltas: Vec<&[u8]> = parts[1..].iter().map(Vec::as_slice).collect();
        let refreshed = |lessons: &[Lesson<'_>]| {
            refresh(&parts[0], &deltas, lessons, None, &mut |_, _, _| Ok(())).unwrap()
        };
        assert!(refreshed(&[]).parts.is_none(), "nothing new, nothing written");
        let lessons = [Lesson { text: b"dull and slow", label: "negative" }];
        let after: Vec<Vec<u8>> = (refreshed(&lessons).parts.into_iter().flatten())
            .map(|part| match part {
                RefreshedPart::Kept(at) => parts[at].clone(),
                RefreshedPart::New(bytes) => bytes,
            })
            .collect();
        assert!(odds(&after, "stellar") < odds(&base, "stellar") - 1.0);
    }
}

#[test]
fn a_forest_does_not_go_on_learning() {
    let base = trained(&options(Algorithm::RandomForest), &rows());
    let error = refresh(&base[0], &[], &[], None, &mut |_, _, _| Ok(())).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
}

/// Rows of two labels, one four times as frequent, that are told apart by a word which is wrong one time in five.
fn skewed() -> Vec<(String, &'static str)> {
    let one = |at: usize| {
        let rare = at.is_multiple_of(5);
        let told = if (at / 5).is_multiple_of(5) { !rare } else { rare };
        let sign = if told { "late" } else { "fine" };
        (format!("{} it is {sign} {}", word(at), word(at * 7 + 3)), if rare { "complaint" } else { "other" })
    };
    (0..600).map(one).collect()
}

/// Log odds of the first label.
fn odds(parts: &[Vec<u8>], text: &str) -> f64 {
    let (predictor, mut scratch) = (open(parts), Scratch::default());
    let probabilities = predictor.read(Text::from(text), &mut scratch).unwrap().probabilities;
    (probabilities[0] / probabilities[1]).ln()
}

#[test]
fn calibration_sets_a_bias_that_refreshes_keep_and_explanations_show() {
    let text = "it is late";
    for algorithm in Algorithm::ALL {
        let corpus = corpus(&skewed());
        let train_by = |calibration: &str| {
            train(&options(algorithm).with("calibration", calibration), &corpus, &mut || Ok(())).unwrap()
        };
        let (vector, temperature) = (train_by("vector"), train_by("temperature"));
        let base = vec![vector.bytes.clone()];
        let predictor = open(&base);
        let explained: f64 = predictor
            .explain(Text::from(text), &mut Scratch::default())
            .iter()
            .map(|reason| reason.weight)
            .sum();
        let before = odds(&base, text);
        assert!((explained - before.abs()).abs() < 1e-9, "{algorithm:?} {explained} {before}");
        assert!(
            (before - odds(std::slice::from_ref(&temperature.bytes), text)).abs() > 0.01,
            "{algorithm:?}"
        );
        // The classes count the same, and are told right about as often.
        let recall = |trained: &Trained| trained.report.confusion.macro_recall();
        assert!(recall(&vector) >= recall(&temperature) - 0.05, "{algorithm:?} {}", recall(&temperature));
        if algorithm != Algorithm::RandomForest {
            let (_, parts) = taught(&base, &[("unheard".to_owned(), "other")], &[]);
            assert!((odds(&parts, text) - before).abs() < 0.01, "{algorithm:?}");
        }
    }
}
