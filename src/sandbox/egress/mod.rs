//! Lives here: the one way out of a guest: where it may go, which addresses are dialled, and the HTTP client.
//! May import: `authority`'s grant, `secrets`, `limits`. Never here: the journal, wasmtime, what an exchange means to a task.
//! Read first: `connector.rs`, then `address.rs`.

mod address;
mod answer;
mod client;
mod connector;
mod failure;
mod machine;
mod masking;
mod opened;
mod secrets;
mod stream;
mod target;
mod upload;

pub use self::answer::{Answer, Head, Timer};
pub use self::client::Client;
pub use self::connector::{Connector, Dialler, Outgoing, Route, Timeouts};
pub use self::failure::Failure;
pub use self::opened::Opened;
pub use self::secrets::put_in;
pub use self::stream::Stream;
pub use self::target::Target;
pub use self::upload::{Sending, Upload};
