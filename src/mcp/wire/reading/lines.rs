use std::io;

use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};

use super::id_scan::{IdScan, Scan};

/// Reads lines, none longer than a bound.
pub struct Lines<R> {
    inner: BufReader<R>,
    max_bytes: usize,
    line: Vec<u8>,
    /// The line is too long, and dropped but for its id.
    dropped: Option<IdScan>,
}

#[derive(Debug, PartialEq)]
pub enum Line {
    /// With its end.
    Whole(Vec<u8>),
    TooLong(Scan),
}

impl<R: AsyncRead + Unpin> Lines<R> {
    pub fn new(inner: R, max_bytes: usize) -> Self {
        Self { inner: BufReader::new(inner), max_bytes, line: Vec::new(), dropped: None }
    }

    /// The next line that is not blank, or `None` at the end; what follows the last line end is a line as well.
    /// Safe to drop and call again.
    pub async fn next(&mut self) -> io::Result<Option<Line>> {
        loop {
            let there = self.inner.fill_buf().await?;
            let is_end = there.is_empty();
            let end = there.iter().position(|byte| *byte == b'\n').map(|at| at + 1);
            let taken = end.unwrap_or(there.len());
            if let Some(scan) = &mut self.dropped {
                scan.push(&there[..taken]);
            } else if self.line.len() + taken > self.max_bytes {
                let mut scan = IdScan::default();
                scan.push(&std::mem::take(&mut self.line));
                scan.push(&there[..taken]);
                self.dropped = Some(scan);
            } else {
                self.line.extend_from_slice(&there[..taken]);
            }
            self.inner.consume(taken);
            if end.is_none() && !is_end {
                continue;
            }
            if let Some(scan) = self.dropped.take() {
                return Ok(Some(Line::TooLong(scan.finish())));
            }
            let mut line = std::mem::take(&mut self.line);
            if !line.trim_ascii().is_empty() {
                if !line.ends_with(b"\n") {
                    line.push(b'\n');
                }
                return Ok(Some(Line::Whole(line)));
            }
            if is_end {
                return Ok(None);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    async fn all(text: &[u8]) -> Vec<Line> {
        let mut lines = Lines::new(text, 10_000);
        let mut read = Vec::new();
        while let Some(line) = lines.next().await.expect("read") {
            read.push(line);
        }
        read
    }

    fn whole(line: &str) -> Line {
        Line::Whole(line.as_bytes().to_vec())
    }

    #[tokio::test]
    async fn a_line_that_is_too_long_is_dropped_but_for_its_id_and_the_next_is_read() {
        let long = "x".repeat(20_000);
        let text = format!("one\n{{\"method\":\"{long}\",\"id\":7}}\n{long}\n\n \r\nthree\r\nno end");
        let named = Scan { id: Some(json!(7)), is_response: false };
        let read = all(text.as_bytes()).await;
        let unnamed = Line::TooLong(Scan::default());
        assert_eq!(
            read,
            [whole("one\n"), Line::TooLong(named), unnamed, whole("three\r\n"), whole("no end\n")]
        );
    }

    #[tokio::test]
    async fn a_line_that_is_too_long_may_be_the_last() {
        let long = format!("{{\"id\":\"a\",\"method\":\"{}", "x".repeat(20_000));
        let named = Scan { id: Some(json!("a")), is_response: false };
        assert_eq!(all(long.as_bytes()).await, [Line::TooLong(named)]);
        assert_eq!(all(b"\n \n").await, []);
    }
}
