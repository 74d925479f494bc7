//! What the walls keep a process from, tried from inside: each row is tried by a process of its own, once without walls,
//! where it has to work, and once behind them.

use std::io::{self, ErrorKind};
use std::net::{TcpListener, UdpSocket};
use std::os::fd::AsFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use rustix::fs::{CWD, mknodat};
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags};

use super::*;

const ROW: &str = "LONGHAUL_TEST_WALLS_ROW";
const BEHIND: &str = "LONGHAUL_TEST_WALLS_BEHIND";
const FOLDER: &str = "LONGHAUL_TEST_WALLS_FOLDER";
const PORT: &str = "LONGHAUL_TEST_WALLS_PORT";
const WORKED: &str = "it worked";
const REFUSED: &str = "it was refused";

/// What of the system refuses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    Landlock,
    Seccomp,
    /// It works behind the walls too.
    Nothing,
}

type Row = (&'static str, By, fn(&Place) -> io::Result<()>);

/// Where the rows are tried.
struct Place {
    own: PathBuf,
    outside: PathBuf,
    read: PathBuf,
    parent: Pid,
    name: SocketAddr,
    port: u16,
}

const OF_SERVER: &[Row] = &[
    ("read a file that it has no use for", By::Landlock, |at| fs::read(at.outside.join("secret")).map(drop)),
    ("list a folder", By::Landlock, |at| fs::read_dir(&at.outside).map(drop)),
    ("write outside", By::Landlock, |at| fs::write(at.outside.join("new"), "x")),
    ("cut off a file outside", By::Landlock, |at| {
        fs::OpenOptions::new().write(true).truncate(true).open(at.outside.join("cut")).map(drop)
    }),
    ("remove a file outside", By::Landlock, |at| fs::remove_file(at.outside.join("removed"))),
    ("rename one into its folder", By::Landlock, |at| {
        fs::rename(at.outside.join("moved"), at.own.join("moved"))
    }),
    ("link one into its folder", By::Landlock, |at| {
        fs::hard_link(at.outside.join("secret"), at.own.join("linked"))
    }),
    ("make a link that leads elsewhere", By::Landlock, |at| {
        std::os::unix::fs::symlink(at.outside.join("secret"), at.own.join("soft"))
    }),
    ("write where it may read", By::Landlock, |at| fs::write(at.read.join("new"), "x")),
    ("listen on another port", By::Landlock, |_| TcpListener::bind("127.0.0.1:0").map(drop)),
    ("read another process's environment", By::Landlock, |at| {
        fs::read(format!("/proc/{}/environ", at.parent.as_raw_nonzero())).map(drop)
    }),
    ("connect to an abstract socket", By::Landlock, |at| UnixStream::connect_addr(&at.name).map(drop)),
    ("signal another process", By::Seccomp, |at| Ok(rustix::process::test_kill_process(at.parent)?)),
    ("start a program", By::Seccomp, |_| Command::new("/bin/true").status().map(drop)),
    ("become another program", By::Seccomp, |_| Err(Command::new("/bin/echo").arg(WORKED).exec())),
    ("take a descriptor of another process", By::Seccomp, |at| {
        let parent = rustix::process::pidfd_open(at.parent, PidfdFlags::empty())?;
        Ok(rustix::process::pidfd_getfd(parent, 1, PidfdGetfdFlags::empty()).map(drop)?)
    }),
    ("mount", By::Seccomp, |at| {
        use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
        mount("walls", &at.own, "tmpfs", MountFlags::empty(), None)?;
        Ok(unmount(&at.own, UnmountFlags::empty())?)
    }),
    ("change its root", By::Seccomp, |at| Ok(rustix::process::chroot(&at.own)?)),
    ("speak another protocol", By::Seccomp, |_| {
        Ok(rustix::net::socket(
            rustix::net::AddressFamily::from_raw(
                libc::AF_VSOCK.unsigned_abs().try_into().unwrap_or_default(),
            ),
            rustix::net::SocketType::STREAM,
            None,
        )
        .map(drop)?)
    }),
    ("read what it may", By::Nothing, |at| fs::read(at.read.join("there")).map(drop)),
    ("work in its folder", By::Nothing, |at| {
        fs::create_dir_all(at.own.join("a/b"))?;
        fs::write(at.own.join("a/one"), "x")?;
        fs::rename(at.own.join("a/one"), at.own.join("a/b/two"))?;
        fs::hard_link(at.own.join("a/b/two"), at.own.join("three"))?;
        drop(UnixListener::bind(at.own.join("socket"))?);
        fs::remove_dir_all(at.own.join("a"))
    }),
    ("listen on its port", By::Nothing, |at| TcpListener::bind(("127.0.0.1", at.port)).map(drop)),
    ("connect", By::Nothing, |_| UdpSocket::bind("127.0.0.1:0")?.connect("127.0.0.1:9")),
    ("start a thread", By::Nothing, |_| {
        std::thread::Builder::new().spawn(|| ())?.join().map_err(|_| io::Error::other("it panicked"))
    }),
    ("signal itself", By::Nothing, |_| Ok(rustix::process::test_kill_process(rustix::process::getpid())?)),
];

const OF_PIPES: &[Row] = &[
    ("pipes: read", By::Seccomp, |at| fs::read(at.read.join("there")).map(drop)),
    ("pipes: read a device", By::Seccomp, |_| fs::File::open("/dev/null").map(drop)),
    ("pipes: make a folder", By::Seccomp, |at| fs::create_dir(at.own.join("folder"))),
    ("pipes: remove", By::Seccomp, |at| fs::remove_file(at.outside.join("removed"))),
    ("pipes: have a socket", By::Seccomp, |_| UdpSocket::bind("127.0.0.1:0").map(drop)),
    ("pipes: start a program", By::Seccomp, |_| Command::new("/bin/true").status().map(drop)),
    ("pipes: signal another process", By::Seccomp, |at| Ok(rustix::process::test_kill_process(at.parent)?)),
    ("pipes: start a thread", By::Nothing, |_| {
        std::thread::Builder::new().spawn(|| ())?.join().map_err(|_| io::Error::other("it panicked"))
    }),
];

/// Around one folder that is written in, or only read.
const OF_FOLDER: &[Row] = &[
    ("folder: read outside", By::Landlock, |at| fs::read(at.outside.join("secret")).map(drop)),
    ("folder: list outside", By::Landlock, |at| fs::read_dir(&at.outside).map(drop)),
    ("folder: rename one into it", By::Landlock, |at| {
        fs::rename(at.outside.join("moved"), at.own.join("moved"))
    }),
    ("folder: link one into it", By::Landlock, |at| {
        fs::hard_link(at.outside.join("secret"), at.own.join("linked"))
    }),
    ("folder: make a link", By::Seccomp, |at| std::os::unix::fs::symlink("file", at.own.join("soft"))),
    ("folder: make a fifo", By::Seccomp, |at| {
        let mode = rustix::fs::Mode::RWXU;
        Ok(mknodat(CWD, at.own.join("fifo"), rustix::fs::FileType::Fifo, mode, 0)?)
    }),
    ("folder: change who may read", By::Seccomp, |at| {
        fs::write(at.own.join("file"), "x")?;
        fs::set_permissions(at.own.join("file"), fs::Permissions::from_mode(0o777))
    }),
    ("folder: change whose it is", By::Seccomp, |at| {
        std::os::unix::fs::chown(&at.own, Some(rustix::process::geteuid().as_raw()), None)
    }),
    ("folder: give it an attribute", By::Seccomp, |at| {
        let flags = rustix::fs::XattrFlags::empty();
        Ok(rustix::fs::setxattr(&at.own, "user.longhaul", b"x", flags)?)
    }),
    ("folder: cut off by a path", By::Seccomp, |at| cut_off(&at.own.join("cut"))),
    ("folder: cut off outside", By::Landlock, |at| {
        fs::OpenOptions::new().write(true).open(at.outside.join("cut"))?.set_len(0)
    }),
    ("folder: cut off outside by a path", By::Seccomp, |at| cut_off(&at.outside.join("cut"))),
    ("folder: have a socket", By::Seccomp, |_| UdpSocket::bind("127.0.0.1:0").map(drop)),
    ("folder: start a program", By::Seccomp, |_| Command::new("/bin/true").status().map(drop)),
    ("folder: make, write, cut off, move and remove", By::Nothing, |at| {
        let file = at.own.join("a/one");
        fs::create_dir_all(at.own.join("a/b"))?;
        fs::write(&file, "one")?;
        fs::File::options().write(true).truncate(true).open(&file)?.set_modified(std::time::UNIX_EPOCH)?;
        fs::rename(&file, at.own.join("a/b/two"))?;
        fs::hard_link(at.own.join("a/b/two"), at.own.join("three"))?;
        fs::remove_dir_all(at.own.join("a"))
    }),
    ("reader: write", By::Landlock, |at| fs::write(at.read.join("there"), "y")),
    ("reader: cut off", By::Landlock, |at| {
        fs::OpenOptions::new().write(true).truncate(true).open(at.read.join("there")).map(drop)
    }),
    ("reader: cut off by a path", By::Seccomp, |at| cut_off(&at.read.join("there"))),
    ("reader: set times", By::Seccomp, |at| {
        fs::File::open(at.read.join("there"))?.set_modified(std::time::UNIX_EPOCH)
    }),
    ("reader: make a folder", By::Seccomp, |at| fs::create_dir(at.read.join("folder"))),
    ("reader: remove", By::Seccomp, |at| fs::remove_file(at.read.join("there"))),
    ("reader: read and list", By::Nothing, |at| {
        fs::read(at.read.join("there"))?;
        fs::read_dir(&at.read).map(drop)
    }),
];

/// A file is cut off that is not opened for it.
fn cut_off(path: &Path) -> io::Result<()> {
    Ok(nix::unistd::truncate(path, 0)?)
}

#[test]
fn what_a_process_has_no_use_for_is_refused_behind_its_walls_and_what_it_needs_is_not() {
    if let Ok(name) = env::var(ROW) {
        return try_row(&name);
    }
    let standing = tried();
    let has = |what: &str| standing.stand.iter().any(|wall| wall.contains(what));
    assert!(has("seccomp"), "{standing}");
    let mut wrong = Vec::new();
    let mut refused = 0;
    for (name, by, _) in OF_SERVER.iter().chain(OF_PIPES).chain(OF_FOLDER) {
        if *by == By::Landlock && !standing.is_whole() {
            eprintln!("{name}: not tried, since {standing}");
            continue;
        }
        let without = said(name, false);
        if without != WORKED && rustix::process::geteuid().as_raw() != 0 {
            eprintln!("{name}: only root could do it in any case ({without})");
            continue;
        }
        let expected = if *by == By::Nothing { WORKED } else { REFUSED };
        let behind = said(name, true);
        refused += usize::from(behind == REFUSED);
        if (without.as_str(), behind.as_str()) != (WORKED, expected) {
            wrong.push(format!("{name}: without walls '{without}', behind them '{behind}'"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(refused >= 7, "{refused}");
}

/// What became of a row.
fn said(name: &str, behind: bool) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    for inner in ["own", "outside", "read"] {
        fs::create_dir(folder.path().join(inner)).expect("a folder");
    }
    for file in ["own/cut", "outside/secret", "outside/cut", "outside/removed", "outside/moved", "read/there"]
    {
        fs::write(folder.path().join(file), "x").expect("written");
    }
    let _listener = UnixListener::bind_addr(&name_in(folder.path())).expect("a socket");
    let port = TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("a port").port();
    let mut command = Command::new("/proc/self/exe");
    let test = "what_a_process_has_no_use_for_is_refused_behind_its_walls_and_what_it_needs_is_not";
    command.args(["--exact", &format!("walls::tests::{test}"), "--nocapture", "--test-threads=1"]);
    command.env(ROW, name).env(FOLDER, folder.path()).env(PORT, port.to_string());
    if behind {
        command.env(BEHIND, "1");
    }
    let output = command.output().expect("it runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let found = [WORKED, REFUSED].into_iter().find(|word| text.contains(word));
    found.map_or_else(|| format!("{text}{}", String::from_utf8_lossy(&output.stderr)), str::to_owned)
}

fn name_in(folder: &Path) -> SocketAddr {
    SocketAddr::from_abstract_name(folder.as_os_str().as_encoded_bytes()).expect("a name")
}

/// In the process of a row. The walls stand around its thread, from which the row is tried.
fn try_row(name: &str) {
    let folder = PathBuf::from(env::var_os(FOLDER).expect("a folder"));
    let place = Place {
        own: folder.join("own"),
        outside: folder.join("outside"),
        read: folder.join("read"),
        parent: rustix::process::getppid().expect("a parent"),
        name: name_in(&folder),
        port: env::var(PORT).expect("a port").parse().expect("a number"),
    };
    let mut rows = OF_SERVER.iter().chain(OF_PIPES).chain(OF_FOLDER);
    let (_, _, row) = rows.find(|(it, ..)| *it == name).expect("a row");
    if env::var_os(BEHIND).is_some() {
        let openings = Openings {
            read: vec![place.read.clone(), "/proc".into(), "/usr".into(), "/bin".into(), "/lib".into()],
            own: vec![place.own.clone()],
            listen: vec![place.port],
            ..Openings::default()
        };
        let opened = |path: &Path| fs::File::open(path).expect("a folder");
        match name.split_once(':').map(|(whose, _)| whose) {
            Some("pipes") => raise_around_nothing(),
            Some("folder") => raise_around_folder(opened(&place.own).as_fd(), true),
            Some("reader") => raise_around_folder(opened(&place.read).as_fd(), false),
            _ => raise(&openings),
        };
    }
    match row(&place) {
        Ok(()) => println!("{WORKED}"),
        Err(error) if matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::CrossesDevices) => {
            println!("{REFUSED}");
        }
        Err(error) => println!("{error}"),
    }
}
