//! Random components, made by the program in `smith`.

use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::LazyLock;

/// The program, built once.
fn smith() -> &'static Path {
    static PROGRAM: LazyLock<PathBuf> = LazyLock::new(|| {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("smith");
        let mut cargo = Command::new("cargo");
        cargo.current_dir(env!("CARGO_MANIFEST_DIR"));
        cargo.args(["build", "--locked", "--package", "smith", "--target-dir"]).arg(&target);
        let output = cargo.output().expect("cargo runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        target.join("debug/smith")
    });
    &PROGRAM
}

/// What comes of so many seeds, one after the other; nothing of some.
pub fn components(kind: &str, first: u64, count: u64) -> impl Iterator<Item = (u64, Vec<u8>)> {
    let mut made = Made::start(kind, first, count);
    (first..first + count).map(move |seed| (seed, made.read())).filter(|(_, bytes)| !bytes.is_empty())
}

/// The program while it makes them.
struct Made {
    child: Child,
    out: BufReader<ChildStdout>,
}

impl Made {
    fn start(kind: &str, first: u64, count: u64) -> Self {
        let mut command = Command::new(smith());
        command.arg(kind).args([first, count].map(|number| number.to_string()));
        let mut child = command.stdout(Stdio::piped()).spawn().expect("it runs");
        let out = BufReader::new(child.stdout.take().expect("a pipe"));
        Self { child, out }
    }

    fn read(&mut self) -> Vec<u8> {
        let mut length = [0; 4];
        self.out.read_exact(&mut length).expect("a length");
        let mut bytes = vec![0; u32::from_le_bytes(length) as usize];
        self.out.read_exact(&mut bytes).expect("a component");
        bytes
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
