//! `longhaul task export`: by the server, piece by piece, or from the store itself.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::json;

use crate::api::TaskExport;
use crate::authority::Principal;
use crate::cli::client::access::Access;
use crate::cli::client::remote::Remote;
use crate::cli::context::Context;
use crate::cli::exit::{CliError, Result};
use crate::limits;
use crate::task::TaskId;

pub async fn run(
    access: &mut Access,
    (id, redact): (TaskId, bool),
    to: Option<PathBuf>,
    context: &Context,
) -> Result<()> {
    if to.is_none() && context.output.terminal {
        return Err(CliError::usage("an export is no text for a terminal")
            .next(format!("longhaul task export {id} -o FILE")));
    }
    if to.is_none() && context.output.json {
        return Err(CliError::usage("--json and the export cannot both go to stdout").next("add -o FILE"));
    }
    let file = match access {
        Access::Server(remote) => from_server(remote, id, redact).await?,
        Access::Store(engine) => {
            engine.export_file(&Principal::local().overseeing(), id, (redact, engine.now())).await?
        }
    };
    let Some(path) = to else { return context.output.raw(&file) };
    write(&path, &file)?;
    match context.output.json {
        true => context.output.json(&json!({ "task": id.to_string(), "file": path, "bytes": file.len() })),
        false => context.output.line(format!(
            "task {id} is in {}; to replay it: longhaul replay {0}",
            crate::cli::show::render::shell_word(path.as_os_str())
        )),
    }
}

/// For its owner's eyes: it holds what the task was given.
fn write(path: &Path, file: &[u8]) -> Result<()> {
    let written = || {
        let mut out = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        out.write_all(file)?;
        out.sync_all()
    };
    written().map_err(|error: std::io::Error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => {
            CliError::usage(format_args!("{} is there already", path.display()))
                .next("name another file with -o")
        }
        _ => CliError::failed(format_args!("{} cannot be written: {error}", path.display())),
    })
}

async fn from_server(remote: &Remote, task_id: TaskId, redact: bool) -> Result<Vec<u8>> {
    for _ in 0..limits::MAX_LOOKS {
        if let Some(file) = whole(remote, task_id, redact).await? {
            return Ok(file);
        }
    }
    Err(CliError::failed(format_args!("task {task_id} goes on while it is read: its export is never whole"))
        .next("export it when it waits or has ended, or from its data folder once the server is stopped"))
}

/// `None` where the task went on meanwhile.
async fn whole(remote: &Remote, task_id: TaskId, redact: bool) -> Result<Option<Vec<u8>>> {
    let (mut file, mut digest, mut exported_at) = (Vec::new(), None, None);
    loop {
        let asked = TaskExport { task_id, redact, offset: file.len() as u64, exported_at };
        let piece = remote.run(&asked, true).await?;
        exported_at = piece.exported_at;
        if digest.get_or_insert_with(|| piece.digest.clone()) != &piece.digest {
            return Ok(None);
        }
        let bytes = BASE64.decode(&piece.base64).map_err(CliError::failed)?;
        file.extend_from_slice(&bytes);
        let is_whole = file.len() as u64 >= piece.bytes;
        if is_whole || bytes.is_empty() || file.len() > limits::MAX_SERVED_EXPORT_BYTES {
            let is_it = is_whole && digest.as_deref() == Some(blake3::hash(&file).to_hex().as_str());
            return Ok(is_it.then_some(file));
        }
    }
}
