//! `longhaul tool add`, `update` and `remove`

use std::path::{Path, PathBuf};

use crate::api::{AddedDocument, ComponentState, Operation, ToolAdd, ToolRemove, ToolUpdate};
use crate::cli::args::{AddArgs, ServerArgs};
use crate::cli::client::access::Access;
use crate::cli::context::Context;
use crate::cli::exit::{CliError, Exit, Result};
use crate::cli::server::load;
use crate::cli::show::render::{escape, escape_text};

/// Each component of a folder for itself: one that is refused keeps no other from being added.
pub async fn add(args: AddArgs, context: &Context) -> Result<Exit> {
    let AddArgs { path, manifest, server } = args;
    if manifest.is_some() {
        return Err(no_manifest_here(&path.to_string_lossy()));
    }
    // A workspace is built first, here.
    let files = load::find(vec![absolute(&path)?]).await?;
    let mut access = Access::open_or_make(server.url(), context).await?;
    let mut refused = None;
    for file in files {
        let path = absolute(&file.path)?.to_string_lossy().into_owned();
        match access.run(ToolAdd { path, from: None }).await {
            Ok(added) => say(&added, "added", context)?,
            Err(error) => {
                if let Some(before) = refused.replace(error) {
                    eprintln!("{}", escape_text(&before.to_string()));
                }
            }
        }
    }
    access.close().await;
    refused.map_or(Ok(Exit::Done), Err)
}

pub(super) fn no_manifest_here(what: &str) -> CliError {
    let what = escape(what);
    CliError::usage(format_args!("{what} is from no registry, and --manifest is for what is"))
        .next("put the manifest next to the component's file, as NAME.toml next to NAME.wasm")
}

/// `what` is its name, or a file's absolute path.
pub(super) async fn update(what: String, server: &ServerArgs, context: &Context) -> Result<AddedDocument> {
    done(ToolUpdate { what, from: None }, server, context).await
}

pub async fn remove(name: String, server: &ServerArgs, context: &Context) -> Result<Exit> {
    let removed = done(ToolRemove { name }, server, context).await?;
    if context.output.json {
        context.output.json(&removed)?;
    } else {
        eprintln!("{}: removed; it is not served any more, and its tasks go on", escape(&removed.name));
    }
    Ok(Exit::Done)
}

/// By the server, or in the store itself.
async fn done<O: Operation<Response = AddedDocument>>(
    operation: O,
    server: &ServerArgs,
    context: &Context,
) -> Result<AddedDocument> {
    let mut access = Access::open(server.url(), context).await?;
    let done = access.run(operation).await;
    access.close().await;
    done
}

pub(super) fn say(added: &AddedDocument, what: &str, context: &Context) -> Result<()> {
    if context.output.json {
        return context.output.json(added);
    }
    let name = escape(&added.name);
    let stands = match (added.state, &added.why) {
        (Some(ComponentState::WaitsForApproval), Some(why)) => {
            let until = match added.serves {
                Some(_) => "; what was served goes on until then",
                None => "",
            };
            format!("it waits, since {}: longhaul tool approve {name}{until}", escape(why))
        }
        (Some(state), _) => format!("it is {}", state.words()),
        (None, _) => "the next start looks at it".to_owned(),
    };
    eprintln!("{name}: {what}; {stands}");
    Ok(())
}

pub(super) fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).map_err(|error| CliError::usage(format_args!("{}: {error}", path.display())))
}
