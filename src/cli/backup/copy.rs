//! Looking at the store of a server that cannot be asked: at a copy that the server makes of it.

use std::fmt;
use std::io::BufReader;
use std::sync::Arc;

use super::source::Source;
use crate::cli::context::Context;
use crate::cli::exit::{CliError, Result};
use crate::cli::scratch::Scratch;
use crate::cli::show::render::escape_text;
use crate::engine::{EngineOptions, Runner, TaskEngine};
use crate::store::Store;

/// The store as it was a moment ago, to be read. The copy has no name any more when this returns.
pub async fn open_copy(
    why: impl fmt::Display,
    runner: Arc<dyn Runner>,
    context: &Context,
) -> Result<TaskEngine> {
    let folder = context.data();
    let source = Source::of_server(folder).await?;
    let scratch = Scratch::new("copy").map_err(CliError::failed)?;
    let to = scratch.path().join("data");
    let copied = to.clone();
    let restore = move || Store::restore(BufReader::new(source.stream), &copied, 0);
    tokio::task::spawn_blocking(restore).await.map_err(CliError::failed)??;
    let engine = TaskEngine::open_to_read(&to, runner, EngineOptions::default()).await?;
    let text = format!("{why}; this is its store as it was just now, which it gave as a copy");
    eprintln!("longhaul: {}", escape_text(&text));
    Ok(engine)
}
