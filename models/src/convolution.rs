//! Trains the network whose products the model keeps: a convolution over word vectors (Kim 2014), by Adam (Kingma and Ba
//! 2015) with dropout of words and findings. Single precision in a fixed order: the same bits everywhere.

mod adam;
mod pass;

use crate::random::Random;
use adam::{Adam, Schedule};
use pass::Pass;
use sentiment_core::train::Network;

/// The most classes of a task.
pub const CLASSES: usize = 4;

/// The classes of each task. The tasks share vectors and filters (Collobert and Weston 2008), and the first is the one that
/// the model is for.
pub const TASKS: [usize; 3] = [3, 2, 4];

/// Places of all windows of one, two and three tokens, and the widths themselves.
const PLACES: usize = 6;
const WIDTHS: usize = 3;

/// Tokens of a text that are trained on.
const MOST_TOKENS: usize = 64;

/// Texts between two steps.
const BATCH: usize = 64;

/// What a network is trained by.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Filters of each width.
    pub filters: usize,
    /// Passes over the texts.
    pub epochs: usize,
    /// The first step's size; it falls to 0.
    pub rate: f32,
    /// The share of the words that a pass does not see.
    pub word_dropout: f32,
    /// The share of the findings that a pass does not see.
    pub dropout: f32,
    /// The strength of the penalty on squared weights.
    pub l2: f32,
    /// What chance is drawn from.
    pub seed: u64,
}

/// A labelled text as the network reads it.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Numbers of its tokens' vectors; 0 is the unknown token.
    pub tokens: Vec<u32>,
    /// The shape features.
    pub shape: Vec<f32>,
    /// Which task it is of.
    pub task: usize,
    /// What each class is to have.
    pub target: [f32; CLASSES],
    /// How much it counts: 1 on average.
    pub weight: f32,
}

/// Weights, or their gradient.
#[derive(Clone, Debug)]
struct Weights {
    /// Vectors x dimensions.
    vectors: Vec<f32>,
    /// Dimensions x places x filters.
    filters: Vec<f32>,
    /// Widths x filters.
    bias: Vec<f32>,
    /// One a task.
    heads: Vec<Head>,
}

/// What a task makes of the findings.
#[derive(Clone, Debug)]
struct Head {
    /// Largest findings, then sums, x classes.
    output: Vec<f32>,
    /// Shape features x classes.
    shapes: Vec<f32>,
    /// One a class.
    bias: Vec<f32>,
}

/// A trained network, its parts still apart.
#[derive(Clone, Debug)]
pub struct Convolution {
    weights: Weights,
    dimensions: usize,
    filters: usize,
}

impl Convolution {
    /// Trains a network on some texts, from vectors that know the words' company.
    pub fn train(samples: &[&Sample], vectors: &[f32], dimensions: usize, settings: Settings) -> Self {
        let Settings { filters, epochs, rate, l2, seed, .. } = settings;
        let mut random = Random::new(seed);
        let shapes = samples.first().map_or(0, |sample| sample.shape.len());
        let mut network = Self {
            weights: Weights::drawn(&mut random, vectors, dimensions, filters, shapes),
            dimensions,
            filters,
        };
        let mut adam = Adam::new(&network.weights);
        let mut pass = Pass::new(&network, settings);
        let mut order: Vec<usize> = (0..samples.len()).collect();
        let steps = epochs * samples.len().div_ceil(BATCH);
        let mut step = 0;
        for _ in 0..epochs {
            random.shuffle(&mut order);
            for batch in order.chunks(BATCH) {
                step += 1;
                pass.begin(&network);
                batch.iter().for_each(|&at| pass.learn(&network, samples[at], &mut random));
                let schedule = Schedule::at(step, steps, rate, l2, batch.len());
                adam.step(&mut network.weights, &mut pass, schedule);
            }
        }
        network
    }

    /// The logits of a text.
    pub fn logits(&self, sample: &Sample, pass: &mut Pass) -> [f32; CLASSES] {
        pass.read(self, sample)
    }

    /// A pass for reading.
    pub fn reader(&self) -> Pass {
        let seed = 0;
        let settings = Settings {
            filters: self.filters,
            epochs: 0,
            rate: 0.0,
            word_dropout: 0.0,
            dropout: 0.0,
            l2: 0.0,
            seed,
        };
        let mut pass = Pass::new(self, settings);
        pass.begin(self);
        pass
    }

    /// What the filters make of a vector.
    fn products(&self, number: usize) -> Vec<f32> {
        let wide = PLACES * self.filters;
        let mut products = vec![0.0; wide];
        let vector = &self.weights.vectors[number * self.dimensions..][..self.dimensions];
        for (x, filters) in vector.iter().zip(self.weights.filters.chunks_exact(wide)) {
            products.iter_mut().zip(filters).for_each(|(sum, weight)| *sum += x * weight);
        }
        products
    }
}

/// Some networks side by side as one, whose logits are their mean: network, shape weights and biases. `terms` are the
/// terms of the vectors 1, 2, ...
#[allow(clippy::cast_precision_loss)]
pub fn mean(networks: &[Convolution], terms: &[u64]) -> (Network, Vec<f64>, Vec<f64>) {
    let share = 1.0 / networks.len().max(1) as f32;
    let side_by_side = |parts: Vec<Vec<f32>>, groups: usize| -> Vec<f32> {
        let group = |at: usize| {
            let of = move |part: &Vec<f32>| {
                let long = part.len() / groups;
                part[at * long..(at + 1) * long].to_vec()
            };
            parts.iter().flat_map(of).collect::<Vec<f32>>()
        };
        (0..groups).flat_map(group).collect()
    };
    let heads = || networks.iter().filter_map(|network| network.weights.heads.first());
    let used = TASKS[0];
    let narrow = |weights: &[f32]| -> Vec<f32> {
        weights.chunks_exact(CLASSES).flat_map(|row| row[..used].to_vec()).collect()
    };
    let products = |number: usize| {
        side_by_side(networks.iter().map(|network| network.products(number)).collect(), PLACES)
    };
    let mut output = side_by_side(heads().map(|head| narrow(&head.output)).collect(), 2 * WIDTHS);
    output.iter_mut().for_each(|weight| *weight *= share);
    let network = Network {
        filters: networks.iter().map(|network| network.filters).sum(),
        tokens: terms.iter().zip(1..).map(|(&term, number)| (term, products(number))).collect(),
        unknown: products(0),
        bias: side_by_side(networks.iter().map(|network| network.weights.bias.clone()).collect(), WIDTHS),
        output,
    };
    let shapes: Vec<Vec<f32>> = heads().map(|head| narrow(&head.shapes)).collect();
    let long = shapes.first().map_or(0, Vec::len);
    let shapes = (0..long).map(|at| shapes.iter().map(|shapes| shapes[at]).sum::<f32>() * share);
    let bias = (0..used).map(|at| heads().map(|head| head.bias[at]).sum::<f32>() * share);
    (network, shapes.map(f64::from).collect(), bias.map(f64::from).collect())
}

impl Weights {
    #[allow(clippy::cast_precision_loss)]
    fn drawn(random: &mut Random, vectors: &[f32], dimensions: usize, filters: usize, shapes: usize) -> Self {
        let mut drawn =
            |count: usize, scale: f32| -> Vec<f32> { (0..count).map(|_| random.normal() * scale).collect() };
        let mut weights = drawn(dimensions * PLACES * filters, 1.0);
        // Each place belongs to a window of one, two or three: the sum over a window has variance 1.
        let widths = [1.0_f32, 2.0, 3.0, 2.0, 3.0, 3.0];
        for row in weights.chunks_exact_mut(PLACES * filters) {
            for (place, width) in row.chunks_exact_mut(filters).zip(widths) {
                place.iter_mut().for_each(|weight| *weight /= (width * dimensions as f32).sqrt());
            }
        }
        Self {
            vectors: vectors.to_vec(),
            filters: weights,
            bias: vec![0.0; WIDTHS * filters],
            heads: TASKS
                .iter()
                .map(|_| Head {
                    output: drawn(2 * WIDTHS * filters * CLASSES, 0.05),
                    shapes: vec![0.0; shapes * CLASSES],
                    bias: vec![0.0; CLASSES],
                })
                .collect(),
        }
    }

    /// All zero.
    fn like(other: &Self) -> Self {
        let zero = |list: &Vec<f32>| vec![0.0; list.len()];
        Self {
            vectors: zero(&other.vectors),
            filters: zero(&other.filters),
            bias: zero(&other.bias),
            heads: other
                .heads
                .iter()
                .map(|head| Head {
                    output: zero(&head.output),
                    shapes: zero(&head.shapes),
                    bias: zero(&head.bias),
                })
                .collect(),
        }
    }

    /// The parts beside the vectors; with each, whether large weights cost.
    fn dense(&mut self) -> Vec<(&mut Vec<f32>, bool)> {
        let mut parts = vec![(&mut self.filters, true), (&mut self.bias, false)];
        for head in &mut self.heads {
            parts.extend([(&mut head.output, true), (&mut head.shapes, true), (&mut head.bias, false)]);
        }
        parts
    }
}
