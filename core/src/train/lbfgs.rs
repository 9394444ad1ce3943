//! Limited-memory BFGS with a backtracking line search (Nocedal and Wright 2006, chapter 7), and its orthant-wise form
//! for a penalty on absolute values (Andrew and Gao 2007).

use crate::Result;
use std::collections::VecDeque;

/// Pairs of steps and gradient changes that are remembered.
const MEMORY: usize = 5;

/// Bytes that a minimisation holds at most, a variable.
pub(crate) const BYTES: usize = 5 * 8 + 2 * MEMORY * 4;

/// When a minimisation ends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stop {
    pub iterations: u32,
    /// It has converged where the gradient is this small beside the first one.
    pub tolerance: f64,
    /// The length of the gradient that counts as the first, where it is not that of the point to start from.
    pub first: Option<f64>,
}

/// How a minimisation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub iterations: u32,
    pub converged: bool,
}

/// A penalty on absolute values: `strength` times the sum over the first `variables`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Absolute {
    pub strength: f64,
    pub variables: usize,
}

impl Absolute {
    fn value(self, point: &[f64]) -> f64 {
        if self.strength == 0.0 {
            return 0.0;
        }
        self.strength * point[..self.variables].iter().map(|x| x.abs()).sum::<f64>()
    }

    /// The steepest of the directions that the gradient may have where the penalty has a kink.
    fn pseudo_gradient(self, point: &[f64], gradient: &mut [f64]) {
        if self.strength == 0.0 {
            return;
        }
        for (x, g) in point.iter().zip(gradient).take(self.variables) {
            *g = match (*x > 0.0, *x < 0.0) {
                (true, _) => *g + self.strength,
                (_, true) => *g - self.strength,
                _ if *g < -self.strength => *g + self.strength,
                _ if *g > self.strength => *g - self.strength,
                _ => 0.0,
            };
        }
    }

    /// Keeps a direction from leading up in any variable.
    fn align(self, direction: &mut [f64], gradient: &[f64]) {
        if self.strength > 0.0 {
            for (d, g) in direction.iter_mut().zip(gradient).take(self.variables) {
                *d = if *d * g < 0.0 { *d } else { 0.0 };
            }
        }
    }

    /// Keeps a step from crossing zero.
    fn project(self, next: &mut [f64], point: &[f64], gradient: &[f64]) {
        if self.strength > 0.0 {
            for ((n, x), g) in next.iter_mut().zip(point).zip(gradient).take(self.variables) {
                let orthant = if *x == 0.0 { -g } else { *x };
                *n = if *n * orthant > 0.0 { *n } else { 0.0 };
            }
        }
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// The length of a vector.
pub(crate) fn length(vector: &[f64]) -> f64 {
    dot(vector, vector).sqrt()
}

fn dot_narrow(a: &[f32], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| f64::from(*a) * b).sum()
}

fn add_narrow(to: &mut [f64], factor: f64, from: &[f32]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to += factor * f64::from(*from);
    }
}

/// A remembered step. Single precision will do: it only shapes the next direction.
struct Pair {
    step: Vec<f32>,
    change: Vec<f32>,
    curvature: f64,
    scale: f64,
}

/// The pair of a step, unless the function is flat along it. Takes the buffers of the pair that is forgotten.
#[allow(clippy::cast_possible_truncation)]
fn remember(memory: &mut VecDeque<Pair>, steps: impl ExactSizeIterator<Item = (f64, f64)>) {
    let (mut step, mut change) = match memory.len() {
        MEMORY => memory.pop_front().map(|pair| (pair.step, pair.change)).unwrap_or_default(),
        _ => Default::default(),
    };
    for buffer in [&mut step, &mut change] {
        buffer.clear();
        // No more than that: what is pushed to grows twofold.
        buffer.reserve_exact(steps.len());
    }
    let (mut curvature, mut square) = (0.0, 0.0);
    for (s, c) in steps {
        curvature += s * c;
        square += c * c;
        step.push(s as f32);
        change.push(c as f32);
    }
    if curvature > 1e-12 * square {
        memory.push_back(Pair { step, change, curvature, scale: curvature / square });
    }
}

/// The direction of descent: minus the inverse Hessian, as the remembered pairs tell it, times the gradient.
fn direct(
    direction: &mut [f64],
    gradient: &[f64],
    memory: &VecDeque<Pair>,
    check: &mut dyn FnMut() -> Result<()>,
) -> Result<()> {
    for (d, g) in direction.iter_mut().zip(gradient) {
        *d = -g;
    }
    let mut factors = [0.0; MEMORY];
    for (pair, kept) in memory.iter().rev().zip(&mut factors) {
        check()?;
        let factor = dot_narrow(&pair.step, direction) / pair.curvature;
        check()?;
        add_narrow(direction, -factor, &pair.change);
        *kept = factor;
    }
    if let Some(last) = memory.back() {
        direction.iter_mut().for_each(|d| *d *= last.scale);
    }
    for (pair, factor) in memory.iter().zip(factors[..memory.len()].iter().rev()) {
        check()?;
        let correction = factor - dot_narrow(&pair.change, direction) / pair.curvature;
        check()?;
        add_narrow(direction, correction, &pair.step);
    }
    Ok(())
}

/// What a minimisation asks for.
pub(crate) enum Ask<'a> {
    /// The smooth part's value at a point; its gradient is filled in.
    Evaluate(&'a [f64], &'a mut [f64]),
    /// Whether to go on: vectors are long, and several passes over them lie between two evaluations.
    Check,
}

/// Minimises a smooth convex function plus a penalty on absolute values, from `point` on. `asked` gets the
/// number of the iteration and what it is asked for; its error ends the work.
pub(crate) fn minimise(
    point: &mut Vec<f64>,
    stop: Stop,
    absolute: Absolute,
    mut asked: impl FnMut(u32, Ask<'_>) -> Result<f64>,
) -> Result<Outcome> {
    let mut gradient = vec![0.0; point.len()];
    let mut value = asked(0, Ask::Evaluate(point, &mut gradient))? + absolute.value(point);
    // Without a penalty that has kinks it is the gradient itself.
    let mut smooth = if absolute.strength == 0.0 { Vec::new() } else { gradient.clone() };
    absolute.pseudo_gradient(point, &mut gradient);
    let small = stop.tolerance * stop.first.unwrap_or_else(|| length(&gradient));
    if stop.first.is_some() && length(&gradient) <= small {
        return Ok(Outcome { iterations: 0, converged: true });
    }
    let mut memory: VecDeque<Pair> = VecDeque::with_capacity(MEMORY + 1);
    let (mut direction, mut next) = (vec![0.0; point.len()], vec![0.0; point.len()]);
    let mut next_gradient = vec![0.0; point.len()];
    for iteration in 1..=stop.iterations {
        direct(&mut direction, &gradient, &memory, &mut || asked(iteration, Ask::Check).map(drop))?;
        absolute.align(&mut direction, &gradient);
        let mut step =
            if memory.is_empty() { 1.0 / dot(&gradient, &gradient).sqrt().max(1e-12) } else { 1.0 };
        loop {
            for ((n, x), d) in next.iter_mut().zip(point.iter()).zip(&direction) {
                *n = x + step * d;
            }
            asked(iteration, Ask::Check)?;
            absolute.project(&mut next, point, &gradient);
            let value_there =
                asked(iteration, Ask::Evaluate(&next, &mut next_gradient))? + absolute.value(&next);
            asked(iteration, Ask::Check)?;
            let slope: f64 =
                next.iter().zip(point.iter()).zip(&gradient).map(|((n, x), g)| (n - x) * g).sum();
            // Armijo's condition; a convex function meets it for a small enough step.
            if value_there <= value + 1e-4 * slope {
                value = value_there;
                break;
            }
            step *= 0.5;
            if step < 1e-12 {
                // No step gets any lower: this is the minimum, as far as numbers can tell.
                return Ok(Outcome { iterations: iteration, converged: true });
            }
        }
        asked(iteration, Ask::Check)?;
        let before = if smooth.is_empty() { &gradient } else { &smooth };
        let steps = next.iter().zip(point.iter()).zip(next_gradient.iter().zip(before));
        remember(&mut memory, steps.map(|((n, x), (ng, g))| (n - x, ng - g)));
        asked(iteration, Ask::Check)?;
        std::mem::swap(point, &mut next);
        if !smooth.is_empty() {
            smooth.copy_from_slice(&next_gradient);
        }
        std::mem::swap(&mut gradient, &mut next_gradient);
        asked(iteration, Ask::Check)?;
        absolute.pseudo_gradient(point, &mut gradient);
        if length(&gradient) <= small {
            return Ok(Outcome { iterations: iteration, converged: true });
        }
    }
    Ok(Outcome { iterations: stop.iterations, converged: false })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// sum over i of (i + 1) (x_i - i)^2
    fn bowl(_: u32, ask: Ask<'_>) -> Result<f64> {
        let Ask::Evaluate(x, gradient) = ask else { return Ok(0.0) };
        let mut value = 0.0;
        for (i, (x, g)) in (0u32..).zip(x.iter().zip(gradient)) {
            let (i, weight) = (f64::from(i), f64::from(i + 1));
            value += weight * (x - i) * (x - i);
            *g = 2.0 * weight * (x - i);
        }
        Ok(value)
    }

    #[test]
    fn finds_the_minimum_of_a_bowl() {
        let mut point = vec![7.0; 20];
        let stop = Stop { iterations: 300, tolerance: 1e-9, first: None };
        let outcome = minimise(&mut point, stop, Absolute { strength: 0.0, variables: 20 }, bowl);
        assert!(outcome.unwrap().converged);
        for (i, x) in point.iter().enumerate() {
            assert!((x - i as f64).abs() < 1e-6, "x{i} = {x}");
        }
    }

    #[test]
    fn a_penalty_on_absolute_values_pulls_to_zero() {
        // The minimum of w (x - i)^2 + s |x| is i - s / 2w, or 0; the last variable is free.
        let mut point = vec![0.0; 10];
        let stop = Stop { iterations: 500, tolerance: 1e-10, first: None };
        let absolute = Absolute { strength: 12.0, variables: 9 };
        assert!(minimise(&mut point, stop, absolute, bowl).unwrap().converged);
        for (i, x) in point.iter().enumerate() {
            let i = i as f64;
            let wanted = if i == 9.0 { 9.0 } else { (i - 6.0 / (i + 1.0)).max(0.0) };
            assert!((x - wanted).abs() < 1e-6, "x{i} = {x}, not {wanted}");
        }
        assert_eq!(point[..3].iter().filter(|x| **x == 0.0).count(), 3);
    }
}
