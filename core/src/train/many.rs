//! Exponentials and logarithms of many numbers at a time.
//!
//! They are those of `libm`, to the bit: polynomials and reductions are FDLIBM's (Sun Microsystems 1993), as `libm` has them
//! from FreeBSD's msun, but without branches: a compiler can
//! work on several numbers at once, and a processor need not guess what the next one is like. The few numbers that take
//! another way there are told apart afterwards.

const LN2_HIGH: f64 = 6.931_471_803_691_238e-1;
const LN2_LOW: f64 = 1.908_214_929_270_587_7e-10;
const INVERSE_LN2: f64 = std::f64::consts::LOG2_E;

/// Within so much of 0 an exponential is neither too large nor too small for the steps here.
const FAR: f64 = 708.0;

/// The exponential of each number.
pub(super) fn exp(numbers: &[f64], exponentials: &mut [f64]) {
    for (x, y) in numbers.iter().zip(&mut *exponentials) {
        *y = near_exp(x.clamp(-FAR, FAR));
    }
    for (x, y) in numbers.iter().zip(exponentials) {
        // What is no number is not near either.
        if !matches!(x.abs().partial_cmp(&FAR), Some(std::cmp::Ordering::Less)) {
            *y = libm::exp(*x);
        }
    }
}

/// The natural logarithm of each number, in its place; all are above 0.
pub(super) fn log(numbers: &mut [f64]) {
    let odd = |number: &f64| !number.is_normal() || *number < 0.0;
    if numbers.iter().any(odd) {
        return numbers.iter_mut().for_each(|number| *number = libm::log(*number));
    }
    numbers.iter_mut().for_each(|number| *number = normal_log(*number));
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a whole number within 1,022 of 0"
)]
#[inline]
fn near_exp(x: f64) -> f64 {
    const P1: f64 = 1.666_666_666_666_660_2e-1;
    const P2: f64 = -2.777_777_777_701_559_3e-3;
    const P3: f64 = 6.613_756_321_437_934e-5;
    const P4: f64 = -1.653_390_220_546_525_2e-6;
    const P5: f64 = 4.138_136_797_057_238_5e-8;
    /// From here on, about half of ln 2, powers of 2 are taken out of it.
    const REDUCED: f64 = f64::from_bits(0x3fd6_2e43_0000_0000);
    /// Up to here, about 2^-28, it is the number and 1.
    const SMALL: f64 = f64::from_bits(0x3e30_0001_0000_0000);

    let far = f64::from(u8::from(x.abs() >= REDUCED));
    let power = (far * (INVERSE_LN2 * x + 0.5_f64.copysign(x))) as i32;
    let powers = f64::from(power);
    let (high, low) = (x - powers * LN2_HIGH, powers * LN2_LOW);
    let rest = high - low;
    let square = rest * rest;
    let c = rest - square * (P1 + square * (P2 + square * (P3 + square * (P4 + square * P5))));
    let y = 1.0 + (rest * c / (2.0 - c) - low + high);
    let y = if x.abs() < SMALL { 1.0 + x } else { y };
    y * f64::from_bits(((power + 0x3ff) as u64) << 52)
}

#[allow(clippy::cast_possible_truncation, clippy::cast_possible_wrap, reason = "an exponent has 11 bits")]
#[inline]
fn normal_log(x: f64) -> f64 {
    const LG1: f64 = 6.666_666_666_666_735e-1;
    const LG2: f64 = 3.999_999_999_940_942e-1;
    const LG3: f64 = 2.857_142_874_366_239e-1;
    const LG4: f64 = 2.222_219_843_214_978_4e-1;
    const LG5: f64 = 1.818_357_216_161_805e-1;
    const LG6: f64 = 1.531_383_769_920_937_3e-1;
    const LG7: f64 = 1.479_819_860_511_658_6e-1;
    /// The upper half of the square root of one half, and how far 1 is from it.
    const ROOT: u64 = 0x3fe6_a09e << 32;
    const ABOVE: u64 = (0x3ff0_0000 << 32) - ROOT;

    // As a power of 2 times something between the square roots of one half and of 2.
    let bits = x.to_bits() + ABOVE;
    let power = f64::from((bits >> 52) as i32 - 0x3ff);
    let f = f64::from_bits((bits & ((1 << 52) - 1)) + ROOT) - 1.0;
    let half = 0.5 * f * f;
    let s = f / (2.0 + f);
    let z = s * s;
    let w = z * z;
    let even = w * (LG2 + w * (LG4 + w * LG6));
    let odd = z * (LG1 + w * (LG3 + w * (LG5 + w * LG7)));
    s * (half + (odd + even)) + power * LN2_LOW - half + f + power * LN2_HIGH
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same(numbers: &[f64]) {
        let mut exponentials = vec![0.0; numbers.len()];
        exp(numbers, &mut exponentials);
        for (x, y) in numbers.iter().zip(exponentials) {
            assert_eq!(y.to_bits(), libm::exp(*x).to_bits(), "exp({x:e})");
        }
        let positive: Vec<f64> = numbers.iter().map(|x| x.abs()).filter(|x| *x > 0.0).collect();
        let mut logarithms = positive.clone();
        log(&mut logarithms);
        for (x, y) in positive.iter().zip(logarithms) {
            assert_eq!(y.to_bits(), libm::log(*x).to_bits(), "log({x:e})");
        }
    }

    #[test]
    fn they_are_those_of_libm_to_the_bit() {
        let mut state = 5;
        let mut next = || {
            state = crate::hash::joint(state, 9);
            state
        };
        // Of all magnitudes, and most of those that occur.
        let any: Vec<f64> = (0..400_000).map(|_| f64::from_bits(next())).filter(|x| x.is_normal()).collect();
        same(&any);
        for scale in [1e-9, 1e-3, 0.4, 1.1, 3.0, 40.0, 707.0] {
            #[allow(clippy::cast_precision_loss)]
            let near: Vec<f64> =
                (0..200_000).map(|_| next().cast_signed() as f64 / 2f64.powi(63) * scale).collect();
            same(&near);
        }
    }

    #[test]
    fn what_is_odd_and_what_lies_at_the_borders_too() {
        let mut borders =
            vec![0.0, -0.0, 1.0, -1.0, 5e-324, 1e-310, 709.9, -745.0, -746.0, f64::INFINITY, -1e300];
        let edges = [
            0x3fd6_2e42_fefa_39ef,
            0x3fd6_2e43 << 32,
            0x3ff0_a2b2 << 32,
            0x3e30_0001 << 32,
            0x3fe6_a09e << 32,
        ];
        for edge in edges.into_iter().chain([FAR.to_bits(), 1_f64.to_bits(), f64::MIN_POSITIVE.to_bits()]) {
            for near in edge - 200..edge + 200 {
                borders.extend([f64::from_bits(near), -f64::from_bits(near)]);
            }
        }
        borders.iter().for_each(|border| same(&[*border]));
        let mut none = [0.0];
        exp(&[f64::NAN], &mut none);
        assert!(none[0].is_nan());
    }
}
