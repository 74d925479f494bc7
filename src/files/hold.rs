//! A folder is held: it is opened, the walls are put up around it, and then the calls are done, one after another.

use std::io::{self, Read, Write};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::act::Folder;
use super::call::{Call, Root};
use super::first::First;
use super::may_hold::MayHold;
use super::pipe;
use crate::limits;
use crate::walls::{Wanted, raise_around_folder};

/// How a folder is held.
#[derive(Clone, Debug)]
pub struct Manner {
    pub wanted: Wanted,
    pub may: MayHold,
    pub first: First,
    /// The process does nothing else, so that it gets bounds of its own for good.
    pub has_process: bool,
}

/// Until the pipe ends.
pub fn serve(mut from: impl Read, mut to: impl Write, manner: &Manner) -> io::Result<()> {
    let Some(root) = pipe::read::<Root>(&mut from)? else { return Ok(()) };
    let folder = match begin(&root, manner) {
        Ok(folder) => folder,
        Err(why) => return pipe::write(&mut to, &Err::<(), _>(why)),
    };
    pipe::write(&mut to, &Ok::<(), String>(()))?;
    while let Some(call) = pipe::read::<Call>(&mut from)? {
        pipe::write(&mut to, &folder.act(call))?;
    }
    Ok(())
}

fn begin(root: &Root, manner: &Manner) -> Result<Folder, String> {
    let folder = Folder::open(root, &manner.may)?.with(manner.first);
    if manner.has_process {
        bound().map_err(|error| format!("the bounds of its process cannot be set: {error}"))?;
    }
    if manner.wanted == Wanted::Off {
        return Ok(folder);
    }
    let (opened, writes) = folder.root();
    let standing = raise_around_folder(opened, writes);
    match manner.wanted {
        Wanted::Required if !standing.is_whole() => Err(format!(
            "[engine] walls = \"required\", and not all of its process's stand: {standing}; run it on a kernel that has \
             them, or say walls = \"on\", which takes what there is"
        )),
        // Which walls this system has, the server says in its log and by `doctor`.
        _ => Ok(folder),
    }
}

fn bound() -> io::Result<()> {
    set(Resource::Core, 0)?;
    set(Resource::Nofile, limits::MAX_FOLDER_PROCESS_DESCRIPTORS)?;
    set(Resource::Data, limits::MAX_FOLDER_PROCESS_MEMORY_BYTES)
}

/// Never above what the machine's owner allows.
fn set(resource: Resource, most: u64) -> io::Result<()> {
    let most = Some(most.min(getrlimit(resource).maximum.unwrap_or(u64::MAX)));
    Ok(setrlimit(resource, Rlimit { current: most, maximum: most })?)
}
