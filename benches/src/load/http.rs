//! A minimal HTTP/1.1 client. It must be cheap, because it shares the machine
//! with the server under test.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A keep-alive connection with a buffer for replies.
pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    /// Connects to the server at `address`.
    pub async fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).await.context("connecting")?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::with_capacity(64 << 10) })
    }

    /// Sends a complete request and returns the body of the reply.
    pub async fn exchange(&mut self, request: &[u8]) -> Result<&[u8]> {
        self.stream.write_all(request).await.context("sending")?;
        self.buffer.clear();
        let (start, end) = loop {
            if let Some(bounds) = body_bounds(&self.buffer)? {
                break bounds;
            }
            self.receive().await?;
        };
        while self.buffer.len() < end {
            self.receive().await?;
        }
        if self.buffer.len() > end {
            bail!("{} bytes after the reply", self.buffer.len() - end);
        }
        Ok(&self.buffer[start..end])
    }

    async fn receive(&mut self) -> Result<()> {
        if self.stream.read_buf(&mut self.buffer).await.context("receiving")? == 0 {
            bail!("the server closed the connection");
        }
        Ok(())
    }
}

/// Fetches `path` over a separate connection and returns the body.
pub fn get(address: SocketAddr, path: &str) -> Result<Vec<u8>> {
    let timeout = Duration::from_secs(10);
    let mut stream = std::net::TcpStream::connect_timeout(&address, timeout)?;
    stream.set_read_timeout(Some(timeout))?;
    write!(stream, "GET {path} HTTP/1.1\r\nhost: server\r\nconnection: close\r\n\r\n")?;
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply)?;
    let (start, end) = body_bounds(&reply)?.context("half a reply")?;
    reply.get(start..end).map(<[u8]>::to_vec).context("half a reply")
}

/// The head of a request that posts `length` bytes of JSON to `path`.
pub fn post_head(path: &str, length: usize) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nhost: server\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\n\r\n"
    )
}

/// Start and end of the body, once the head is complete. A reply with a status
/// other than 200 or without a length is an error.
fn body_bounds(reply: &[u8]) -> Result<Option<(usize, usize)>> {
    let Some(blank) = reply.windows(4).position(|window| window == b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = std::str::from_utf8(&reply[..blank]).context("a head that is not text")?;
    let status = head.lines().next().unwrap_or_default();
    if status.split(' ').nth(1) != Some("200") {
        bail!("the server answered {status:?}");
    }
    let length = head
        .lines()
        .skip(1)
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .context("a reply without content-length")?;
    let length: usize = length.1.trim().parse().context("content-length")?;
    Ok(Some((blank + 4, blank + 4 + length)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_is_taken_apart() {
        let reply = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nx: y\r\n\r\nhi";
        assert_eq!(body_bounds(reply).unwrap(), Some((44, 46)));
        assert_eq!(&reply[44..46], b"hi");
        assert_eq!(body_bounds(&reply[..30]).unwrap(), None);
    }

    #[test]
    fn other_replies_than_200_are_errors() {
        let error = body_bounds(b"HTTP/1.1 500 Oh\r\ncontent-length: 0\r\n\r\n").unwrap_err();
        assert!(error.to_string().contains("500"), "{error}");
        assert!(body_bounds(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
    }
}
