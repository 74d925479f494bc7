//! `longhaul tool lock`

use std::path::PathBuf;

use super::{approve, lock_file};
use crate::api::ToolApprovals;
use crate::catalog::Lock;
use crate::cli::args::ServerArgs;
use crate::cli::client::access::Access;
use crate::cli::context::Context;
use crate::cli::exit::Result;

/// Prints what is approved now, as a lock file has it.
pub async fn run(tools: Vec<PathBuf>, server: &ServerArgs, context: &Context) -> Result<()> {
    let mut access = Access::open(server.url(), context).await?;
    let listed = match approve::look_at_files(&access, tools, context).await {
        Ok(()) => access.run(ToolApprovals {}).await,
        Err(error) => Err(error),
    };
    access.close().await;
    let listed = listed?;
    if context.output.json {
        return context.output.json(&listed.approved);
    }
    let mut lock = Lock::default();
    for approved in &listed.approved {
        lock.insert(&approved.name, lock_file::locked(approved)?);
    }
    lock.text().lines().try_for_each(|line| context.output.line(line))
}
