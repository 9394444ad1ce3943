//! What a network says, in each way that it was ever written, against the definition.

use super::*;
use crate::Result;
use crate::hash;
use crate::model::{EntryDraft, TableWriter};
use crate::text::{Text, Tokenized};

/// Two filters a width, two classes: tokens `a` and `b` and the rest.
fn network() -> Network {
    let products = |seed: f32| (0..12u8).map(|at| libm::sinf(seed + f32::from(at))).collect::<Vec<f32>>();
    let known = ["a", "b"].into_iter().zip([0.3, 5.0]);
    Network {
        filters: 2,
        tokens: known.map(|(form, seed)| (hash::token(form.as_bytes()), products(seed))).collect(),
        unknown: products(9.0),
        bias: vec![0.1, -0.2, 0.0, 0.3, -0.1, 0.05],
        output: (0..24u8).map(|at| libm::cosf(f32::from(at))).collect(),
    }
}

/// The same by the definition.
fn by_definition(network: &Network, text: &[&str], length: f32) -> Vec<f32> {
    let products = |at: usize| {
        let hash = hash::token(text[at].as_bytes());
        let known = network.tokens.iter().find(|token| token.0 == hash);
        known.map_or(&network.unknown, |token| &token.1)
    };
    let mut logits = vec![0.0; 2];
    for filter in 0..6 {
        let (width, at) = (filter / 2, filter % 2);
        let windows = (0..text.len()).map(|last| {
            let mut sum = network.bias[filter] + products(last)[filter];
            if width >= 1 && last >= 1 {
                sum += products(last - 1)[6 + 2 * (width - 1) + at];
            }
            if width >= 2 && last >= 2 {
                sum += products(last - 2)[10 + at];
            }
            sum.max(0.0)
        });
        let windows: Vec<f32> = windows.collect();
        let largest = windows.iter().copied().fold(0.0, f32::max);
        let sum = windows.iter().sum::<f32>() * length;
        for (class, logit) in logits.iter_mut().enumerate() {
            *logit += largest * network.output[filter * 2 + class];
            *logit += sum * network.output[12 + filter * 2 + class];
        }
    }
    logits
}

/// A table of two classes which knows a word that the network knows, and another.
fn linear() -> (Vec<u8>, usize) {
    let mut table = TableWriter::new(2, 2);
    for form in ["b", "z"] {
        let hash = hash::token(form.as_bytes());
        table.put(&EntryDraft { hash, weights: vec![5, -7], ..EntryDraft::default() });
    }
    table.finish()
}

/// Reads texts by a view, and holds what it says and explains against the definition.
fn reads(view: &NetworkView<'_>, linear: &Table<'_>) {
    let network = network();
    let (mut text, mut buffers) = (Tokenized::default(), Buffers::default());
    for words in [&["a"][..], &["b", "c"], &["a", "b", "a", "a"], &["c", "b", "a", "d", "b", "a"]] {
        text.read(&Text::from(words.join(" ").as_str()));
        let mut logits = vec![0.0; 2];
        view.locate(linear, text.tokens(), &mut buffers);
        view.pool(&mut buffers);
        view.add_to(&mut logits, 0.7, &mut buffers);
        for (logit, wanted) in logits.iter().zip(by_definition(&network, words, 0.7)) {
            assert!((logit - f64::from(wanted)).abs() < 0.15, "{words:?}: {logit} is not {wanted}");
        }
        view.explain(0.7, &mut buffers, |(first, last), given| {
            assert!(first <= last && last < words.len());
            logits.iter_mut().zip(given).for_each(|(logit, given)| *logit -= given);
        });
        assert!(logits.iter().all(|rest| rest.abs() < 1e-9), "{logits:?} is not explained");
    }
}

#[test]
fn it_reads_as_it_was_defined_and_explains_all_of_it() {
    let (linear, buckets) = linear();
    let (linear, bytes) = network().write(&Table::new(&linear, buckets, 2).unwrap()).unwrap();
    let linear = Table::new(&linear, buckets, 2).unwrap();
    reads(&NetworkView::new(&bytes, 2, &linear).unwrap(), &linear);
    // What only the network has a record of stays unknown to the linear part.
    let known = |form: &str| linear.get(hash::token(form.as_bytes())).is_some();
    assert_eq!(["a", "b", "z", "c"].map(known), [false, true, true, false]);
}

/// The bytes as version 0.1.0 wrote them: a table of the network's own in place of numbers and records.
fn written_before(network: &Network) -> Vec<u8> {
    let (_, bytes) = network.write(&Table::new(&[0; 64], 1, 3).unwrap()).unwrap();
    let unit = f64::from_le_bytes(bytes[8..16].try_into().unwrap());
    #[allow(clippy::cast_possible_truncation)]
    let weights =
        |products: &[f32]| products.iter().map(|weight| (f64::from(*weight) / unit).round() as i32).collect();
    let draft =
        |hash, products: &[f32]| EntryDraft { hash, weights: weights(products), ..EntryDraft::default() };
    let mut table = TableWriter::new(network.tokens.len(), PLACES * network.filters);
    network.tokens.iter().for_each(|(hash, products)| {
        table.put(&draft(*hash, products));
    });
    let (table, buckets) = table.finish();
    let mut before =
        [network.filters, buckets].map(|number| u32::try_from(number).unwrap().to_le_bytes()).concat();
    before.extend(&bytes[8..16 + 4 * network.bias.len() + 8 * network.output.len()]);
    before.extend(model::record(&draft(0, &network.unknown)));
    before.resize(before.len().next_multiple_of(LINE), 0);
    [before, table].concat()
}

#[test]
fn a_network_of_version_0_1_0_is_read() {
    let bytes = written_before(&network());
    let (linear, buckets) = linear();
    let linear = Table::new(&linear, buckets, 2).unwrap();
    reads(&NetworkView::new(&bytes, 2, &linear).unwrap(), &linear);
}

#[test]
fn bytes_that_are_no_network_are_refused() -> Result<()> {
    let (linear, buckets) = linear();
    let linear = Table::new(&linear, buckets, 2).unwrap();
    for bytes in [network().write(&linear)?.1, written_before(&network())] {
        assert!(NetworkView::new(&bytes, 3, &linear).is_none());
        assert!((0..bytes.len()).all(|length| NetworkView::new(&bytes[..length], 2, &linear).is_none()));
        for (at, value) in [(0, 0), (3, 0x80), (4, 99), (15, 0x7f), (18, 0x40)] {
            let mut bytes = bytes.clone();
            bytes[at] = value;
            assert!(NetworkView::new(&bytes, 2, &linear).is_none(), "byte {at}");
        }
    }
    Ok(())
}
