//! Forward and backward through a network, text by text.

use super::{CLASSES, Convolution, MOST_TOKENS, PLACES, Sample, Settings, TASKS, WIDTHS, Weights};
use crate::random::Random;

/// Buffers of one pass, and the gradient of a batch.
#[derive(Debug)]
pub struct Pass {
    settings: Settings,
    dimensions: usize,
    gradient: Weights,
    /// Vectors that the batch's texts use, each once.
    touched: Vec<u32>,
    is_touched: Vec<bool>,
    /// The filters, turned: places x filters, then dimensions.
    turned: Vec<f32>,
    /// Which tokens are seen.
    seen: Vec<bool>,
    /// Tokens x places x filters, and its gradient.
    products: Vec<f32>,
    errors: Vec<f32>,
    /// Tokens x widths x filters, not below 0.
    found: Vec<f32>,
    /// Where each filter found the most.
    places: Vec<usize>,
    pooled: Vec<f32>,
    /// What dropout multiplies the pooled findings by.
    mask: Vec<f32>,
}

impl Pass {
    pub(super) fn new(network: &Convolution, settings: Settings) -> Self {
        Self {
            settings,
            dimensions: network.dimensions,
            gradient: Weights::like(&network.weights),
            touched: Vec::new(),
            is_touched: vec![false; network.weights.vectors.len() / network.dimensions],
            turned: vec![0.0; network.weights.filters.len()],
            seen: Vec::new(),
            products: Vec::new(),
            errors: Vec::new(),
            found: Vec::new(),
            places: Vec::new(),
            pooled: Vec::new(),
            mask: Vec::new(),
        }
    }

    /// Begins a batch.
    pub(super) fn begin(&mut self, network: &Convolution) {
        for &number in &self.touched {
            self.gradient.vectors[number as usize * self.dimensions..][..self.dimensions].fill(0.0);
            self.is_touched[number as usize] = false;
        }
        self.touched.clear();
        for (part, _) in self.gradient.dense() {
            part.fill(0.0);
        }
        let wide = PLACES * self.settings.filters;
        for (at, row) in network.weights.filters.chunks_exact(wide).enumerate() {
            row.iter()
                .enumerate()
                .for_each(|(filter, weight)| self.turned[filter * self.dimensions + at] = *weight);
        }
    }

    /// The batch's gradient.
    pub(super) fn gradient(&mut self) -> &mut Weights {
        &mut self.gradient
    }

    /// The logits of a text, all of which is seen.
    pub(super) fn read(&mut self, network: &Convolution, sample: &Sample) -> [f32; CLASSES] {
        let tokens = sample.tokens.len().min(MOST_TOKENS);
        self.seen.clear();
        self.seen.resize(tokens, true);
        self.mask.clear();
        self.mask.resize(2 * WIDTHS * self.settings.filters, 1.0);
        self.forward(network, sample)
    }

    /// Adds what a text says of the weights, some of it hidden.
    pub(super) fn learn(&mut self, network: &Convolution, sample: &Sample, random: &mut Random) {
        let tokens = sample.tokens.len().min(MOST_TOKENS);
        let Settings { word_dropout, dropout, filters, .. } = self.settings;
        self.seen.clear();
        self.seen.extend((0..tokens).map(|_| random.fraction() >= word_dropout));
        self.mask.clear();
        let kept = 1.0 / (1.0 - dropout);
        let drawn = |_| if random.fraction() < dropout { 0.0 } else { kept };
        self.mask.extend((0..2 * WIDTHS * filters).map(drawn));
        let mut errors = self.forward(network, sample);
        softmax(&mut errors[..TASKS[sample.task]]);
        errors[TASKS[sample.task]..].fill(0.0);
        for (error, target) in errors.iter_mut().zip(sample.target) {
            *error = (*error - target) * sample.weight;
        }
        self.backward(network, sample, errors);
    }

    /// What sums are scaled by.
    #[allow(clippy::cast_precision_loss)]
    fn length(&self) -> f32 {
        1.0 / (self.seen.iter().filter(|seen| **seen).count().max(1) as f32).sqrt()
    }

    fn forward(&mut self, network: &Convolution, sample: &Sample) -> [f32; CLASSES] {
        let filters = self.settings.filters;
        let (wide, all) = (PLACES * filters, WIDTHS * filters);
        self.multiply(network, sample);
        self.found.clear();
        self.found.resize(self.seen.len() * all, 0.0);
        self.pooled.clear();
        self.pooled.resize(2 * all, 0.0);
        self.places.clear();
        self.places.resize(all, usize::MAX);
        let (largest, sums) = self.pooled.split_at_mut(all);
        let length = 1.0 / (self.seen.iter().filter(|seen| **seen).count().max(1) as f32).sqrt();
        for (at, found) in self.found.chunks_exact_mut(all).enumerate().filter(|(at, _)| self.seen[*at]) {
            found.copy_from_slice(&network.weights.bias);
            add(found, &self.products[at * wide..][..3 * filters]);
            if at >= 1 {
                add(&mut found[filters..], &self.products[(at - 1) * wide + 3 * filters..][..2 * filters]);
            }
            if at >= 2 {
                add(&mut found[2 * filters..], &self.products[(at - 2) * wide + 5 * filters..][..filters]);
            }
            for (filter, found) in found.iter_mut().enumerate() {
                *found = found.max(0.0);
                sums[filter] += *found * length;
                if *found > largest[filter] {
                    largest[filter] = *found;
                    self.places[filter] = at;
                }
            }
        }
        self.pooled.iter_mut().zip(&self.mask).for_each(|(pooled, mask)| *pooled *= mask);
        let mut logits = [0.0; CLASSES];
        let head = &network.weights.heads[sample.task];
        logits.copy_from_slice(&head.bias);
        add_products(&mut logits, &self.pooled, &head.output);
        add_products(&mut logits, &sample.shape, &head.shapes);
        logits
    }

    /// What the filters make of each token.
    fn multiply(&mut self, network: &Convolution, sample: &Sample) {
        let wide = PLACES * self.settings.filters;
        self.products.clear();
        self.products.resize(self.seen.len() * wide, 0.0);
        for ((to, &number), _) in
            self.products.chunks_exact_mut(wide).zip(&sample.tokens).zip(&self.seen).filter(|part| *part.1)
        {
            let vector = &network.weights.vectors[number as usize * self.dimensions..][..self.dimensions];
            for (x, filters) in vector.iter().zip(network.weights.filters.chunks_exact(wide)) {
                to.iter_mut().zip(filters).for_each(|(sum, weight)| *sum += x * weight);
            }
        }
    }

    fn backward(&mut self, network: &Convolution, sample: &Sample, errors: [f32; CLASSES]) {
        let filters = self.settings.filters;
        let (wide, all) = (PLACES * filters, WIDTHS * filters);
        let length = self.length();
        let gradient = &mut self.gradient.heads[sample.task];
        add(&mut gradient.bias, &errors);
        outer(&mut gradient.shapes, &sample.shape, &errors);
        outer(&mut gradient.output, &self.pooled, &errors);
        let output = &network.weights.heads[sample.task].output;
        let of_pooled = |at: usize| {
            let weights = &output[at * CLASSES..][..CLASSES];
            weights.iter().zip(&errors).map(|(weight, error)| weight * error).sum::<f32>() * self.mask[at]
        };
        let of_pooled: Vec<f32> = (0..2 * all).map(of_pooled).collect();
        self.errors.clear();
        self.errors.resize(self.seen.len() * wide, 0.0);
        for at in (0..self.seen.len()).filter(|&at| self.seen[at]) {
            for filter in (0..all).filter(|filter| self.found[at * all + filter] > 0.0) {
                let of_largest = if self.places[filter] == at { of_pooled[filter] } else { 0.0 };
                let error = of_pooled[all + filter] * length + of_largest;
                self.gradient.bias[filter] += error;
                self.errors[at * wide + filter] += error;
                if at >= 1 && filter >= filters {
                    self.errors[(at - 1) * wide + 2 * filters + filter] += error;
                }
                if at >= 2 && filter >= 2 * filters {
                    self.errors[(at - 2) * wide + 3 * filters + filter] += error;
                }
            }
        }
        self.spread(network, sample);
    }

    /// Hands the products' errors on to filters and vectors.
    fn spread(&mut self, network: &Convolution, sample: &Sample) {
        let wide = PLACES * self.settings.filters;
        for ((errors, &number), _) in
            self.errors.chunks_exact(wide).zip(&sample.tokens).zip(&self.seen).filter(|part| *part.1)
        {
            let range = number as usize * self.dimensions..(number as usize + 1) * self.dimensions;
            let vector = &network.weights.vectors[range.clone()];
            for (x, gradient) in vector.iter().zip(self.gradient.filters.chunks_exact_mut(wide)) {
                gradient.iter_mut().zip(errors).for_each(|(sum, error)| *sum += x * error);
            }
            if !std::mem::replace(&mut self.is_touched[number as usize], true) {
                self.touched.push(number);
            }
            let gradient = &mut self.gradient.vectors[range];
            for (error, turned) in errors.iter().zip(self.turned.chunks_exact(self.dimensions)) {
                if *error != 0.0 {
                    gradient.iter_mut().zip(turned).for_each(|(sum, weight)| *sum += error * weight);
                }
            }
        }
    }
}

fn add(to: &mut [f32], from: &[f32]) {
    to.iter_mut().zip(from).for_each(|(to, from)| *to += from);
}

/// Adds `factors` times the rows of `weights`.
fn add_products(logits: &mut [f32; CLASSES], factors: &[f32], weights: &[f32]) {
    for (factor, weights) in factors.iter().zip(weights.chunks_exact(CLASSES)) {
        logits.iter_mut().zip(weights).for_each(|(logit, weight)| *logit += factor * weight);
    }
}

/// Adds each factor times the errors.
fn outer(to: &mut [f32], factors: &[f32], errors: &[f32]) {
    for (factor, to) in factors.iter().zip(to.chunks_exact_mut(CLASSES)) {
        to.iter_mut().zip(errors).for_each(|(to, error)| *to += factor * error);
    }
}

/// Turns logits into probabilities.
fn softmax(logits: &mut [f32]) {
    let highest = logits.iter().copied().fold(f32::MIN, f32::max);
    logits.iter_mut().for_each(|logit| *logit = libm::expf(*logit - highest));
    let total: f32 = logits.iter().sum();
    logits.iter_mut().for_each(|logit| *logit /= total);
}
