//! The little linear algebra that word vectors need, in plain sums: the same bits everywhere.

/// `a` transposed times `b`, both with `wide` columns.
pub fn gram(a: &[f64], b: &[f64], wide: usize) -> Vec<f64> {
    let mut gram = vec![0.0; wide * wide];
    for (a, b) in a.chunks_exact(wide).zip(b.chunks_exact(wide)) {
        for (row, a) in gram.chunks_exact_mut(wide).zip(a) {
            row.iter_mut().zip(b).for_each(|(sum, b)| *sum += a * b);
        }
    }
    gram
}

/// Makes the columns orthonormal, by Cholesky's factor of their Gram matrix; twice, for the rounding of the first time.
pub fn orthonormalise(columns: &mut [f64], wide: usize) {
    for _ in 0..2 {
        let mut factor = gram(columns, columns, wide);
        cholesky(&mut factor, wide);
        for row in columns.chunks_exact_mut(wide) {
            for at in 0..wide {
                let known: f64 = (0..at).map(|k| row[k] * factor[at * wide + k]).sum();
                row[at] = (row[at] - known) / factor[at * wide + at];
            }
        }
    }
}

/// The lower factor of a positive matrix, in its place.
fn cholesky(matrix: &mut [f64], wide: usize) {
    for row in 0..wide {
        for column in 0..=row {
            let known: f64 = (0..column).map(|k| matrix[row * wide + k] * matrix[column * wide + k]).sum();
            let rest = matrix[row * wide + column] - known;
            matrix[row * wide + column] =
                if row == column { rest.max(1e-300).sqrt() } else { rest / matrix[column * wide + column] };
        }
    }
}

/// Eigenvalues of a symmetric matrix and its eigenvectors as columns, by Jacobi's rotations.
pub fn symmetric(mut matrix: Vec<f64>, wide: usize) -> (Vec<f64>, Vec<f64>) {
    let mut vectors = vec![0.0; wide * wide];
    (0..wide).for_each(|at| vectors[at * wide + at] = 1.0);
    for _ in 0..30 {
        for p in 0..wide {
            for q in p + 1..wide {
                let off = matrix[p * wide + q];
                if off.abs() < 1e-12 {
                    continue;
                }
                let theta = (matrix[q * wide + q] - matrix[p * wide + p]) / (2.0 * off);
                let tangent = theta.signum() / (theta.abs() + (theta * theta + 1.0).sqrt());
                let cosine = 1.0 / (tangent * tangent + 1.0).sqrt();
                rotate(&mut matrix, &mut vectors, wide, (p, q), (cosine, tangent * cosine));
            }
        }
    }
    ((0..wide).map(|at| matrix[at * wide + at]).collect(), vectors)
}

fn rotate(
    matrix: &mut [f64],
    vectors: &mut [f64],
    wide: usize,
    (p, q): (usize, usize),
    (cosine, sine): (f64, f64),
) {
    let turn = |a: f64, b: f64| (cosine * a - sine * b, sine * a + cosine * b);
    for k in 0..wide {
        let (a, b) = turn(matrix[k * wide + p], matrix[k * wide + q]);
        (matrix[k * wide + p], matrix[k * wide + q]) = (a, b);
        let (a, b) = turn(vectors[k * wide + p], vectors[k * wide + q]);
        (vectors[k * wide + p], vectors[k * wide + q]) = (a, b);
    }
    for k in 0..wide {
        let (a, b) = turn(matrix[p * wide + k], matrix[q * wide + k]);
        (matrix[p * wide + k], matrix[q * wide + k]) = (a, b);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eigenvectors_are_what_they_should_be() {
        let matrix = [4.0, 1.0, -2.0, 1.0, 2.0, 0.5, -2.0, 0.5, -3.0];
        let (values, vectors) = symmetric(matrix.to_vec(), 3);
        for at in 0..3 {
            for row in 0..3 {
                let product: f64 = (0..3).map(|k| matrix[row * 3 + k] * vectors[k * 3 + at]).sum();
                assert!((product - values[at] * vectors[row * 3 + at]).abs() < 1e-9);
            }
        }
    }

    #[test]
    fn columns_become_orthonormal() {
        let mut columns: Vec<f64> = (0..60u32).map(|at| libm::sin(f64::from(at * at))).collect();
        orthonormalise(&mut columns, 3);
        let gram = gram(&columns, &columns, 3);
        for (at, value) in gram.iter().enumerate() {
            assert!((value - f64::from(u8::from(at % 4 == 0))).abs() < 1e-12);
        }
    }
}
