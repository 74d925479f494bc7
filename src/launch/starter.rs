//! What starts programs, as its users see it.

#[cfg(target_os = "linux")]
use std::io;
use std::sync::Arc;

use super::error::{LaunchError, not_stated};
#[cfg(target_os = "linux")]
use super::link::Link;
use super::program::{Programs, Role};
use super::spawn::{Group, spawn};
use super::started::Started;

/// Starts the programs that were stated when it was made.
#[derive(Clone, Debug)]
pub struct Launch {
    kind: Arc<Kind>,
}

#[derive(Debug)]
enum Kind {
    Here(Programs),
    #[cfg(target_os = "linux")]
    Launcher(Link),
}

impl Launch {
    /// From this process.
    pub fn here(programs: Programs) -> Self {
        Self { kind: Arc::new(Kind::Here(programs)) }
    }

    /// By a process of its own, which this starts now: before the walls, and before the first thread.
    #[cfg(target_os = "linux")]
    pub fn launcher(command: std::process::Command, programs: &Programs) -> io::Result<Self> {
        Ok(Self { kind: Arc::new(Kind::Launcher(Link::start(command, programs)?)) })
    }

    /// Starts the program of this role.
    pub async fn start(&self, role: &Role) -> Result<Started, LaunchError> {
        match &*self.kind {
            Kind::Here(programs) => {
                let program = programs.get(role).ok_or_else(|| not_stated(role))?;
                Ok(Started::here(spawn(program, Group::Starters)?)?)
            }
            #[cfg(target_os = "linux")]
            Kind::Launcher(link) => link.launch(role).await,
        }
    }

    /// Of the launcher, where there is one.
    pub fn launcher_pid(&self) -> Option<u32> {
        match &*self.kind {
            Kind::Here(_) => None,
            #[cfg(target_os = "linux")]
            Kind::Launcher(link) => Some(link.pid()),
        }
    }

    /// Once the launcher has ended, which it never does by itself; never where there is none.
    pub async fn lost(&self) {
        match &*self.kind {
            Kind::Here(_) => std::future::pending().await,
            #[cfg(target_os = "linux")]
            Kind::Launcher(link) => link.lost().await,
        }
    }
}
