//! Word vectors from company: the truncated singular value decomposition of positive pointwise mutual information (Levy,
//! Goldberg and Dagan 2015). No labels are in them.

use crate::eigen;
use crate::random::Random;
use std::collections::{BTreeMap, HashMap};

/// The reach of a word's company, in tokens; nearer ones count for more.
const WINDOW: usize = 5;

/// The fewest occurrences of a term.
const LEAST: u32 = 5;

/// Contexts are smoothed by this exponent.
const SMOOTHING: f64 = 0.75;

/// Iterations of the subspace (Halko, Martinsson and Tropp 2011), and columns beyond those that are wanted.
const ITERATIONS: usize = 4;
const SPARE: usize = 10;

/// The length of every vector, over the root of its dimensions.
const LENGTH: f64 = 0.3;

/// A vector a term.
#[derive(Debug)]
pub struct Embeddings {
    /// The number of each term.
    pub numbers: HashMap<u64, u32>,
    /// The vectors, one after another.
    pub vectors: Vec<f32>,
}

/// A sparse symmetric matrix.
struct Matrix {
    ends: Vec<usize>,
    columns: Vec<u32>,
    values: Vec<f32>,
}

impl Embeddings {
    /// Of the terms of some texts.
    pub fn new<'t>(texts: impl Iterator<Item = &'t [u64]> + Clone, dimensions: usize) -> Self {
        let mut counts: BTreeMap<u64, u32> = BTreeMap::new();
        texts.clone().flatten().for_each(|&term| *counts.entry(term).or_default() += 1);
        let kept = counts.into_iter().filter(|(_, count)| *count >= LEAST).map(|(term, _)| term);
        let numbers: HashMap<u64, u32> = kept.zip(0..).collect();
        let matrix = Matrix::of_information(company(texts, &numbers), numbers.len());
        let vectors = matrix.vectors(dimensions);
        Self { numbers, vectors }
    }
}

/// Pairs of terms that stand near each other, the lower number first, with the sum of 1 / distance.
fn company<'t>(texts: impl Iterator<Item = &'t [u64]>, numbers: &HashMap<u64, u32>) -> Vec<(u32, u32, f32)> {
    let mut met: Vec<(u32, u32, u8)> = Vec::new();
    let mut known: Vec<Option<u32>> = Vec::new();
    for text in texts {
        known.clear();
        known.extend(text.iter().map(|term| numbers.get(term).copied()));
        for (at, one) in known.iter().enumerate() {
            for (distance, other) in (1..).zip(&known[at + 1..known.len().min(at + 1 + WINDOW)]) {
                if let (Some(one), Some(other)) = (one, other) {
                    met.push((*one.min(other), *one.max(other), distance));
                }
            }
        }
    }
    met.sort_unstable();
    let mut pairs: Vec<(u32, u32, f32)> = Vec::new();
    for (one, other, distance) in met {
        let weight = 1.0 / f32::from(distance);
        match pairs.last_mut() {
            Some(last) if (last.0, last.1) == (one, other) => last.2 += weight,
            _ => pairs.push((one, other, weight)),
        }
    }
    pairs
}

impl Matrix {
    /// What pairs say beyond what their terms' frequencies do.
    #[allow(clippy::cast_possible_truncation)]
    fn of_information(pairs: Vec<(u32, u32, f32)>, terms: usize) -> Self {
        let mut entries = Vec::with_capacity(2 * pairs.len());
        for (one, other, weight) in pairs {
            // A term that meets itself does so from both sides.
            entries.push((one, other, if one == other { 2.0 * weight } else { weight }));
            if one != other {
                entries.push((other, one, weight));
            }
        }
        entries.sort_unstable_by_key(|entry| (entry.0, entry.1));
        let mut sums = vec![0.0_f64; terms];
        entries.iter().for_each(|entry| sums[entry.0 as usize] += f64::from(entry.2));
        let mut contexts: Vec<f64> = sums.iter().map(|sum| libm::pow(*sum, SMOOTHING)).collect();
        let total: f64 = contexts.iter().sum();
        contexts.iter_mut().for_each(|context| *context /= total);
        let mut matrix = Self { ends: vec![0; terms], columns: Vec::new(), values: Vec::new() };
        for (row, column, weight) in entries {
            let expected = sums[row as usize] * contexts[column as usize];
            let information = libm::log(f64::from(weight) / expected);
            if information > 0.0 {
                matrix.columns.push(column);
                matrix.values.push(information as f32);
            }
            matrix.ends[row as usize] = matrix.columns.len();
        }
        // Rows without an entry end where the one before does.
        for row in 1..terms {
            matrix.ends[row] = matrix.ends[row].max(matrix.ends[row - 1]);
        }
        matrix
    }

    /// Times a dense matrix of `wide` columns.
    fn times(&self, dense: &[f64], wide: usize) -> Vec<f64> {
        let mut product = vec![0.0; dense.len()];
        let mut start = 0;
        for (to, &end) in product.chunks_exact_mut(wide).zip(&self.ends) {
            for (&column, &value) in self.columns[start..end].iter().zip(&self.values[start..end]) {
                let from = &dense[column as usize * wide..][..wide];
                to.iter_mut().zip(from).for_each(|(to, from)| *to += f64::from(value) * from);
            }
            start = end;
        }
        product
    }

    /// The rows of the singular vectors, weighted by the root of their values, brought to one length.
    #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
    fn vectors(&self, dimensions: usize) -> Vec<f32> {
        let wide = dimensions + SPARE;
        let mut random = Random::new(1);
        let mut basis: Vec<f64> = (0..self.ends.len() * wide).map(|_| f64::from(random.normal())).collect();
        for _ in 0..ITERATIONS {
            basis = self.times(&basis, wide);
            eigen::orthonormalise(&mut basis, wide);
        }
        let inner = eigen::gram(&basis, &self.times(&basis, wide), wide);
        let (values, directions) = eigen::symmetric(inner, wide);
        let mut order: Vec<usize> = (0..wide).collect();
        order.sort_by(|&a, &b| values[b].abs().total_cmp(&values[a].abs()));
        let mut vectors = Vec::with_capacity(self.ends.len() * dimensions);
        let mut vector = vec![0.0; dimensions];
        for row in basis.chunks_exact(wide) {
            for (to, &at) in vector.iter_mut().zip(&order) {
                let sum: f64 = (0..wide).map(|k| row[k] * directions[k * wide + at]).sum();
                *to = sum * values[at].abs().sqrt();
            }
            let length = vector.iter().map(|x| x * x).sum::<f64>().sqrt().max(1e-12);
            let factor = LENGTH * (dimensions as f64).sqrt() / length;
            vectors.extend(vector.iter().map(|x| (x * factor) as f32));
        }
        vectors
    }
}
