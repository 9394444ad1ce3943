//! Where the solver of logistic regression starts: dual coordinate ascent.
//!
//! Each row has a share of each class, and each weight is the sum of what the rows' shares say. A row after the other is
//! given the shares that are best for it, all others staying (Yu, Huang and Lin 2011; Shalev-Shwartz and Zhang 2013). That
//! reads and writes the terms of one row only, and a dozen times through the rows come as close as a hundred gradients.

use super::cache::fetch;
use super::lbfgs::Outcome;
use super::linear::add_shapes;
use super::rows::{Ahead, Labelled, Sample};
use crate::Result;
use crate::hash;
use crate::shape::SHAPES;
use std::cmp::Ordering;

/// Rows between two looks at whoever watches.
const STRIDE: usize = 64;

/// Steps between two looks where each is short.
const SHORT: usize = 4096;

/// How many rows before a row's turn what is kept of it is asked for.
const COMING: usize = 10;

/// Newton's steps towards a row's best shares. The second one finds nearly all that the first has left.
const NEWTON: usize = 2;

/// How much of the way to where a share is nothing may be gone in a step.
const INSIDE: f64 = 0.9;

/// Rounds after which the solver that begins here goes on alone: so many are not needed where the penalty has any weight.
const ROUNDS: u32 = 40;

/// Rounds in which the shares must come nearer by half.
const PATIENCE: u32 = 4;

/// The gradient is asked for where it may be small enough: it is some times what the rows have left.
const GUESS: f64 = 0.1;

/// Bytes that an ascent holds.
pub(super) fn memory(terms: usize, rows: usize, classes: usize) -> usize {
    terms * 4 * (lanes(classes) + 1) + rows * 4 * (classes + 2)
}

/// The numbers of a term: one for each class and one for its scale.
fn lanes(classes: usize) -> usize {
    match classes {
        ..=3 => 4,
        4..=7 => 8,
        8..=15 => 16,
        16..=31 => 32,
        _ => 72,
    }
}

/// What an ascent is to come to.
pub(super) struct Goal<'g> {
    pub classes: usize,
    pub l2: f64,
    pub row_weights: &'g [f64],
    pub scales: &'g [f64],
    /// The gradient's length where all weights are 0.
    pub first: f64,
    /// How small the gradient is to be beside that.
    pub tolerance: f64,
    /// The most rounds.
    pub rounds: u32,
}

/// What an ascent asks whoever called it.
pub(super) enum Ask<'a> {
    /// The length of the gradient at a point.
    Gradient(&'a [f64]),
    /// Whether to go on.
    Check,
}

/// Goes from weights of 0 to where the gradient is small enough, or as near as a few rounds come.
pub(super) fn approach(
    dataset: &Labelled<'_>,
    goal: &Goal<'_>,
    point: &mut [f64],
    asked: impl FnMut(u32, Ask<'_>) -> Result<f64>,
) -> Result<Outcome> {
    match lanes(goal.classes) {
        4 => approach_in::<4>(dataset, goal, point, asked),
        8 => approach_in::<8>(dataset, goal, point, asked),
        16 => approach_in::<16>(dataset, goal, point, asked),
        32 => approach_in::<32>(dataset, goal, point, asked),
        _ => approach_in::<72>(dataset, goal, point, asked),
    }
}

fn approach_in<const LANES: usize>(
    dataset: &Labelled<'_>,
    goal: &Goal<'_>,
    point: &mut [f64],
    mut asked: impl FnMut(u32, Ask<'_>) -> Result<f64>,
) -> Result<Outcome> {
    let mut ascent = Ascent::<LANES>::new(dataset, goal, &mut || asked(0, Ask::Check).map(drop))?;
    let (mut halved, mut waited) = (f64::INFINITY, 0);
    let most = goal.rounds.min(ROUNDS);
    for round in 1..=most {
        let left = ascent.round(u64::from(round), &mut || asked(round, Ask::Check).map(drop))?;
        let left = left.sqrt() * goal.l2 / goal.first;
        (halved, waited) = if left < 0.5 * halved { (left, 0) } else { (halved, waited + 1) };
        let last = round == most || waited == PATIENCE;
        if last || left <= GUESS * goal.tolerance {
            ascent.point(goal.scales, point);
            let gradient = asked(round, Ask::Gradient(point))?;
            let converged = gradient <= goal.tolerance * goal.first;
            if last && !matches!(gradient.partial_cmp(&goal.first), Some(Ordering::Less)) {
                // Zero is the better start.
                point.fill(0.0);
            }
            if converged || last {
                return Ok(Outcome { iterations: round, converged });
            }
        }
    }
    Ok(Outcome { iterations: 0, converged: false })
}

/// The ascent. A term has one lane for each class and one for the square of its scale.
struct Ascent<'d, const LANES: usize> {
    dataset: &'d Labelled<'d>,
    classes: usize,
    /// What a row of each class weighs, divided by the penalty.
    row_weights: Vec<f64>,
    terms: Vec<[f32; LANES]>,
    shapes: Vec<f64>,
    bias: Vec<f64>,
    /// Rows x classes: the share of each class in a row.
    shares: Vec<f32>,
    /// The square of each row's length as the penalty sees it.
    squares: Vec<f32>,
    order: Vec<u32>,
    ahead: Ahead<'d>,
}

#[allow(
    clippy::cast_possible_truncation,
    reason = "single precision will do: the solver goes on from here in double"
)]
impl<'d, const LANES: usize> Ascent<'d, LANES> {
    fn new(
        dataset: &'d Labelled<'d>,
        goal: &Goal<'_>,
        check: &mut dyn FnMut() -> Result<()>,
    ) -> Result<Self> {
        let Sample { rows, chosen } = dataset.records();
        let classes = goal.classes;
        let with_scale = |scale: &f64| {
            let mut lanes = [0.0; LANES];
            lanes[classes] = (scale * scale) as f32;
            lanes
        };
        let mut terms = Vec::with_capacity(goal.scales.len());
        for scales in goal.scales.chunks(SHORT) {
            check()?;
            terms.extend(scales.iter().map(with_scale));
        }
        let mut shares = vec![0.0; chosen.len() * classes];
        for (shares, &class) in shares.chunks_exact_mut(classes).zip(dataset.targets()) {
            shares[class] = 1.0;
        }
        check()?;
        let shapes = if rows.shapes.is_empty() { 0 } else { SHAPES };
        let mut ascent = Self {
            dataset,
            classes,
            row_weights: goal.row_weights.iter().map(|weight| weight / goal.l2).collect(),
            terms,
            shapes: vec![0.0; shapes * classes],
            bias: vec![0.0; classes],
            shares,
            squares: Vec::new(),
            order: (0..).take(chosen.len()).collect(),
            ahead: Ahead::new(rows),
        };
        ascent.measure(check)?;
        Ok(ascent)
    }

    /// Works out the square of each row's length. A term that stands twice in a row counts four times.
    fn measure(&mut self, check: &mut dyn FnMut() -> Result<()>) -> Result<()> {
        let Sample { rows, chosen } = self.dataset.records();
        let mut counts = vec![0.0_f32; rows.terms];
        self.squares.reserve_exact(chosen.len());
        let row_at = |place: usize| chosen.get(place).copied();
        self.ahead.start(row_at);
        for (place, &at) in chosen.iter().enumerate() {
            if place % STRIDE == 0 {
                check()?;
            }
            self.ahead.step(place, row_at);
            for &id in self.ahead.next() {
                fetch(counts.get(id as usize));
                fetch(self.terms.get(id as usize));
            }
            let mut square = 0.0;
            for &id in self.ahead.now() {
                let count = &mut counts[id as usize];
                square += (2.0 * *count + 1.0) * self.terms[id as usize][self.classes];
                *count += 1.0;
            }
            self.ahead.now().iter().for_each(|&id| counts[id as usize] = 0.0);
            let length = rows.length(at);
            let features = rows.shapes.get(at as usize).into_iter().flatten();
            let dense: f64 = features.map(|feature| feature * feature).sum();
            self.squares.push((f64::from(square) * length * length + dense + 1.0) as f32);
        }
        Ok(())
    }

    /// Goes through all rows once, in an order drawn anew. Returns how far the shares were from what the weights told, as
    /// the gradient's square if rows had nothing in common.
    fn round(&mut self, number: u64, check: &mut dyn FnMut() -> Result<()>) -> Result<f64> {
        self.shuffle(number, check)?;
        let mut residual = 0.0;
        let order = std::mem::take(&mut self.order);
        let chosen = &self.dataset.records().chosen;
        let row_at = |place: usize| order.get(place).map(|&row| chosen[row as usize]);
        self.ahead.start(row_at);
        for (place, &row) in order.iter().enumerate() {
            if place % STRIDE == 0 {
                check()?;
            }
            if let Some(&row) = order.get(place + COMING) {
                self.fetch(row as usize);
            }
            self.ahead.step(place, row_at);
            self.ahead.next().iter().for_each(|&id| fetch(self.terms.get(id as usize)));
            residual += self.row(row as usize);
        }
        self.order = order;
        Ok(residual)
    }

    /// Has what is kept of a row itself brought into the cache.
    fn fetch(&self, row: usize) {
        fetch(self.dataset.records().chosen.get(row));
        fetch(self.dataset.targets().get(row));
        fetch(self.shares.get(row * self.classes));
        fetch(self.squares.get(row));
    }

    fn shuffle(&mut self, number: u64, check: &mut dyn FnMut() -> Result<()>) -> Result<()> {
        let mut state = number;
        for last in (1..self.order.len()).rev() {
            if last % SHORT == 0 {
                check()?;
            }
            state = hash::joint(state, number);
            let other = (u128::from(state) * (last as u128 + 1)) >> 64;
            self.order.swap(last, other as usize);
        }
        Ok(())
    }

    /// Gives one row its best shares.
    fn row(&mut self, row: usize) -> f64 {
        let Sample { rows, chosen } = self.dataset.records();
        let (classes, at) = (self.classes, chosen[row]);
        let class = self.dataset.targets()[row];
        let sums = self.sum();
        let length = rows.length(at);
        let mut logits = [0.0_f64; LANES];
        for ((logit, sum), bias) in logits.iter_mut().zip(&sums).zip(&self.bias) {
            *logit = f64::from(*sum) * length + bias;
        }
        let features = rows.shapes.get(at as usize);
        if let Some(features) = features {
            add_shapes(&mut logits[..classes], features, &self.shapes);
        }
        let shares = &mut self.shares[row * classes..][..classes];
        let weight = self.row_weights[class];
        let mut change = [0.0_f64; LANES];
        let square = f64::from(self.squares[row]);
        let residual = best_shares(&logits[..classes], weight * square, shares, &mut change[..classes]);
        change[..classes].iter_mut().for_each(|change| *change *= weight);
        self.bias.iter_mut().zip(&change).for_each(|(bias, change)| *bias += change);
        for (feature, weights) in features.into_iter().flatten().zip(self.shapes.chunks_exact_mut(classes)) {
            weights.iter_mut().zip(&change).for_each(|(weight, change)| *weight += feature * change);
        }
        let change = change.map(|change| (change * length) as f32);
        for &id in self.ahead.now() {
            let lanes = &mut self.terms[id as usize];
            let scale = lanes[classes];
            lanes.iter_mut().zip(&change).for_each(|(lane, change)| *lane += scale * change);
        }
        residual * weight * weight * square
    }

    /// What the terms of the row weigh together. Two sums at once: neither waits for the other.
    fn sum(&self) -> [f32; LANES] {
        let mut sums = [[0.0_f32; LANES]; 2];
        let add = |sum: &mut [f32; LANES], id: u32| {
            sum.iter_mut().zip(&self.terms[id as usize]).for_each(|(sum, weight)| *sum += weight);
        };
        let (pairs, rest) = self.ahead.now().as_chunks::<2>();
        for pair in pairs {
            add(&mut sums[0], pair[0]);
            add(&mut sums[1], pair[1]);
        }
        rest.iter().for_each(|&id| add(&mut sums[0], id));
        std::array::from_fn(|lane| sums[0][lane] + sums[1][lane])
    }

    /// The weights so far as the solver has them: what is multiplied by a term's scale, then shapes and biases.
    fn point(&self, scales: &[f64], point: &mut [f64]) {
        let classes = self.classes;
        for ((to, from), scale) in point.chunks_exact_mut(classes).zip(&self.terms).zip(scales) {
            to.iter_mut().zip(from).for_each(|(to, from)| *to = f64::from(*from) / scale);
        }
        let dense = self.shapes.iter().chain(&self.bias);
        point[self.terms.len() * classes..].iter_mut().zip(dense).for_each(|(to, from)| *to = *from);
    }
}

/// Solves `shares = softmax(logits + square x (old shares - shares))` by Newton's method; `change` is what the shares lose.
/// Returns the square of how far the old ones were from what the logits told.
#[allow(clippy::cast_possible_truncation)]
fn best_shares(logits: &[f64], square: f64, shares: &mut [f32], change: &mut [f64]) -> f64 {
    let mut told = [0.0_f64; 64];
    let told = &mut told[..logits.len()];
    let mut first = 0.0;
    for step in 0..NEWTON {
        let most = logits.iter().zip(&*change).map(|(l, c)| l + square * c).fold(f64::MIN, f64::max);
        let mut total = 0.0;
        for ((told, logit), change) in told.iter_mut().zip(logits).zip(&*change) {
            *told = f64::from(libm::expf((logit + square * change - most) as f32));
            total += *told;
        }
        // The Jacobian is a diagonal and a product of two vectors: Sherman and Morrison's formula solves it.
        let (mut along, mut rest) = (0.0, 0.0);
        for ((told, share), change) in told.iter_mut().zip(&*shares).zip(&*change) {
            *told /= total;
            let far = *told - (f64::from(*share) - change);
            let slope = 1.0 + square * *told;
            along += *told * far / slope;
            rest += *told / slope;
            if step == 0 {
                first += far * far;
            }
        }
        let factor = square * along / rest;
        let mut most_step = 1.0_f64;
        let by = |told: f64, share: f32, change: f64| {
            (told - (f64::from(share) - change) + factor * told) / (1.0 + square * told)
        };
        for ((told, share), change) in told.iter().zip(&*shares).zip(&*change) {
            let (by, now) = (by(*told, *share, *change), f64::from(*share) - change);
            if by < -INSIDE * now {
                most_step = most_step.min(INSIDE * now / -by);
            }
        }
        for ((told, share), change) in told.iter().zip(&*shares).zip(change.iter_mut()) {
            // Where Newton's step leads out at once, towards what is told: that stays inside, and is never too far.
            *change -= match most_step < 0.1 {
                true => (*told - (f64::from(*share) - *change)) / (1.0 + square / 2.0),
                false => most_step * by(*told, *share, *change),
            };
        }
    }
    for (share, change) in shares.iter_mut().zip(change.iter_mut()) {
        let before = *share;
        *share = (f64::from(before) - *change).clamp(0.0, 1.0) as f32;
        *change = f64::from(before) - f64::from(*share);
    }
    first
}
