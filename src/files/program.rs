//! The process that holds one folder. It ends when its server does.

use std::io;
use std::process::ExitCode;

use super::call::Root;
use super::may_hold::MayHold;
use super::pipe;

/// Holds the folder that comes on stdin, for the server at the other end of the pipes. Which it may
/// hold, who states this program has said.
pub fn run(may: &MayHold) -> ExitCode {
    match serve(may) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("longhaul: the process of a folder ends: {error}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(target_os = "linux")]
fn serve(may: &MayHold) -> io::Result<()> {
    use super::act::Folder;
    use super::call::Call;
    use crate::walls;

    let (mut from, mut to) = (io::stdin().lock(), io::stdout().lock());
    let Some(root) = pipe::read::<Root>(&mut from)? else { return Ok(()) };
    let folder = match Folder::open(&root, may) {
        Ok(folder) => folder,
        Err(why) => return pipe::write(&mut to, &Err::<(), _>(why)),
    };
    // Which walls this system has, the server says in its log and by `doctor`.
    let _ = walls::raise_around_folder(&root.path, root.may_write);
    pipe::write(&mut to, &Ok::<(), String>(()))?;
    while let Some(call) = pipe::read::<Call>(&mut from)? {
        pipe::write(&mut to, &folder.act(call))?;
    }
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn serve(_: &MayHold) -> io::Result<()> {
    let _ = pipe::read::<Root>(&mut io::stdin().lock())?;
    pipe::write(&mut io::stdout().lock(), &Err::<(), _>(super::servers::NOT_HERE.to_owned()))
}
