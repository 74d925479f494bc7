//! One kept connection: a request goes out, the whole answer comes back.

use std::io::{Error, Result};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub struct Connection {
    stream: TcpStream,
    /// What was read and not used yet.
    buffer: Vec<u8>,
}

impl Connection {
    pub async fn open(address: &str) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::with_capacity(16 * 1024) })
    }

    /// The body of an answer of status 2xx, once it is complete, whether it has a length or comes in chunks.
    pub async fn exchange(&mut self, request: &[u8]) -> Result<String> {
        self.stream.write_all(request).await?;
        let head = self.take_until(b"\r\n\r\n").await?;
        let head = text(head)?.to_ascii_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
        let body = match length {
            Some(length) => self.take(length.trim().parse().map_err(Error::other)?).await?,
            None => self.take_chunks().await?,
        };
        let body = text(body)?;
        if !head.starts_with("http/1.1 2") {
            return Err(Error::other(format!("{head}{body}")));
        }
        Ok(body)
    }

    async fn take_chunks(&mut self) -> Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let line = text(self.take_until(b"\r\n").await?)?;
            let length = usize::from_str_radix(line.trim_end(), 16).map_err(Error::other)?;
            body.extend(self.take(length).await?);
            self.take(2).await?;
            if length == 0 {
                return Ok(body);
            }
        }
    }

    /// Up to and with `end`.
    async fn take_until(&mut self, end: &[u8]) -> Result<Vec<u8>> {
        loop {
            if let Some(at) = self.buffer.windows(end.len()).position(|window| window == end) {
                return self.take(at + end.len()).await;
            }
            self.read().await?;
        }
    }

    async fn take(&mut self, length: usize) -> Result<Vec<u8>> {
        while self.buffer.len() < length {
            self.read().await?;
        }
        Ok(self.buffer.drain(..length).collect())
    }

    async fn read(&mut self) -> Result<()> {
        if self.stream.read_buf(&mut self.buffer).await? == 0 {
            return Err(Error::other("the server closed the connection"));
        }
        Ok(())
    }
}

fn text(bytes: Vec<u8>) -> Result<String> {
    String::from_utf8(bytes).map_err(Error::other)
}
