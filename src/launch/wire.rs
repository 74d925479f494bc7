//! What a server and its launcher say to each other: one message a packet, with descriptors.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::Interest;
use tokio::net::UnixStream;

use super::end::{End, Stop};
use super::program::{Program, Role};
use crate::limits;

/// Pipes of one program.
const MAX_DESCRIPTORS: usize = 3;

/// All that can be asked of a launcher.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// A program that may be started; none more once `Closed` was said.
    State(Role, Program),
    Closed,
    Start {
        id: u64,
        role: Role,
    },
    Stop {
        id: u64,
        stop: Stop,
    },
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// To `Closed`.
    Ready,
    /// With its pipes: stdin, stdout, and stderr where that is piped.
    Started {
        id: u64,
        pid: u32,
    },
    Refused {
        id: u64,
        why: String,
    },
    Ended {
        id: u64,
        end: End,
    },
}

/// The bytes of a message, or why it is none.
pub fn encode(message: &impl Serialize) -> io::Result<Vec<u8>> {
    let bytes = postcard::to_stdvec(message).map_err(io::Error::other)?;
    match bytes.len() {
        ..=limits::MAX_LAUNCHER_FRAME_BYTES => Ok(bytes),
        length => Err(io::Error::other(format!(
            "{length} bytes to the launcher at once, more than {} (MAX_LAUNCHER_FRAME_BYTES)",
            limits::MAX_LAUNCHER_FRAME_BYTES
        ))),
    }
}

/// Sends one packet, as far as the socket takes it now.
pub fn send(socket: impl AsFd, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(io::Error::other("more pipes than a program has"));
    }
    sendmsg(socket, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// The next message and its descriptors; none where the other end is closed.
pub fn receive<M: DeserializeOwned>(socket: impl AsFd) -> io::Result<Option<(M, Vec<OwnedFd>)>> {
    let mut bytes = vec![0; limits::MAX_LAUNCHER_FRAME_BYTES];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received =
        recvmsg(socket, &mut [IoSliceMut::new(&mut bytes)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let mut descriptors = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(sent) = message {
            descriptors.extend(sent);
        }
    }
    if received.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC) {
        return Err(io::Error::other("a message that is cut off"));
    }
    match &bytes[..received.bytes] {
        [] => Ok(None),
        message => Ok(Some((postcard::from_bytes(message).map_err(io::Error::other)?, descriptors))),
    }
}

/// The socket within a runtime. It carries packets, and only its readiness is asked of tokio.
pub fn attached(socket: OwnedFd) -> io::Result<UnixStream> {
    rustix::io::ioctl_fionbio(&socket, true)?;
    UnixStream::from_std(socket.into())
}

pub async fn send_on(socket: &UnixStream, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    socket.async_io(Interest::WRITABLE, || send(socket, bytes, descriptors)).await
}

pub async fn receive_on<M: DeserializeOwned>(socket: &UnixStream) -> io::Result<Option<(M, Vec<OwnedFd>)>> {
    socket.async_io(Interest::READABLE, || receive(socket)).await
}
