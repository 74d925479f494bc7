use std::io;

use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};

/// Reads lines, none longer than a bound.
pub struct Lines<R> {
    inner: BufReader<R>,
    max_bytes: usize,
    line: Vec<u8>,
    /// The line is too long, and dropped.
    drops: bool,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Line {
    /// With its end.
    Whole(Vec<u8>),
    TooLong,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    pub fn new(inner: R, max_bytes: usize) -> Self {
        Self { inner: BufReader::new(inner), max_bytes, line: Vec::new(), drops: false }
    }

    /// The next line, or `None` at the end; what follows the last line end is no line. Safe to drop and call
    /// again.
    pub async fn next(&mut self) -> io::Result<Option<Line>> {
        loop {
            let there = self.inner.fill_buf().await?;
            if there.is_empty() {
                return Ok(None);
            }
            let end = there.iter().position(|byte| *byte == b'\n').map(|at| at + 1);
            let taken = end.unwrap_or(there.len());
            if self.line.len() + taken > self.max_bytes {
                self.drops = true;
                self.line.clear();
            }
            if !self.drops {
                self.line.extend_from_slice(&there[..taken]);
            }
            self.inner.consume(taken);
            if end.is_some() {
                let line = std::mem::take(&mut self.line);
                return Ok(Some(if std::mem::take(&mut self.drops) {
                    Line::TooLong
                } else {
                    Line::Whole(line)
                }));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_line_that_is_too_long_is_dropped_and_the_next_is_read() {
        let text = format!("one\n{}\nthree\nno end", "x".repeat(20_000));
        let mut lines = Lines::new(text.as_bytes(), 10_000);
        let whole = |line: &str| Some(Line::Whole(line.as_bytes().to_vec()));
        assert_eq!(lines.next().await.expect("read"), whole("one\n"));
        assert_eq!(lines.next().await.expect("read"), Some(Line::TooLong));
        assert_eq!(lines.next().await.expect("read"), whole("three\n"));
        assert_eq!(lines.next().await.expect("read"), None);
    }
}
