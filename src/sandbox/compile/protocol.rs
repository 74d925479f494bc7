//! What a compiler's parent and the compiler say to each other: each a line of JSON, and bytes behind it.

use std::io::{self, BufRead, Read, Write};

use serde::{Deserialize, Serialize};

use crate::engine::InspectError;
use crate::limits;

/// What is to be compiled and within what bounds; the component's bytes follow. The pipe stays open while the answer is
/// awaited: once it is closed, the parent is gone.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// Of the engine that the code is for: a compiler of another build refuses.
    pub fingerprint: String,
    pub component_bytes: usize,
    pub memory_mib: u64,
    pub processor_seconds: u64,
}

/// What became of it.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// The code follows.
    Compiled {
        code_bytes: usize,
    },
    Refused(Refused),
}

/// [`InspectError`] between the two.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind", content = "message")]
pub enum Refused {
    NotAComponent(String),
    Unsupported(String),
    BadDefinition(String),
    HostFault(String),
}

impl From<InspectError> for Refused {
    fn from(error: InspectError) -> Self {
        match error {
            InspectError::NotAComponent(words) => Self::NotAComponent(words),
            InspectError::Unsupported(words) => Self::Unsupported(words),
            InspectError::BadDefinition(words) => Self::BadDefinition(words),
            InspectError::HostFault(words) => Self::HostFault(words),
        }
    }
}

impl From<Refused> for InspectError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::NotAComponent(words) => Self::NotAComponent(words),
            Refused::Unsupported(words) => Self::Unsupported(words),
            Refused::BadDefinition(words) => Self::BadDefinition(words),
            Refused::HostFault(words) => Self::HostFault(words),
        }
    }
}

/// The line that begins a message.
pub fn line(head: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(head)?;
    line.push(b'\n');
    Ok(line)
}

/// In the compiler: what it is asked for, and the component.
pub fn read_request(from: &mut impl BufRead) -> io::Result<(Request, Vec<u8>)> {
    let mut head = Vec::new();
    from.by_ref().take(limits::MAX_COMPILER_LINE_BYTES).read_until(b'\n', &mut head)?;
    let request: Request = serde_json::from_slice(&head)?;
    if request.component_bytes > limits::MAX_COMPONENT_BYTES {
        return Err(io::Error::other("more bytes than a component may have (MAX_COMPONENT_BYTES)"));
    }
    let mut component = vec![0; request.component_bytes];
    from.read_exact(&mut component)?;
    Ok((request, component))
}

/// In the compiler: its answer.
pub fn write_reply(to: &mut impl Write, compiled: Result<&[u8], Refused>) -> io::Result<()> {
    let (reply, code) = match compiled {
        Ok(code) => (Reply::Compiled { code_bytes: code.len() }, code),
        Err(refused) => (Reply::Refused(refused), [].as_slice()),
    };
    to.write_all(&line(&reply)?)?;
    to.write_all(code)?;
    to.flush()
}

/// In the parent: all that the compiler has said.
pub fn parse_reply(said: Vec<u8>) -> Result<Result<Vec<u8>, Refused>, String> {
    let end = said.iter().position(|byte| *byte == b'\n').ok_or("it ended before it answered")?;
    let reply: Reply = serde_json::from_slice(&said[..end]).map_err(|error| error.to_string())?;
    match reply {
        Reply::Refused(refused) => Ok(Err(refused)),
        Reply::Compiled { code_bytes } if said.len() - end - 1 == code_bytes => {
            let mut code = said;
            code.drain(..=end);
            Ok(Ok(code))
        }
        Reply::Compiled { code_bytes } => {
            Err(format!("it wrote {} bytes of code out of {code_bytes}", said.len() - end - 1))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(component_bytes: usize) -> Request {
        Request { fingerprint: "f".into(), component_bytes, memory_mib: 9, processor_seconds: 8 }
    }

    #[test]
    fn what_one_writes_the_other_reads() {
        let sent = [&line(&request(5)).unwrap()[..], b"bytes and more"].concat();
        let (seen, component) = read_request(&mut &sent[..]).unwrap();
        assert_eq!((seen, &component[..]), (request(5), &b"bytes"[..]));
        for code in [&b"code\n with lines"[..], b""] {
            let mut said = Vec::new();
            write_reply(&mut said, Ok(code)).unwrap();
            assert_eq!(parse_reply(said), Ok(Ok(code.to_vec())));
        }
        let refused = || Refused::Unsupported("two\nlines".into());
        let mut said = Vec::new();
        write_reply(&mut said, Err(refused())).unwrap();
        assert_eq!(parse_reply(said), Ok(Err(refused())));
    }

    #[test]
    fn what_is_cut_off_is_no_answer() {
        let mut said = Vec::new();
        write_reply(&mut said, Ok(b"machine code")).unwrap();
        for length in 0..said.len() {
            assert!(parse_reply(said[..length].to_vec()).is_err(), "{length}");
        }
        said.push(0);
        assert!(parse_reply(said).is_err());
        let sent = [&line(&request(5)).unwrap()[..], b"byte"].concat();
        for length in 0..=sent.len() {
            assert!(read_request(&mut &sent[..length]).is_err(), "{length}");
        }
        assert!(read_request(&mut &line(&request(usize::MAX)).unwrap()[..]).is_err());
    }
}
