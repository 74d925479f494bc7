//! Logs go to stderr, by `tracing`.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;

use super::exit::{CliError, Result};

/// What is logged where nobody says otherwise: what an operator has to know. The MCP library calls every
/// client that leaves an error, and a command tells its own errors itself.
pub const SERVER_DEFAULT: &str = "warn,longhaul=info,rmcp=off";
pub const COMMAND_DEFAULT: &str = "error,rmcp=off";

/// `--log`, else LONGHAUL_LOG, else RUST_LOG, else `default`.
pub fn start(flag: Option<&str>, default: &str) -> Result<()> {
    let from_environment = || {
        ["LONGHAUL_LOG", "RUST_LOG"]
            .iter()
            .find_map(|name| std::env::var(name).ok().filter(|filter| !filter.is_empty()))
    };
    let filter = flag.map(str::to_owned).or_else(from_environment).unwrap_or_else(|| default.to_owned());
    let filter = EnvFilter::try_new(&filter).map_err(|e| {
        CliError::usage(format_args!("the log filter '{filter}' makes no sense: {e}"))
            .next("for example: --log debug, or --log longhaul=trace")
    })?;
    // A second start, as in tests, keeps the first subscriber.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(colours_wanted(&io::stderr()))
        .try_init();
    Ok(())
}

fn colours_wanted(stream: &impl IsTerminal) -> bool {
    stream.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
