//! `longhaul restore`: a backup becomes the store of a data folder that has none.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use serde_json::json;

use super::summary::{describe, document};
use crate::cli::args::RestoreArgs;
use crate::cli::context::Context;
use crate::cli::exit::{CliError, Exit, Result};
use crate::cli::server::background::unusable;
use crate::cli::show::render::escape_text;
use crate::private::{self, NotPrivate};
use crate::store::Store;

pub async fn run(args: RestoreArgs, context: &Context) -> Result<Exit> {
    let input: Box<dyn Read + Send> = match args.backup.as_path() {
        stdin if stdin == Path::new("-") => Box::new(io::stdin()),
        path => Box::new(open(path)?),
    };
    let (folder, is_check) = (context.data().to_owned(), args.check);
    let work = move || -> Result<_> {
        let input = BufReader::new(input);
        if is_check {
            return Ok(Store::verify_backup(input)?);
        }
        private::make_folder(&folder).map_err(|error| unusable(&folder, &error))?;
        Ok(Store::restore(input, &folder, draw()?)?)
    };
    let summary = tokio::task::spawn_blocking(work).await.map_err(CliError::failed)??;
    if context.output.json {
        let mut document = document(&summary);
        if !is_check {
            document["data"] = json!(context.data());
        }
        context.output.json(&document)?;
        return Ok(Exit::Done);
    }
    if is_check {
        context.output.line(format!("the backup is whole: {}", describe(&summary)))?;
        return Ok(Exit::Done);
    }
    let folder = context.data().display();
    context.output.line(escape_text(&format!("restored to {folder}: {}", describe(&summary))))?;
    eprintln!(
        "{}",
        escape_text(&format!(
            "before you serve it: the server that the backup is of must not run any more, nor start again. Both would go \
             on with the same open tasks, and do twice whatever these do elsewhere.\n  \
             next: longhaul --data {folder} task list, then longhaul serve --data {folder} --tools PATH"
        ))
    );
    Ok(Exit::Done)
}

/// What is in it is believed, the owner's key among it: no other user may be able to write it.
fn open(path: &Path) -> Result<File> {
    private::open_to_read(path).map_err(|error| match NotPrivate::of(&error) {
        Some(why) => CliError::refused(&why.what)
            .next(format!("if you know where it is from: longhaul restore - < {}", path.display())),
        None if error.kind() == io::ErrorKind::NotFound => {
            CliError::not_found(format_args!("there is no file {}", path.display()))
                .next("name the file of a backup, such as BACKUPS/longhaul-20260101T000000.000000Z.backup")
        }
        None => CliError::failed(format_args!("{} cannot be read: {error}", path.display())),
    })
}

fn draw() -> Result<u64> {
    let mut draw = [0; 8];
    getrandom::fill(&mut draw)
        .map_err(|e| CliError::failed(format_args!("the machine gives no random numbers: {e}")))?;
    Ok(u64::from_le_bytes(draw))
}
