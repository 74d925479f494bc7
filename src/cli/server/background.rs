//! The server of a data folder for hosts that spawn processes: found where one runs, else started in the
//! background, where it outlives them.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::net::UnixStream;

use super::server_file::{ServerInfo, Serves, StartedWith, is_running};
use super::signals::StopSignals;
use crate::cli::context::Context;
use crate::cli::exit::{CliError, Exit, Result};
use crate::cli::show::render::escape_text;
use crate::limits;
use crate::mcp::{BridgeError, BridgeOptions, ClientSettings, Reader, bridge, connect_socket};
use crate::private::{self, NotPrivate};
use crate::store::{Presence, Store};

/// In the data folder.
pub const SOCKET: &str = "server.sock";
pub const LOG: &str = "server.log";
/// A server that builds its tools first takes minutes.
const START_PATIENCE: Duration = Duration::from_secs(600);
/// One that a person started on purpose, and that ended, may be started by them again.
const OPERATORS_PATIENCE: Duration = Duration::from_secs(5);
/// How long the folder may be without an owner after a start.
const SETTLING: Duration = Duration::from_millis(500);
/// A start that takes longer is spoken of.
const SILENCE: Duration = Duration::from_secs(1);
/// No event tells of another process's socket.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// As much of a log as explains why a server did not start.
const LOG_END_BYTES: u64 = 2_000;

/// The flag that starts a server in the background and ends.
const START_FLAG: &str = "--start-background";
/// The flag of that server.
const SERVER_FLAG: &str = "--background";

/// `serve --stdio`: this process only carries the lines of its host.
pub async fn bridge_host(client: ClientSettings, context: &Context) -> Result<Exit> {
    let mut signals = StopSignals::new()?;
    private::make_folder(context.data()).map_err(|e| unusable(context.data(), &e))?;
    let servers = Servers::new(context);
    let host = (tokio::io::stdin(), tokio::io::stdout());
    let options = BridgeOptions { names: context.settings.mcp.names.clone(), client };
    let bridged = tokio::select! {
        bridged = bridge(host, Reader::of(std::io::stdout()), options, || servers.connect()) => bridged,
        _ = signals.first() => Ok(()),
    };
    match bridged {
        Ok(()) => Ok(Exit::Done),
        Err(BridgeError::NoServer(error)) => Err(error),
        Err(error @ BridgeError::EndsAgain(_)) => {
            let log = context.data().join(LOG);
            Err(CliError::failed(error).next(format!("look at {}", log.display())))
        }
    }
}

/// Finds or starts the server of a data folder, again whenever it is gone.
struct Servers<'a> {
    context: &'a Context,
    /// The one that was there last was started by a person on purpose.
    operators: AtomicBool,
}

impl<'a> Servers<'a> {
    fn new(context: &'a Context) -> Self {
        Self { context, operators: AtomicBool::new(false) }
    }

    /// What this host was started with does not hold where a server runs that was started otherwise.
    fn tell_differences(&self, info: Option<&ServerInfo>) {
        let Some((info, there)) = info.and_then(|info| Some((info, info.started.as_ref()?))) else { return };
        let lines = StartedWith::of(&self.context.settings).unlike(there);
        if lines.is_empty() {
            return;
        }
        eprintln!(
            "{}",
            escape_text(&format!(
                "longhaul: this host was started otherwise than that server, and what holds there holds here:\n  {}\n  \
                 next: kill {}, after which a server as it is said here can start; or --data with a folder of its own",
                lines.join("\n  "),
                info.pid
            ))
        );
    }

    /// A connection to the server, as soon as it answers.
    async fn connect(&self) -> Result<UnixStream> {
        let folder = self.context.data();
        let began = Instant::now();
        let waits = self.operators.load(Ordering::Relaxed);
        let mut started: Option<u32> = None;
        let mut nobody_since: Option<Instant> = None;
        let mut has_said = false;
        while began.elapsed() < START_PATIENCE {
            let socket = folder.join(SOCKET);
            private::no_link(&socket).map_err(|e| unusable(folder, &e))?;
            if let Ok(stream) = connect_socket(&socket).await {
                let info = ServerInfo::read(folder);
                tell(folder, info.as_ref());
                self.tell_differences(info.as_ref());
                let operators = info.is_some_and(|info| info.serves == Serves::Clients);
                self.operators.store(operators, Ordering::Relaxed);
                return Ok(stream);
            }
            let in_use = matches!(Store::presence(folder), Ok(Presence::InUse { .. }));
            if in_use || started.is_some_and(is_running) {
                refuse_without_socket(folder)?;
                nobody_since = None;
            } else {
                match started {
                    // Of several that were started at once the others end first, and the one that is left is
                    // between making its store and having it.
                    Some(_) if nobody_since.get_or_insert_with(Instant::now).elapsed() < SETTLING => {}
                    Some(_) => return Err(did_not_start(folder)),
                    None if waits && began.elapsed() < OPERATORS_PATIENCE => {}
                    None => started = Some(start(folder).await?),
                }
            }
            if !has_said && began.elapsed() >= SILENCE {
                eprintln!("{}", escape_text(&what_is_awaited(folder, started.is_some())));
                has_said = true;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        let text = format!("the server of {} does not answer", folder.display());
        Err(CliError::failed(text).next(format!("look at {}", folder.join(LOG).display())))
    }
}

/// Where a person sees what takes so long.
fn what_is_awaited(folder: &Path, is_ours: bool) -> String {
    let (place, log) = (folder.display(), folder.join(LOG));
    let what = if is_ours {
        format!("a server is being started for {place}")
    } else {
        format!("waiting for the server that has {place}")
    };
    format!("{what}: {} says what it does, such as compiling tools", log.display())
}

/// A line on stderr, which hosts keep in a log.
fn tell(folder: &Path, info: Option<&ServerInfo>) {
    let pid = info.map(|info| format!(", pid {}", info.pid)).unwrap_or_default();
    eprintln!("connected to the server of {}{pid}", folder.display());
}

/// Some servers have the folder and will not listen on its socket.
fn refuse_without_socket(folder: &Path) -> Result<()> {
    let Some(info) = ServerInfo::read(folder).filter(|info| is_running(info.pid)) else { return Ok(()) };
    let (pid, place) = (info.pid, folder.display());
    match (info.serves, info.url) {
        (Serves::OneHost, _) => Err(CliError::refused(format_args!(
            "another longhaul, pid {pid}, serves {place} with --private, to its own host alone"
        ))
        .next("end that host, start it without --private, or use another folder with --data")),
        (Serves::Clients, Some(url)) if info.socket.is_none() => Err(CliError::failed(format_args!(
            "the server of {place}, pid {pid}, could make no socket there; it answers at {url} alone"
        ))
        .next("use that address in the host, or a data folder on a local disk")),
        _ => Ok(()),
    }
}

fn did_not_start(folder: &Path) -> CliError {
    let log = folder.join(LOG);
    let text = end_of(&log).unwrap_or_default();
    let text = escape_text(text.trim_end());
    CliError::failed(format_args!("the server of {} did not start: {text}", folder.display()))
        .next(format!("mend that, then start the host again; all of it is in {}", log.display()))
}

fn end_of(log: &Path) -> io::Result<String> {
    let mut file = private::open(log, OpenOptions::new().read(true))?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(LOG_END_BYTES)))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Starts a server with the words that this process was started with; gives its pid. It is not our child: a process that
/// ends a host with all the processes below it does not find it.
async fn start(folder: &Path) -> Result<u32> {
    let failed = |e: &dyn std::fmt::Display| CliError::failed(format_args!("cannot start a server: {e}"));
    private::make_folder(folder).map_err(|e| unusable(folder, &e))?;
    let mut command = again("--stdio", START_FLAG).map_err(|e| failed(&e))?;
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit());
    let starter = tokio::process::Command::from(command).output().await.map_err(|e| failed(&e))?;
    let said = String::from_utf8_lossy(&starter.stdout);
    said.trim().parse().map_err(|_| failed(&format_args!("its starter ended with {}", starter.status)))
}

/// `serve --start-background`: starts the server, says its pid, and leaves it to itself.
pub fn starter(context: &Context) -> Result<Exit> {
    let folder = context.data();
    let failed = |e: io::Error| CliError::failed(format_args!("cannot start a server: {e}"));
    private::make_folder(folder).map_err(|e| unusable(folder, &e))?;
    let log = open_log(folder).map_err(|e| unusable(folder, &e))?;
    let mut command = again(START_FLAG, SERVER_FLAG).map_err(failed)?;
    let server = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().map_err(failed)?;
    context.output.line(server.id().to_string())?;
    Ok(Exit::Done)
}

/// The server in the background has no terminal, is in a group of its own, and not in the folder that the host happened
/// to be in. All paths are absolute by now.
pub fn detach() {
    // Where this fails it leads a session already.
    let _ = rustix::process::setsid();
    if let Err(error) = std::env::set_current_dir("/") {
        tracing::warn!("this server stays in the folder that it was started in: {error}");
    }
}

/// This very command with another flag.
fn again(flag: &str, instead: &str) -> io::Result<std::process::Command> {
    let words = std::env::args_os().skip(1).map(|word| if word == *flag { instead.into() } else { word });
    let mut command = std::process::Command::new(std::env::current_exe()?);
    command.args(words);
    Ok(command)
}

/// The log goes on where it ended; one that has grown long is put aside. Where there is no store yet, a log that
/// others may read is a project's own: Longhaul's never was anybody else's to read.
fn open_log(folder: &Path) -> io::Result<File> {
    let path = folder.join(LOG);
    let open = || private::open(&path, OpenOptions::new().append(true).create(true));
    let log = open()?;
    let there = log.metadata()?;
    if there.mode() & 0o077 != 0 && Store::presence(folder).is_ok_and(|found| found == Presence::Missing) {
        return Err(io::Error::other(format!(
            "{} is there already and is not Longhaul's: move it elsewhere, or use another folder with --data",
            path.display()
        )));
    }
    if there.len() <= limits::MAX_SERVER_LOG_BYTES {
        return Ok(log);
    }
    let mut aside = path.as_os_str().to_owned();
    aside.push(".old");
    let aside = PathBuf::from(aside);
    private::no_link(&aside)?;
    fs::rename(&path, aside)?;
    open()
}

/// A data folder, or what lies in it, that is not to be used.
pub fn unusable(folder: &Path, error: &io::Error) -> CliError {
    match NotPrivate::of(error) {
        Some(why) => why.clone().into(),
        None => CliError::failed(format_args!("cannot use {}: {error}", folder.display()))
            .next("name a folder that may be written with --data"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn who_waits_is_told_which_log_to_read() {
        let folder = Path::new("/srv/a");
        for (is_ours, what) in [(true, "a server is being started"), (false, "waiting for the server")] {
            let seen = what_is_awaited(folder, is_ours);
            assert!(seen.starts_with(what) && seen.contains("/srv/a/server.log"), "{seen}");
        }
    }

    #[test]
    fn a_projects_own_log_is_left_alone_and_ours_goes_on() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(LOG);
        drop(open_log(folder.path()).expect("made"));
        assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
        drop(open_log(folder.path()).expect("ours"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("set");
        let seen = open_log(folder.path()).expect_err("a project's").to_string();
        assert!(seen.contains("server.log is there already"), "{seen}");
        // With a store next to it, it was restored from a backup.
        fs::write(folder.path().join("longhaul.redb"), "").expect("written");
        assert!(open_log(folder.path()).is_ok());
        fs::remove_file(&path).expect("removed");
        std::os::unix::fs::symlink("/dev/null", &path).expect("linked");
        assert!(open_log(folder.path()).expect_err("a link").to_string().contains("is a link"));
    }
}
