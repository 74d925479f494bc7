//! A frozen set of stores: the archive that `make` packed, and its manifest.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

/// What one commit left behind.
#[derive(Deserialize)]
pub struct Set {
    pub commit: String,
    /// Where the web server of its guests listened.
    pub web: String,
    pub stores: BTreeMap<String, Store>,
    #[serde(skip)]
    pub folder: PathBuf,
}

#[derive(Deserialize)]
pub struct Store {
    /// Seconds since the epoch.
    pub frozen_at: i64,
    pub tasks: Vec<Frozen>,
    /// Rows of each space.
    pub rows: BTreeMap<String, usize>,
    pub token: Option<Value>,
    pub session: Option<Session>,
    pub audit: Value,
    pub state: Value,
}

/// A client of 2025-11-25 that was waiting for the end of its call.
#[derive(Deserialize)]
pub struct Session {
    pub id: String,
    pub last_event: String,
}

/// A task as its own build showed it, and what must come of it.
#[derive(Deserialize)]
pub struct Frozen {
    pub task: String,
    pub there: There,
    /// `None` for what others called.
    #[serde(flatten)]
    pub situation: Option<Situation>,
}

#[derive(Clone, Deserialize)]
pub struct Situation {
    pub key: String,
    pub tool: String,
    pub arguments: Value,
    /// Where it stood when the store was frozen.
    pub until: Value,
    pub moves: Vec<Value>,
    pub ends: Value,
    /// By op, what the interpreter prints; `*` stands for anything.
    pub printed: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    pub outputs: BTreeMap<String, String>,
    /// What a program prints, in which `$` stands for the same text everywhere.
    #[serde(default)]
    pub result: Vec<String>,
    /// Paths that are asked for no second time.
    #[serde(default)]
    pub once: Vec<String>,
}

#[derive(Deserialize)]
pub struct There {
    pub document: Value,
    pub log: String,
    pub outputs: BTreeMap<String, String>,
    pub result: Option<String>,
}

impl Frozen {
    pub fn was_ended(&self) -> bool {
        matches!(self.there.document["state"].as_str(), Some("completed" | "failed" | "cancelled"))
    }

    /// A retry begins with nothing published.
    pub fn is_tried_again(&self) -> bool {
        self.situation.iter().any(|situation| situation.moves.iter().any(|action| action["retry"] == true))
    }
}

impl Set {
    /// Unpacks the set of this name; the folders are their owner's alone, as a server wants them.
    pub fn unpack(name: &str, to: &Path) -> Self {
        let archive =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(name).join("stores.tar.zst");
        let file = fs::File::open(&archive).unwrap_or_else(|error| panic!("{}: {error}", archive.display()));
        let mut bytes = Vec::new();
        let mut reader = ruzstd::decoding::StreamingDecoder::new(file).expect("zstd");
        reader.read_to_end(&mut bytes).expect("zstd");
        for (name, content) in files(&bytes) {
            let path = to.join(name);
            fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            fs::write(&path, content).expect("written");
            own(&path, 0o600);
            own(path.parent().expect("a folder"), 0o700);
        }
        let manifest = fs::read(to.join("manifest.json")).expect("a manifest");
        let set: Self = serde_json::from_slice(&manifest).expect("a manifest");
        assert!(name.starts_with(&set.commit), "{name} is of {}", set.commit);
        Self { folder: to.to_owned(), ..set }
    }

    pub fn tools(&self) -> Vec<PathBuf> {
        vec![self.folder.join("tools")]
    }
}

fn own(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("a mode");
}

/// The files of a tar archive in the format `ustar`, without links or folders.
fn files(mut tar: &[u8]) -> Vec<(String, &[u8])> {
    const BLOCK: usize = 512;
    let mut files = Vec::new();
    while let Some((header, rest)) = tar.split_at_checked(BLOCK) {
        let field = |range: std::ops::Range<usize>| {
            let text = std::str::from_utf8(&header[range]).expect("text");
            text.split('\0').next().unwrap_or_default().trim().to_owned()
        };
        if header[0] == 0 {
            break;
        }
        let size = usize::from_str_radix(&field(124..136), 8).expect("a size");
        files.push((field(0..100), &rest[..size]));
        tar = &rest[size.next_multiple_of(BLOCK)..];
    }
    files
}
