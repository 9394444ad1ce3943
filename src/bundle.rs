//! The parts of a version in one value, for `export_sentiment()` and `import_sentiment()`.
//!
//! A version of one part is that part. More are: magic, then of each part its length (8 bytes, little-endian) and bytes.

use crate::errors::{Failure, Result};

const MAGIC: [u8; 8] = *b"\x89SBNDL\r\n";

/// The value of some parts.
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

/// The parts of a value, which nobody vouches for.
pub fn read(value: &[u8]) -> Result<Vec<&[u8]>> {
    let Some(mut rest) = value.strip_prefix(&MAGIC) else { return Ok(vec![value]) };
    let mut parts = Vec::new();
    while let Some((length, after)) = rest.split_first_chunk::<8>() {
        let length = usize::try_from(u64::from_le_bytes(*length)).unwrap_or(usize::MAX);
        let (part, after) = after.split_at_checked(length).ok_or_else(Failure::bundle_damaged)?;
        parts.push(part);
        rest = after;
    }
    if parts.is_empty() || !rest.is_empty() { Err(Failure::bundle_damaged()) } else { Ok(parts) }
}
