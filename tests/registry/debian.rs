use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Debian's docker-registry on a free port, with its files in a folder.
pub struct DebianRegistry {
    child: Child,
    address: String,
}

impl DebianRegistry {
    /// None where the program is not installed, which is said.
    pub fn start(folder: &Path) -> Option<Self> {
        Self::serve(folder, "")
    }

    /// One that takes no push.
    pub fn read_only(folder: &Path) -> Option<Self> {
        Self::serve(folder, "  maintenance:\n    readonly:\n      enabled: true\n")
    }

    /// With these lines for its storage.
    fn serve(folder: &Path, storage: &str) -> Option<Self> {
        let config = folder.join("registry.yml");
        let files = folder.join("registry");
        let text = format!(
            "version: 0.1\nlog:\n  level: info\nstorage:\n  filesystem:\n    rootdirectory: {}\n{storage}http:\n  addr: 127.0.0.1:0\n",
            files.display()
        );
        fs::write(&config, text).expect("written");
        let started = Command::new("docker-registry")
            .arg("serve")
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn();
        let mut child = match started {
            Ok(child) => child,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                eprintln!(
                    "registry: NOT CHECKED, docker-registry is not installed (apt install docker-registry)"
                );
                return None;
            }
            Err(error) => panic!("docker-registry: {error}"),
        };
        let mut lines = BufReader::new(child.stderr.take().expect("piped")).lines();
        let address = lines
            .by_ref()
            .map(|line| line.expect("text"))
            .find_map(|line| {
                let rest = line.split_once("listening on ")?.1;
                Some(rest.split(['"', ' ', ',']).next()?.to_owned())
            })
            .expect("it says where it listens");
        // It must be able to go on writing.
        std::thread::spawn(move || lines.for_each(drop));
        Some(Self { child, address })
    }

    pub fn address(&self) -> &str {
        &self.address
    }
}

impl Drop for DebianRegistry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
