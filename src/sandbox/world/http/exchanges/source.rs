use bytes::Bytes;

use crate::sandbox::world::http::outcome::Head;
use crate::sandbox::world::http::request::Request;
use crate::sandbox::world::http::way_out::Flow;

/// Where a body comes from.
pub(super) enum Source {
    /// From its server, for the first time.
    Open(Flow),
    /// From disk, and what is not there from its server once more.
    Disk(Box<Asked>),
}

/// A request that was answered.
pub(super) struct Asked {
    pub request: Request,
    /// `None` where it streamed: it is there no more.
    pub body: Option<Bytes>,
    /// As the guest has it.
    pub head: Head,
}
