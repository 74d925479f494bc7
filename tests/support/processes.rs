//! Processes that a server has started.

use std::fs;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

/// The process that starts a server's programs.
pub fn launcher_of(server: u32) -> u32 {
    child_of(server, "launch", &|_| true)
}

/// The process below `parent` whose command has this word and that `fits`, as soon as there is one.
pub fn child_of(parent: u32, word: &str, fits: &dyn Fn(u32) -> bool) -> u32 {
    let is_it = |pid: u32| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        status.contains(&format!("PPid:\t{parent}\n"))
            && words.split(|byte| *byte == 0).any(|there| there == word.as_bytes())
            && fits(pid)
    };
    let until = Instant::now() + Duration::from_secs(60);
    while Instant::now() < until {
        let pids = fs::read_dir("/proc")
            .expect("there is one")
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
        if let Some(found) = pids.into_iter().find(|pid| is_it(*pid)) {
            return found;
        }
        // There is no event for another process's child.
        std::thread::sleep(Duration::from_millis(2));
    }
    panic!("{parent} has no child that was started as {word}");
}

/// A process that is waited for though it is not ours.
pub struct Watched(std::os::fd::OwnedFd);

impl Watched {
    pub fn new(pid: u32) -> Self {
        let pid = Pid::from_raw(pid.cast_signed()).expect("a pid");
        Self(pidfd_open(pid, PidfdFlags::empty()).expect("it lives"))
    }

    /// Waits for its end; it does not come within a minute where this is false.
    pub fn ends(&self) -> bool {
        let at_most = rustix::time::Timespec { tv_sec: 60, tv_nsec: 0 };
        loop {
            match poll(&mut [PollFd::new(&self.0, PollFlags::IN)], Some(&at_most)) {
                // A child of the tests has ended meanwhile.
                Err(rustix::io::Errno::INTR) => {}
                polled => return polled.expect("it is watched") == 1,
            }
        }
    }
}
