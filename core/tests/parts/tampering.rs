//! Models whose bytes somebody has changed on purpose, checksums made right again: what an import may be given.

use sentiment_core::refresh::{Lesson, RefreshedPart, refresh};
use sentiment_core::train::{Algorithm, Corpus, Mixture, Network, Options, Training};
use sentiment_core::{Predictor, Scratch, Text, bundle};
use std::sync::LazyLock;

const LABELS: [&str; 3] = ["bad", "good", "so so"];

/// Small models of every algorithm, as their parts: those that can learn have a delta.
static MODELS: LazyLock<Vec<Vec<Vec<u8>>>> = LazyLock::new(|| {
    let options = [
        ("naive_bayes", "{}"),
        ("naive_bayes", r#"{"variant": "complement"}"#),
        ("naive_bayes", r#"{"variant": "bernoulli", "prior": "fitted"}"#),
        ("logistic_regression", "{}"),
        ("logistic_regression", r#"{"lexicon": "english", "chars": false}"#),
        ("random_forest", r#"{"trees": 3}"#),
    ];
    let mut models = options.map(|(algorithm, options)| model(algorithm, options)).to_vec();
    models.push(vec![convolution(&models[4][0])]);
    models
});

/// A network beside a linear model, with products that some token always meets.
fn convolution(linear: &[u8]) -> Vec<u8> {
    let products: Vec<f32> = (0..12_u8).map(|at| f32::from(at) / 8.0 - 0.7).collect();
    let network = Network {
        filters: 2,
        tokens: Vec::new(),
        unknown: products,
        bias: vec![0.1, -0.2, 0.0, 0.3, -0.1, 0.05],
        output: (0..36_u8).map(|at| f32::from(at % 5) / 5.0 - 0.4).collect(),
    };
    let mixture = Mixture {
        linear,
        linear_factor: 0.5,
        network: &network,
        network_factor: 0.5,
        shape_weights: &[],
        bias: &[0.0; 3],
        metrics: "{}",
    };
    mixture.write().unwrap()
}

fn model(algorithm: &str, options: &str) -> Vec<Vec<u8>> {
    let mut corpus = Corpus::new(1 << 24);
    for at in 0..60 {
        let text = format!("w{} {} not shared 😀 :) n{at}", at % 7, LABELS[at % 3]);
        corpus.add(text.as_bytes(), LABELS[at % 3]).unwrap();
    }
    let options = Options::parse(Algorithm::named(algorithm).unwrap(), options).unwrap();
    let (lexicon, own_terms) = (None, &[][..]);
    let training = Training {
        name: "",
        version: 0,
        options: &options,
        lexicon,
        own_terms,
        seed: 3,
        memory: 1 << 26,
        helpers: None,
        grows: true,
    };
    let base = training.run(&corpus, &corpus.all(), &mut |_, _, _| Ok(())).unwrap().bytes;
    learned(std::slice::from_ref(&base), 9).unwrap_or_else(|| vec![base])
}

/// The parts after a refresh with so many lessons; `None` if it is refused.
fn learned(parts: &[Vec<u8>], lessons: usize) -> Option<Vec<Vec<u8>>> {
    let texts: Vec<String> =
        (0..lessons).map(|at| format!("brandnew{at} w{} lovely{} day", at % 9, at * at)).collect();
    let lesson = |at: usize| Lesson { text: texts[at].as_bytes(), label: LABELS[at % 3] };
    let lessons: Vec<Lesson<'_>> = (0..lessons).map(lesson).collect();
    let deltas: Vec<&[u8]> = parts[1..].iter().map(Vec::as_slice).collect();
    let refreshed = refresh(&parts[0], &deltas, &lessons, &[], &mut |_, _, _| Ok(())).ok()?;
    let part = |part: RefreshedPart| match part {
        RefreshedPart::Kept(at) => parts[at].clone(),
        RefreshedPart::New(bytes) => bytes,
    };
    Some(refreshed.parts?.into_iter().map(part).collect())
}

/// Changes bytes of one part and makes its checksum right: of all but itself in a base, of what follows it in a delta.
fn tamper(part: &mut [u8], base: bool, changes: &[(u16, u8)]) {
    for &(at, byte) in changes {
        // Most changes go to the head, where the lengths and the card are.
        let within = if at % 4 == 0 { part.len() } else { part.len().min(1024) };
        part[usize::from(at) % within] = byte;
    }
    let mut hasher = crc32fast::Hasher::new();
    if base {
        hasher.update(&part[..24]);
        hasher.update(&part[28..]);
        part[24..28].copy_from_slice(&hasher.finalize().to_le_bytes());
    } else {
        hasher.update(&part[20..]);
        part[16..20].copy_from_slice(&hasher.finalize().to_le_bytes());
    }
}

/// Whatever was changed: the model is refused, or it reads, explains and learns, and its probabilities are numbers.
pub fn survive(model: usize, changes: &[(u16, u8)], lessons: usize) {
    let mut parts = MODELS[model % MODELS.len()].clone();
    let (in_base, in_delta) =
        changes.split_at(if parts.len() > 1 { changes.len() / 2 } else { changes.len() });
    let (base, deltas) = parts.split_first_mut().unwrap();
    tamper(base, true, in_base);
    for delta in deltas {
        // A delta names its base by checksum.
        delta[12..16].copy_from_slice(&base[24..28]);
        tamper(delta, false, in_delta);
    }
    let bundled = bundle::write(&parts);
    let (base, deltas) = bundle::read(&bundled).unwrap();
    let Ok(predictor) = Predictor::open_parts(base, &deltas) else { return };
    used(&predictor);
    if let Some(parts) = learned(&parts, lessons) {
        let deltas: Vec<&[u8]> = parts[1..].iter().map(Vec::as_slice).collect();
        if let Ok(predictor) = Predictor::open_parts(&parts[0], &deltas) {
            used(&predictor);
        }
    }
}

fn used(predictor: &Predictor<'_>) {
    let mut scratch = Scratch::default();
    for text in ["good w3 not shared 😀", "brandnew1 lovely16 day", "?"] {
        let text = Text::from(text);
        let finite =
            predictor.read(text, &mut scratch).is_none_or(|r| r.probabilities.iter().all(|p| p.is_finite()));
        assert!(finite);
        predictor.explain(text, &mut scratch);
        predictor.tokens(text, &mut scratch);
    }
}
