//! Reads the data files: `label<TAB>text` with a header, or one text a line; gzip where the name ends in `.gz`.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// The whole of a file, unpacked. An error names it.
fn read(path: &Path) -> io::Result<String> {
    unpack(path).map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
}

fn unpack(path: &Path) -> io::Result<String> {
    let mut content = String::new();
    let file = File::open(path)?;
    if path.extension().is_some_and(|extension| extension == "gz") {
        flate2::read::MultiGzDecoder::new(file).read_to_string(&mut content)?;
    } else {
        io::BufReader::new(file).read_to_string(&mut content)?;
    }
    Ok(content)
}

/// Labelled texts.
#[derive(Debug)]
pub struct Labelled {
    content: String,
}

impl Labelled {
    /// Reads a file of labelled texts.
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { content: read(path)? })
    }

    /// Label and text of each row.
    pub fn rows(&self) -> impl Iterator<Item = (&str, &str)> {
        self.content.lines().skip(1).filter_map(|line| line.split_once('\t'))
    }
}

/// Reads a file of one text a line.
pub fn lines(path: &Path) -> io::Result<Vec<String>> {
    Ok(read(path)?.lines().map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::Labelled;

    #[test]
    fn an_error_names_the_file() {
        let missing = Labelled::open(Path::new("/nowhere/tweets.tsv.gz")).map(drop).unwrap_err();
        assert!(missing.to_string().starts_with("/nowhere/tweets.tsv.gz: "), "{missing}");
    }
}
