//! The store, and the server that has it.

use std::path::Path;

use super::check::Check;
use crate::cli::backup::check_running;
use crate::cli::client::access::Access;
use crate::cli::client::remote::Remote;
use crate::cli::context::Context;
use crate::cli::exit::CliError;
use crate::cli::server::server_file::{ServerInfo, Serves};
use crate::cli::show::render::bytes;
use crate::private::Purpose;
use crate::store::{BackupSummary, Presence, Store, StoreError};

/// Reads all of the store, which may take seconds for each gigabyte.
pub async fn checksums(folder: &Path) -> Option<Check> {
    const CHECKSUMS: &str = "checksums";
    match Store::presence(folder) {
        Ok(Presence::Free { .. }) => {}
        Ok(Presence::InUse { .. }) => {
            return Some(match check_running(folder).await {
                Ok(BackupSummary { rows, log_rows, .. }) => Check::ok(
                    CHECKSUMS,
                    format!(
                        "all right in {rows} rows and {log_rows} commits, as the running server reads them"
                    ),
                ),
                Err(error) => Check::warn(
                    CHECKSUMS,
                    error.message,
                    error.next.unwrap_or_else(|| "docs/operators.md has more".to_owned()),
                ),
            });
        }
        // What is wrong is said already.
        Ok(Presence::Missing) | Err(_) => return None,
    }
    let folder = folder.to_owned();
    let checked = tokio::task::spawn_blocking(move || Store::check(&folder)).await;
    Some(match checked {
        Ok(Ok(checked)) => {
            let found = format!("all right in {} rows and {} commits", checked.rows, checked.log_rows);
            Check::ok(CHECKSUMS, found)
        }
        Ok(Err(error)) => Check::warn(
            CHECKSUMS,
            error.to_string(),
            "keep a copy of the file and restore a backup; docs/operators.md has more",
        ),
        Err(error) => Check::warn(CHECKSUMS, error.to_string(), "please report this"),
    })
}

/// Whether what principals are counted with is what they keep; what is not is counted again.
pub async fn counts(context: &Context) -> Check {
    const COUNTS: &str = "counts";
    let checked = async {
        let engine = Access::open_offline(Purpose::Read, context).await?;
        let found = engine.check_counts().await;
        engine.shutdown().await;
        let found = found?;
        if !found.wrong.is_empty() {
            let engine = Access::open_offline(Purpose::Write, context).await?;
            let counted = engine.count_again().await;
            engine.shutdown().await;
            counted?;
        }
        Ok::<_, CliError>(found)
    };
    match checked.await {
        Ok(found) if found.wrong.is_empty() => {
            Check::ok(COUNTS, format!("all right for what {} shares of the store hold", found.counts))
        }
        Ok(found) => Check::warn(
            COUNTS,
            format!("{}; it is counted again and right now", found.wrong.join("; ")),
            "a build that keeps no counts may have written here; if none has, please report this",
        ),
        Err(error) => Check::warn(
            COUNTS,
            error.message,
            error.next.unwrap_or_else(|| "docs/operators.md has more".to_owned()),
        ),
    }
}

pub async fn server_and_store(context: &Context) -> Vec<Check> {
    const SERVER: &str = "server";
    const STORE: &str = "store";
    let folder = context.data();
    let presence = match Store::presence(folder) {
        Ok(presence) => presence,
        Err(StoreError::NotPrivate(why)) => return vec![Check::warn(STORE, why.what, why.next)],
        Err(error) => return vec![Check::warn(STORE, error.to_string(), "see who may read it")],
    };
    match presence {
        Presence::Missing => {
            vec![
                Check::ok(SERVER, "none on this folder"),
                Check::ok(STORE, "not there yet, the first start makes it"),
            ]
        }
        Presence::InUse { file_bytes } => {
            let info = ServerInfo::read(folder);
            let serves = info.as_ref().map(|info| info.serves);
            let server = match Remote::find(context).await {
                Err(_) if serves == Some(Serves::OneHost) => {
                    Check::ok(SERVER, "serves its own host on stdio, with --private")
                }
                Ok(remote) => {
                    let by_itself = match serves {
                        Some(Serves::Background) => "; in the background, as long as it is needed",
                        _ => "",
                    };
                    Check::ok(SERVER, format!("answers at {}{by_itself}", remote.url()))
                }
                Err(error) => Check::warn(
                    SERVER,
                    match &info {
                        Some(info) => format!("pid {} has the folder and does not answer: {error}", info.pid),
                        None => {
                            format!("a process has the folder and does not say where it listens: {error}")
                        }
                    },
                    "wait until it has started or ended; look at its log",
                ),
            };
            vec![server, Check::ok(STORE, format!("in use by its server, {}", bytes(file_bytes)))]
        }
        Presence::Free { .. } => {
            let store = match Access::open_offline(Purpose::Read, context).await {
                Ok(engine) => {
                    let usage = engine.usage();
                    engine.shutdown().await;
                    usage.map_err(CliError::from)
                }
                Err(error) => Err(error),
            };
            let store = match store {
                Ok(usage) => Check::ok(
                    STORE,
                    format!(
                        "format {}, {} in the file, {} live, {} free in it",
                        Store::FORMAT,
                        bytes(usage.file_bytes),
                        bytes(usage.live_bytes),
                        bytes(usage.free_bytes)
                    ),
                ),
                Err(error) => {
                    Check::warn(STORE, error.message, error.next.unwrap_or_else(|| "see above".to_owned()))
                }
            };
            vec![Check::ok(SERVER, "none on this folder"), store]
        }
    }
}
