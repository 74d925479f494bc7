//! Which cores there are: the server has one, all that calls it another.

use std::fs;
use std::process::Command;

pub struct Cores {
    server: Option<u32>,
    callers: Option<u32>,
}

impl Cores {
    /// Takes two of the cores that this process may run on, itself to the callers'.
    pub fn take() -> Self {
        let none = |why: &str| {
            println!("not pinned: {why}; server and callers share what there is, and times say little");
            Self { server: None, callers: None }
        };
        let [server, callers] = match allowed()[..] {
            [server, callers, ..] => [server, callers],
            _ => return none("this process may run on one core alone"),
        };
        let me = std::process::id().to_string();
        let mut pin = Command::new("taskset");
        pin.args(["-a", "-c", "-p", &callers.to_string(), &me]);
        match pin.output() {
            Ok(output) if output.status.success() => {
                println!(
                    "server on core {server}, callers on core {callers}, the hostile ones under nice -n 19"
                );
                Self { server: Some(server), callers: Some(callers) }
            }
            _ => none("there is no taskset"),
        }
    }

    /// What a server is run by.
    pub fn for_server(&self) -> Vec<String> {
        pinned_to(self.server)
    }

    /// What a program is run by that computes on the server's core, with the priority that guests have.
    pub fn for_bystander(&self) -> Vec<String> {
        [vec!["nice".to_owned(), "-n".to_owned(), "5".to_owned()], pinned_to(self.server)].concat()
    }

    /// What a hostile caller is run by.
    pub fn for_hostile(&self) -> Vec<String> {
        [vec!["nice".to_owned(), "-n".to_owned(), "19".to_owned()], pinned_to(self.callers)].concat()
    }
}

fn pinned_to(core: Option<u32>) -> Vec<String> {
    core.map_or(Vec::new(), |core| ["taskset".to_owned(), "-c".to_owned(), core.to_string()].to_vec())
}

/// Of a list such as `0-3,8`.
fn allowed() -> Vec<u32> {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap_or_default();
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (first.parse().ok()?, last.parse().ok()?);
        Some(first..=last)
    };
    list.trim().split(',').filter_map(range).flatten().collect()
}
