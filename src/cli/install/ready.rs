//! The first start of a server, before a host waits for it: hosts give a program seconds, and go on without its tools,
//! or by an older protocol without tasks, while that compiles them.

use std::process::{Command, Stdio};

/// Starts what the entry starts, as a host does that leaves at once. The server in the background stays for the host
/// to come, and what it has compiled stays for the next one. `false` where it did not start: it has said why on stderr.
pub fn started_once(command: &str, args: &[String]) -> bool {
    let mut bridge = Command::new(command);
    // Our own stdout is for documents.
    let status = bridge.args(args).stdin(Stdio::null()).stdout(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}
