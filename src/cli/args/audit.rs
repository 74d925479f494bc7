//! What `longhaul audit` takes.

use clap::{Args, Subcommand};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::server::ServerArgs;
use crate::clock::{Clock, SystemClock};
use crate::engine::Verdict;

#[derive(Clone, Debug, Args)]
pub struct AuditArgs {
    #[command(flatten)]
    pub server: ServerArgs,
    #[command(subcommand)]
    pub command: AuditCommand,
}

#[derive(Clone, Debug, Subcommand)]
pub enum AuditCommand {
    /// List what was done and refused, newest first
    List {
        /// Only from then on: 90s, 30m, 2h, 7d ago, or a time such as 2026-11-21T10:00:00Z
        #[arg(long, value_name = "WHEN", value_parser = moment)]
        since: Option<u64>,
        /// Only what this principal did
        #[arg(long)]
        principal: Option<String>,
        /// Only calls of this tool
        #[arg(long)]
        tool: Option<String>,
        /// Only what was admitted, repeated or refused
        #[arg(long, value_parser = verdict)]
        verdict: Option<Verdict>,
        /// At most this many
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
        limit: u32,
    },
}

fn verdict(text: &str) -> Result<Verdict, String> {
    let all = [Verdict::Admitted, Verdict::Repeated, Verdict::Refused];
    let found = all.into_iter().find(|verdict| verdict.to_string() == text);
    found.ok_or_else(|| "it is admitted, repeated or refused".to_owned())
}

/// Nanoseconds since 1970 of a time, or of so long ago.
fn moment(text: &str) -> Result<u64, String> {
    let wrong =
        || "it is neither a time such as 2026-11-21T10:00:00Z nor so long ago: 90s, 30m, 2h, 7d".to_owned();
    if let Ok(time) = OffsetDateTime::parse(text, &Rfc3339) {
        return u64::try_from(time.unix_timestamp_nanos()).map_err(|_| wrong());
    }
    let unit = match text.as_bytes().last() {
        Some(b's') => 1,
        Some(b'm') => 60,
        Some(b'h') => 3_600,
        Some(b'd') => 86_400,
        _ => return Err(wrong()),
    };
    let count: u64 = text[..text.len() - 1].parse().map_err(|_| wrong())?;
    let ago =
        count.checked_mul(unit).and_then(|seconds| seconds.checked_mul(1_000_000_000)).ok_or_else(wrong)?;
    Ok(SystemClock::default().wall().saturating_sub(ago))
}
