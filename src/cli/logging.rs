//! Logs go to stderr, by `tracing`.
//!
//! No secret comes into a log at any level. Longhaul's own code logs no message, header, token or session id; libraries
//! do: rmcp logs whole messages from `trace` up to `warn`, and session ids at `info`. So rmcp logs nothing, whatever
//! the filter says, and other libraries nothing below `info`.

use std::fmt;
use std::io::{self, IsTerminal};

use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::fmt::format::{DefaultFields, Writer};
use tracing_subscriber::fmt::{FormatFields, MakeWriter};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::catalog::show_hidden;
use crate::cli::exit::{CliError, Result};

/// What is logged unless a filter says otherwise: what an operator has to know. A command prints its own errors itself.
pub const SERVER_DEFAULT: &str = "warn,longhaul=info";
pub const COMMAND_DEFAULT: &str = "error";

/// `--log`, else LONGHAUL_LOG, else RUST_LOG, else `default`.
pub fn start(flag: Option<&str>, default: &str) -> Result<()> {
    let from_environment = || {
        ["LONGHAUL_LOG", "RUST_LOG"]
            .iter()
            .find_map(|name| std::env::var(name).ok().filter(|filter| !filter.is_empty()))
    };
    let filter = flag.map(str::to_owned).or_else(from_environment).unwrap_or_else(|| default.to_owned());
    let subscriber = subscriber(&filter, io::stderr, colours_wanted(&io::stderr()))?;
    // A second start, as in tests, keeps the first subscriber.
    let _ = subscriber.try_init();
    Ok(())
}

fn subscriber<W>(filter: &str, writer: W, colours: bool) -> Result<impl Subscriber + Send + Sync>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let wanted = EnvFilter::try_new(filter).map_err(|e| {
        CliError::usage(format_args!("the log filter '{filter}' makes no sense: {e}"))
            .next("for example: --log debug, or --log longhaul=trace")
    })?;
    let written = tracing_subscriber::fmt()
        .with_env_filter(wanted)
        .with_writer(writer)
        .with_ansi(colours)
        .fmt_fields(Shown)
        .finish();
    Ok(written.with(filter_fn(may_be_logged)))
}

fn may_be_logged(of: &Metadata<'_>) -> bool {
    match of.target().split("::").next() {
        Some("longhaul") => true,
        Some("rmcp") => false,
        _ => *of.level() <= Level::INFO,
    }
}

/// Fields as usual, with what they hide spelled out: guests, clients and other servers have their words in them.
struct Shown;

impl<'writer> FormatFields<'writer> for Shown {
    fn format_fields<R: RecordFields>(&self, mut writer: Writer<'writer>, fields: R) -> fmt::Result {
        let mut text = String::new();
        DefaultFields::new().format_fields(Writer::new(&mut text), fields)?;
        writer.write_str(&show_hidden(&text))
    }
}

fn colours_wanted(stream: &impl IsTerminal) -> bool {
    stream.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parking_lot::Mutex;

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(filter: &str, log: impl FnOnce()) -> String {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = subscriber(filter, move || writer.clone(), false).expect("a filter");
        tracing::subscriber::with_default(subscriber, log);
        String::from_utf8(lines.0.lock().clone()).expect("text")
    }

    /// So that they can be copied.
    #[test]
    fn lines_of_a_message_stay_lines() {
        let text = logged("info", || tracing::warn!("these:\n[grants.a]\nhttp = [\"http://b:80\"]"));
        assert!(text.ends_with("these:\n[grants.a]\nhttp = [\"http://b:80\"]\n"), "{text}");
    }

    #[test]
    fn what_libraries_carry_is_logged_at_no_level() {
        for filter in
            ["trace", "debug", "rmcp=trace", "rmcp::service=trace,info", "off,rmcp=debug,hyper=trace"]
        {
            let text = logged(filter, || {
                let message = "lh_secret";
                tracing::trace!(target: "rmcp::service", ?message, "new event");
                tracing::debug!(target: "rmcp::service", ?message, "received");
                tracing::info!(target: "rmcp::transport", session_id = message, "deleted");
                tracing::warn!(target: "rmcp", ?message, "unexpected");
                tracing::error!(target: "rmcp::transport::async_rw", message);
                let span = tracing::error_span!(target: "rmcp::service", "serve", token = message);
                span.in_scope(|| tracing::error!(target: "longhaul::mcp", "inside"));
                tracing::debug!(target: "hyper::proto", header = message, "parsed");
                tracing::trace!(target: "h2", header = message, "frame");
            });
            assert!(!text.contains("lh_secret"), "{filter}: {text}");
        }
        let text = logged("trace", || {
            tracing::trace!(target: "longhaul::engine", "ours");
            tracing::info!(target: "wasmtime", "theirs");
        });
        assert!(text.contains("ours") && text.contains("theirs"), "{text}");
    }

    #[test]
    fn what_is_hidden_in_a_field_is_spelled_out() {
        let text = logged("info", || {
            tracing::info!(target: "longhaul", why = %"a\u{202e}b\u{e0041}", host = ?"c\u{1b}[2J\u{9b}", "said\u{200b}");
        });
        for raw in ['\u{202e}', '\u{e0041}', '\u{1b}', '\u{9b}', '\u{200b}'] {
            assert!(!text.contains(raw), "{text:?}");
        }
        assert!(text.contains("said\\u{200b}") && text.contains("\\u{202e}"), "{text}");
    }
}
