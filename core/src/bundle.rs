//! The parts of a version in one value, as a model is moved from database to database.
//!
//! A version of one part is that part. More are: magic, then of each part its length (8 bytes, little-endian) and bytes.

use crate::Result;
use crate::model::damaged;

const MAGIC: [u8; 8] = *b"\x89SBNDL\r\n";

/// The value of some parts, the base first.
pub fn write(parts: &[Vec<u8>]) -> Vec<u8> {
    if let [one] = parts {
        return one.clone();
    }
    let mut bytes = MAGIC.to_vec();
    for part in parts {
        bytes.extend((part.len() as u64).to_le_bytes());
        bytes.extend(part);
    }
    bytes
}

/// The base and the deltas of a value, which nobody vouches for.
///
/// # Errors
/// `Damaged` for a value that is cut short or holds no part. What the parts hold is for `Predictor::open_parts` to say.
pub fn read(value: &[u8]) -> Result<(&[u8], Vec<&[u8]>)> {
    let Some(mut rest) = value.strip_prefix(&MAGIC) else { return Ok((value, Vec::new())) };
    let mut parts = Vec::new();
    while let Some((length, after)) = rest.split_first_chunk::<8>() {
        let length = usize::try_from(u64::from_le_bytes(*length)).unwrap_or(usize::MAX);
        let (part, after) = after.split_at_checked(length).ok_or_else(|| damaged("a part is cut short"))?;
        parts.push(part);
        rest = after;
    }
    match parts.split_first() {
        Some((base, deltas)) if rest.is_empty() => Ok((base, deltas.to_vec())),
        _ => Err(damaged("a part is cut short")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    #[test]
    fn parts_come_back() {
        let parts = [b"base".to_vec(), Vec::new(), b"delta".to_vec()];
        let value = write(&parts);
        assert_eq!(read(&value).unwrap(), (&b"base"[..], vec![&b""[..], b"delta"]));
        assert_eq!(write(&parts[..1]), b"base");
        assert_eq!(read(b"base").unwrap(), (&b"base"[..], Vec::new()));
        for end in 8..value.len() {
            let whole = [20, 28].contains(&end);
            assert_eq!(
                read(&value[..end]).map_err(|error| error.kind()).err(),
                (!whole).then_some(ErrorKind::Damaged),
                "{end}"
            );
        }
    }
}
