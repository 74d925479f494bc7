//! The process that holds a folder for a server: which it may hold, the server has stated before it put up its walls, or a
//! person has bound since.

use std::process::ExitCode;

use crate::authority::Access;
use crate::cli::args::HoldFolderArgs;
use crate::cli::config::bindings::BindingsFile;
use crate::files::{self, MayHold};

/// Until its server has no use for it any more.
pub fn hold(args: &HoldFolderArgs) -> ExitCode {
    let mut may = args.may_hold();
    // What the server could write says nothing of what it may have.
    if let Some(file) = args.bindings.as_deref().filter(|file| !may.is_in_data(file)) {
        match BindingsFile::read(file) {
            Ok(bindings) => add(&mut may, &bindings),
            Err(error) => eprintln!("what is bound there counts for nothing: {error}"),
        }
    }
    files::run(args.walls, &may)
}

fn add(may: &mut MayHold, bindings: &BindingsFile) {
    for (path, access) in bindings.folders_of(&may.data.clone()) {
        match access {
            Access::Read => may.read.push(path.to_owned()),
            Access::Write => may.write.push(path.to_owned()),
        }
    }
}
