//! Adam (Kingma and Ba 2015). All vectors go on moving for a while after a text with their token: so those of rare words
//! come far enough.

use super::Weights;
use super::pass::Pass;

/// How fast means of gradients and of their squares forget.
const MEAN: f32 = 0.9;
const SQUARE: f32 = 0.999;

/// What one step goes by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Schedule {
    rate: f32,
    /// Corrections of the means, which begin at 0.
    mean: f32,
    square: f32,
    l2: f32,
    /// 1 over the texts of the batch.
    share: f32,
}

impl Schedule {
    /// Of a step, the first being 1.
    #[allow(clippy::cast_precision_loss)]
    pub fn at(step: usize, steps: usize, rate: f32, l2: f32, batch: usize) -> Self {
        let left = 1.0 - step as f32 / (steps + 1) as f32;
        let correction = |kept: f32| 1.0 - libm::powf(kept, step as f32);
        Self {
            rate: rate * left,
            mean: correction(MEAN),
            square: correction(SQUARE),
            l2,
            share: 1.0 / batch as f32,
        }
    }
}

/// Means of the gradients and of their squares.
pub(super) struct Adam {
    means: Weights,
    squares: Weights,
}

impl Adam {
    pub fn new(weights: &Weights) -> Self {
        Self { means: Weights::like(weights), squares: Weights::like(weights) }
    }

    /// Moves the weights against the gradient of a pass.
    pub fn step(&mut self, weights: &mut Weights, pass: &mut Pass, schedule: Schedule) {
        let gradient = pass.gradient();
        let states = self.means.dense().into_iter().zip(self.squares.dense());
        for (((weights, costs), (gradient, _)), ((means, _), (squares, _))) in
            weights.dense().into_iter().zip(gradient.dense()).zip(states)
        {
            let l2 = if costs { 2.0 * schedule.l2 } else { 0.0 };
            move_all(weights, gradient, (means, squares), l2, schedule);
        }
        let state = (&mut self.means.vectors[..], &mut self.squares.vectors[..]);
        move_all(&mut weights.vectors, &gradient.vectors, state, 0.0, schedule);
    }
}

fn move_all(
    weights: &mut [f32],
    gradient: &[f32],
    (means, squares): (&mut [f32], &mut [f32]),
    l2: f32,
    schedule: Schedule,
) {
    for ((weight, gradient), (mean, square)) in
        weights.iter_mut().zip(gradient).zip(means.iter_mut().zip(squares))
    {
        let gradient = gradient * schedule.share + l2 * *weight;
        *mean = MEAN * *mean + (1.0 - MEAN) * gradient;
        *square = SQUARE * *square + (1.0 - SQUARE) * gradient * gradient;
        let root = (*square / schedule.square).sqrt() + 1e-8;
        *weight -= schedule.rate * (*mean / schedule.mean) / root;
    }
}
