//! The program that holds one folder. It ends when its server does.

use std::io;
use std::process::ExitCode;

use super::may_hold::MayHold;
use crate::walls::Wanted;

/// Holds the folder that comes on stdin, for the server at the other end of the pipes, behind the walls that are `wanted`.
/// These, and which folders it may hold, who states this program has said.
pub fn run(wanted: Wanted, may: &MayHold) -> ExitCode {
    match serve(wanted, may) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("longhaul: the process of a folder ends: {error}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(target_os = "linux")]
fn serve(wanted: Wanted, may: &MayHold) -> io::Result<()> {
    use super::first::First;
    use super::hold::{Manner, serve};

    let manner = Manner { wanted, may: may.clone(), first: First::Stands, has_process: true };
    serve(io::stdin().lock(), io::stdout().lock(), &manner)
}

#[cfg(not(target_os = "linux"))]
fn serve(_: Wanted, _: &MayHold) -> io::Result<()> {
    use super::call::Root;
    use super::pipe;

    let _ = pipe::read::<Root>(&mut io::stdin().lock())?;
    pipe::write(&mut io::stdout().lock(), &Err::<(), _>(super::servers::NOT_HERE.to_owned()))
}
