//! Single values, and the bounds in which each may lie.

use std::net::{Ipv4Addr, SocketAddr};

use crate::limits;
use crate::store::Durability;
pub use crate::walls::Wanted as WallsWanted;

/// `IP:PORT` or `localhost:PORT`: no name is looked up.
pub fn address(text: &str) -> Result<SocketAddr, String> {
    let numeric = match text.strip_prefix("localhost:") {
        Some(port) => format!("{}:{port}", Ipv4Addr::LOCALHOST),
        None => text.to_owned(),
    };
    numeric.parse().map_err(|_| "is no address such as 127.0.0.1:1919, [::1]:1919 or localhost:0".to_owned())
}

pub fn durability(text: &str) -> Result<Durability, String> {
    match text {
        "standard" => Ok(Durability::Standard),
        "strict" => Ok(Durability::Strict),
        _ => Err("is neither standard nor strict".to_owned()),
    }
}

/// Where guests of components run that are not their operator's own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Isolation {
    /// In the server's process, as all others.
    #[default]
    None,
    /// In a process of their own, one for each component.
    Process,
}

pub fn isolation(text: &str) -> Result<Isolation, String> {
    match text {
        "none" => Ok(Isolation::None),
        "process" => Ok(Isolation::Process),
        _ => Err("is neither none nor process".to_owned()),
    }
}

pub fn switch(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "true" | "yes" | "on" => Ok(true),
        "0" | "false" | "no" | "off" => Ok(false),
        _ => Err("is neither true nor false".to_owned()),
    }
}

pub fn number(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| "is no whole number".to_owned())
}

pub fn live_instances(count: u64) -> Result<usize, String> {
    let most = limits::MAX_LIVE_INSTANCES;
    let fits = usize::try_from(count).ok().filter(|count| (1..=most).contains(count));
    fits.ok_or_else(|| format!("is not from 1 to {most}"))
}

pub fn trace_kib(kib: u64) -> Result<u64, String> {
    let (least, most) = (limits::MIN_TRACE_KIB, limits::MAX_TRACE_KIB);
    if kib == 0 || (least..=most).contains(&kib) {
        return Ok(kib);
    }
    Err(format!("is not from {least} to {most}, nor 0, which keeps nothing"))
}

pub fn suspend_grace_ms(millis: u64) -> Result<u64, String> {
    let most = limits::MAX_SUSPEND_GRACE_MS;
    if millis <= most { Ok(millis) } else { Err(format!("is not from 0 to {most}")) }
}

pub fn dedupe_seconds(seconds: u64) -> Result<u64, String> {
    let most = limits::MAX_TOTAL_SECONDS;
    if seconds <= most { Ok(seconds) } else { Err(format!("is not from 0, which is off, to {most}")) }
}

pub fn retention_days(days: u64) -> Result<u64, String> {
    let most = limits::MAX_RETENTION_DAYS;
    if days <= most { Ok(days) } else { Err(format!("is not from 1 to {most}, nor 0, which is for ever")) }
}

pub fn background_idle_seconds(seconds: u64) -> Result<u64, String> {
    let most = limits::MAX_BACKGROUND_IDLE_SECONDS;
    if seconds <= most { Ok(seconds) } else { Err(format!("is not from 0 to {most}")) }
}
