//! Limited-memory BFGS with a backtracking line search (Nocedal and Wright 2006, chapter 7).

use crate::Result;
use std::collections::VecDeque;

/// Pairs of steps and gradient changes that are remembered.
const MEMORY: usize = 8;

/// When a minimisation ends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stop {
    pub iterations: u32,
    /// It has converged where the gradient is this small beside the first one.
    pub tolerance: f64,
}

/// How a minimisation ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outcome {
    pub iterations: u32,
    pub converged: bool,
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn add_scaled(to: &mut [f64], factor: f64, from: &[f64]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to += factor * from;
    }
}

struct Pair {
    step: Vec<f64>,
    change: Vec<f64>,
    curvature: f64,
}

/// The direction of descent: minus the inverse Hessian, as the remembered pairs tell it, times the gradient.
fn direction(gradient: &[f64], memory: &VecDeque<Pair>) -> Vec<f64> {
    let mut direction: Vec<f64> = gradient.iter().map(|g| -g).collect();
    let mut factors = Vec::with_capacity(memory.len());
    for pair in memory.iter().rev() {
        let factor = dot(&pair.step, &direction) / pair.curvature;
        add_scaled(&mut direction, -factor, &pair.change);
        factors.push(factor);
    }
    if let Some(last) = memory.back() {
        let scale = last.curvature / dot(&last.change, &last.change);
        direction.iter_mut().for_each(|d| *d *= scale);
    }
    for (pair, factor) in memory.iter().zip(factors.iter().rev()) {
        let correction = factor - dot(&pair.change, &direction) / pair.curvature;
        add_scaled(&mut direction, correction, &pair.step);
    }
    direction
}

/// Minimises a smooth convex function from `point` on. `evaluate` returns the value at a point and fills in its
/// gradient; its error ends the work.
pub(crate) fn minimise(
    point: &mut Vec<f64>,
    stop: Stop,
    mut evaluate: impl FnMut(&[f64], &mut [f64]) -> Result<f64>,
) -> Result<Outcome> {
    let mut gradient = vec![0.0; point.len()];
    let mut value = evaluate(point, &mut gradient)?;
    let small = stop.tolerance * dot(&gradient, &gradient).sqrt();
    let mut memory: VecDeque<Pair> = VecDeque::with_capacity(MEMORY + 1);
    for iteration in 1..=stop.iterations {
        let direction = direction(&gradient, &memory);
        let slope = dot(&direction, &gradient);
        let mut length =
            if memory.is_empty() { 1.0 / dot(&gradient, &gradient).sqrt().max(1e-12) } else { 1.0 };
        let mut next = vec![0.0; point.len()];
        let mut next_gradient = vec![0.0; point.len()];
        let next_value = loop {
            next.copy_from_slice(point);
            add_scaled(&mut next, length, &direction);
            let value_there = evaluate(&next, &mut next_gradient)?;
            // Armijo's condition; a convex function meets it for a small enough step.
            if value_there <= value + 1e-4 * length * slope {
                break value_there;
            }
            length *= 0.5;
            if length < 1e-12 {
                return Ok(Outcome { iterations: iteration, converged: true });
            }
        };
        let step: Vec<f64> = next.iter().zip(point.iter()).map(|(a, b)| a - b).collect();
        let change: Vec<f64> = next_gradient.iter().zip(&gradient).map(|(a, b)| a - b).collect();
        let curvature = dot(&step, &change);
        if curvature > 1e-12 * dot(&change, &change) {
            memory.push_back(Pair { step, change, curvature });
            if memory.len() > MEMORY {
                memory.pop_front();
            }
        }
        *point = next;
        gradient = next_gradient;
        value = next_value;
        if dot(&gradient, &gradient).sqrt() <= small {
            return Ok(Outcome { iterations: iteration, converged: true });
        }
    }
    Ok(Outcome { iterations: stop.iterations, converged: false })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_minimum_of_a_bowl() {
        // sum over i of (i + 1) (x_i - i)^2
        let mut point = vec![7.0; 20];
        let stop = Stop { iterations: 200, tolerance: 1e-9 };
        let outcome = minimise(&mut point, stop, |x, gradient| {
            let mut value = 0.0;
            for (i, (x, g)) in (0u32..).zip(x.iter().zip(gradient)) {
                let (i, weight) = (f64::from(i), f64::from(i + 1));
                value += weight * (x - i) * (x - i);
                *g = 2.0 * weight * (x - i);
            }
            Ok(value)
        });
        assert!(outcome.unwrap().converged);
        for (i, x) in point.iter().enumerate() {
            assert!((x - i as f64).abs() < 1e-4, "x{i} = {x}");
        }
    }
}
