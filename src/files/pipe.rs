//! What goes over the pipes between a server and a process that holds a folder: frames of a length and a message. The first is
//! the folder, and its answer whether it is there; then calls and their answers, one after another.

use std::io::{self, Read, Write};

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::limits;

const LENGTH_BYTES: usize = 4;

pub fn frame(message: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut frame = postcard::to_extend(message, vec![0; LENGTH_BYTES]).map_err(io::Error::other)?;
    let length = frame.len() - LENGTH_BYTES;
    if length > limits::MAX_FOLDER_FRAME_BYTES {
        return Err(io::Error::other(format!("{length} bytes at once, more than MAX_FOLDER_FRAME_BYTES")));
    }
    let length = u32::try_from(length).map_err(io::Error::other)?;
    frame[..LENGTH_BYTES].copy_from_slice(&length.to_le_bytes());
    Ok(frame)
}

pub fn write(to: &mut impl Write, message: &impl Serialize) -> io::Result<()> {
    to.write_all(&frame(message)?)?;
    to.flush()
}

/// The next message; `None` at the end of the pipe.
pub fn read<T: DeserializeOwned>(from: &mut impl Read) -> io::Result<Option<T>> {
    let mut length = [0; LENGTH_BYTES];
    match from.read_exact(&mut length) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        read => read?,
    }
    let mut message = vec![0; checked(length)?];
    from.read_exact(&mut message)?;
    parse(&message).map(Some)
}

/// The same in the server, where the end of the pipe is an error.
pub async fn receive<T: DeserializeOwned>(from: &mut (impl AsyncRead + Unpin)) -> io::Result<T> {
    let mut length = [0; LENGTH_BYTES];
    from.read_exact(&mut length).await?;
    let mut message = vec![0; checked(length)?];
    from.read_exact(&mut message).await?;
    parse(&message)
}

fn parse<T: DeserializeOwned>(message: &[u8]) -> io::Result<T> {
    match postcard::take_from_bytes(message) {
        Ok((message, [])) => Ok(message),
        Ok(_) => Err(io::Error::other("there is more behind the message")),
        Err(error) => Err(io::Error::other(error)),
    }
}

fn checked(length: [u8; LENGTH_BYTES]) -> io::Result<usize> {
    let length = usize::try_from(u32::from_le_bytes(length)).map_err(io::Error::other)?;
    match length {
        ..=limits::MAX_FOLDER_FRAME_BYTES => Ok(length),
        _ => Err(io::Error::other(format!("it announces {length} bytes, more than MAX_FOLDER_FRAME_BYTES"))),
    }
}
