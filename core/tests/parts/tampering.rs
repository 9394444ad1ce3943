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
    let refreshed = refresh(&parts[0], &deltas, &lessons, Some(&[]), &mut |_, _, _| Ok(())).ok()?;
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
    if base {
        seal(part);
    } else {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&part[20..]);
        part[16..20].copy_from_slice(&hasher.finalize().to_le_bytes());
    }
}

/// Makes a base's checksum right.
fn seal(base: &mut [u8]) {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&base[..24]);
    hasher.update(&base[28..]);
    base[24..28].copy_from_slice(&hasher.finalize().to_le_bytes());
}

/// A base up to its table, or up to what follows that; its length, buckets and what follows are what is put behind.
fn rebuilt(base: &[u8], head: usize, buckets: Option<usize>, rest: &[u8], tail: usize) -> Vec<u8> {
    let mut bytes = [&base[..head], rest].concat();
    let length = bytes.len() as u64;
    bytes[16..24].copy_from_slice(&length.to_le_bytes());
    if let Some(buckets) = buckets {
        bytes[32..36].copy_from_slice(&u32::try_from(buckets).unwrap().to_le_bytes());
    }
    bytes[40..48].copy_from_slice(&(tail as u64).to_le_bytes());
    bytes[52..56].fill(0);
    seal(&mut bytes);
    bytes
}

fn number(bytes: &[u8], at: usize) -> usize {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize
}

fn refused(bytes: &[u8]) -> String {
    Predictor::open(bytes).unwrap_err().message().to_owned()
}

/// A table without a free slot is searched to its end for each unknown word.
#[test]
fn a_table_that_is_too_full_is_refused() {
    let linear = &MODELS[4][0];
    let table = 64 + number(linear, 28).next_multiple_of(64);
    let full = |buckets: usize, free: usize| {
        let mut table_bytes = vec![1; 64 * buckets];
        (0..buckets).step_by(free).for_each(|bucket| table_bytes[64 * bucket + 28..][..4].fill(0));
        rebuilt(linear, table, Some(buckets), &table_bytes, 0)
    };
    assert!(Predictor::open(&full(4000, 900)).is_ok());
    assert!(refused(&full(4000, 2000)).contains("too full"));
    // The last bucket goes on in the first: free are the numbers 300 and 1000 of 1700.
    let mut around = vec![1; 64 * 1700];
    [300, 1000].iter().for_each(|bucket| around[64 * bucket + 28..][..4].fill(0));
    assert!(Predictor::open(&rebuilt(linear, table, Some(1700), &around, 0)).is_ok());
    around[64 * 1000 + 28..][..4].fill(1);
    assert!(refused(&rebuilt(linear, table, Some(1700), &around, 0)).contains("too full"));
}

/// Trees that share nodes would be walked as often as there are roots, however large the whole.
#[test]
fn trees_that_share_nodes_are_refused() {
    let forest = &MODELS[5][0];
    let tail = number(forest, 40);
    let start = forest.len() - tail;
    assert_eq!(number(forest, start), 3, "trees");
    let with_roots = |roots: [u32; 3]| {
        let mut rest = forest[start..].to_vec();
        for (at, root) in roots.iter().enumerate() {
            rest[16 + 4 * at..][..4].copy_from_slice(&root.to_le_bytes());
        }
        rebuilt(forest, start, None, &rest, tail)
    };
    let roots = [0, 1, 2].map(|at| u32::try_from(number(forest, start + 16 + 4 * at)).unwrap());
    assert!(Predictor::open(&with_roots(roots)).is_ok());
    for wrong in [[0, 0, 0], [roots[0], roots[2], roots[1]], [roots[0], roots[1], roots[1]], [0, 1, 2]] {
        Predictor::open(&with_roots(wrong)).unwrap_err();
    }
}

/// Two classes of one name would be told apart by their numbers alone.
#[test]
fn labels_have_to_be_distinct() {
    let base = &MODELS[0][0];
    let labels = base.windows(15).position(|bytes| bytes == b"\x03bad\x04good\x05so so").unwrap();
    let renamed = |names: &[u8; 15]| {
        let mut base = base.clone();
        base[labels..labels + 15].copy_from_slice(names);
        seal(&mut base);
        base
    };
    for right in [b"\x04good\x04fair\x04poor", b"\x00\x06goodly\x06poorly"] {
        assert!(Predictor::open(&renamed(right)).is_ok());
    }
    assert!(refused(&renamed(b"\x04good\x04fair\x04good")).contains("distinct"));
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
