//! A stream of bytes as lines: chunks end anywhere, also within a character.

use bytes::{Bytes, BytesMut};

/// The most bytes of a line. The longest post with all that comes with it has a few hundred thousand.
const LONGEST: usize = 1 << 20;

/// A line of the stream.
#[derive(Debug, PartialEq, Eq)]
pub enum Line {
    /// Without its end, LF or CR LF; empty if X only says that it is there
    Whole(Bytes),
    /// One that was longer than may be
    TooLong,
}

/// Makes lines of chunks, holding no more than the longest line and a chunk.
#[derive(Debug, Default)]
pub struct Lines {
    held: BytesMut,
    /// Up to where no line ends.
    seen: usize,
    /// Whether the line that is coming is too long.
    passing: bool,
}

impl Lines {
    pub fn push(&mut self, chunk: &[u8]) {
        self.held.extend_from_slice(chunk);
    }

    /// The next line that is whole.
    pub fn next_line(&mut self) -> Option<Line> {
        let Some(length) = self.held[self.seen..].iter().position(|byte| *byte == b'\n') else {
            self.seen = self.held.len();
            if self.seen > LONGEST {
                self.held.clear();
                self.seen = 0;
                self.passing = true;
            }
            return None;
        };
        let line = self.held.split_to(self.seen + length + 1);
        self.seen = 0;
        if std::mem::take(&mut self.passing) || line.len() > LONGEST {
            return Some(Line::TooLong);
        }
        let line = line.freeze();
        let end = line.len() - if line.ends_with(b"\r\n") { 2 } else { 1 };
        Some(Line::Whole(line.slice(..end)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(chunks: impl IntoIterator<Item = impl AsRef<[u8]>>) -> Vec<Line> {
        let mut lines = Lines::default();
        let mut found = Vec::new();
        for chunk in chunks {
            lines.push(chunk.as_ref());
            found.extend(std::iter::from_fn(|| lines.next_line()));
            assert!(lines.held.len() <= LONGEST);
        }
        found
    }

    #[test]
    fn chunks_end_anywhere() {
        let stream = "{\"a\": \"I ❤ it\"}\r\n\r\n\n{\"b\": 1}\n{\"unfinished".as_bytes();
        let whole = |line: &'static str| Line::Whole(Bytes::from_static(line.as_bytes()));
        let expected = [whole("{\"a\": \"I ❤ it\"}"), whole(""), whole(""), whole("{\"b\": 1}")];
        for size in 1..=stream.len() {
            assert_eq!(lines(stream.chunks(size)), expected, "chunks of {size}");
        }
    }

    #[test]
    fn a_line_without_end_is_passed_over() {
        let long = vec![b'a'; 3 << 20];
        let mut chunks: Vec<&[u8]> = long.chunks(1 << 16).collect();
        chunks.extend([&b"aa\nb\n"[..]]);
        assert_eq!(lines(chunks), [Line::TooLong, Line::Whole(Bytes::from_static(b"b"))]);
    }
}
