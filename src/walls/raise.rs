//! Walls are put up.

#[cfg(target_os = "linux")]
use std::os::fd::BorrowedFd;

use super::openings::Openings;
use super::standing::Standing;

/// Puts up what this system has, around the calling thread and all that it starts from now on: so before the first other
/// thread. There is no way back.
pub fn raise(openings: &Openings) -> Standing {
    #[cfg(target_os = "linux")]
    return super::files::raise(openings)
        .and(super::powers::drop_most())
        .and(super::calls::raise(super::calls::Kind::Server));
    #[cfg(not(target_os = "linux"))]
    {
        let _ = openings;
        Standing::none("this system has no walls that are known here")
    }
}

/// The same for a process that has its pipes and needs nothing else: no file, no socket, no other process.
pub fn raise_around_nothing() -> Standing {
    #[cfg(target_os = "linux")]
    return super::files::raise(&Openings::default())
        .and(super::powers::drop_all())
        .and(super::calls::raise(super::calls::Kind::Pipes));
    #[cfg(not(target_os = "linux"))]
    Standing::none("this system has no walls that are known here")
}

/// The same for a process that has its pipes and one folder, which it changes where that is said.
#[cfg(target_os = "linux")]
pub fn raise_around_folder(folder: BorrowedFd<'_>, writes: bool) -> Standing {
    super::files::raise_around_folder(folder, writes)
        .and(super::powers::drop_all_but_files())
        .and(super::calls::raise(super::calls::Kind::Folder { writes }))
}

/// What would stand: they are put up around a thread that ends.
pub fn tried() -> Standing {
    let thread = std::thread::Builder::new().name("walls".to_owned()).spawn(|| raise(&Openings::default()));
    match thread.map(std::thread::JoinHandle::join) {
        Ok(Ok(standing)) => standing,
        Ok(Err(_)) => Standing::none("they could not be tried"),
        Err(error) => Standing::none(format!("they could not be tried: {error}")),
    }
}
