//! Folders that a component requests, in a check: each run has a copy of its own of what is bound to a slot, or an empty
//! folder. What a run leaves in them is held against what the undisturbed one left.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::authority::{FileGrant, Grant};
use crate::catalog::Bindings;
use crate::cli::exit::{CliError, Result};
use crate::cli::show::render::escape;
use crate::limits;

pub struct Folders {
    /// Below it a folder a slot, for the run that is under way.
    root: PathBuf,
    /// Below it what they begin with.
    given: PathBuf,
    slots: Vec<String>,
}

/// What is in them, by slot and path: a file's hash, or what else it is.
pub type Left = BTreeMap<String, String>;

impl Folders {
    /// None yet.
    pub fn below(scratch: &Path) -> Result<Self> {
        let scratch = scratch.canonicalize().map_err(|error| unusable(scratch, &error))?;
        // A grant names its folders by texts.
        if scratch.to_str().is_none() {
            return Err(CliError::failed(format_args!("{} has a name that is no text", scratch.display()))
                .next("set TMPDIR to a folder whose name is UTF-8"));
        }
        Ok(Self { root: scratch.join("folders"), given: scratch.join("given"), slots: Vec::new() })
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// For the slots of what is requested: takes a copy of each folder that is bound, as `SLOT=PATH`.
    pub fn bound(mut self, requested: &[FileGrant], bind: &[String]) -> Result<Self> {
        let mut bound = Bindings::of_pairs(bind, &[]).map_err(CliError::usage)?.folders;
        self.slots = requested.iter().map(|file| file.slot.clone()).collect();
        self.slots.sort_unstable();
        self.slots.dedup();
        fs::create_dir(&self.given).map_err(|error| unusable(&self.given, &error))?;
        let mut count = Count::default();
        for (number, slot) in self.slots.iter().enumerate() {
            let to = self.given.join(number.to_string());
            fs::create_dir(&to).map_err(|error| unusable(&to, &error))?;
            if let Some(from) = bound.remove(slot) {
                copy(Path::new(&from), &to, &mut count)?;
            }
        }
        if let Some(slot) = bound.keys().next() {
            let there = match self.slots.as_slice() {
                [] => "none".to_owned(),
                slots => slots.iter().map(|slot| escape(slot)).collect::<Vec<_>>().join(", "),
            };
            return Err(CliError::usage(format_args!(
                "--bind: the manifest requests no slot '{}': it requests {there}",
                escape(slot)
            )));
        }
        Ok(self)
    }

    /// The grant with these folders as those of its slots.
    pub fn on(&self, grant: Grant, requested: &[FileGrant]) -> Grant {
        let place = |slot: &String| {
            let number = self.slots.iter().position(|one| one == slot)?;
            self.root.join(number.to_string()).into_os_string().into_string().ok()
        };
        let with_place = |file: &FileGrant| FileGrant { path: place(&file.slot), ..file.clone() };
        Grant { files: requested.iter().map(with_place).collect(), ..grant }
    }

    /// As they are when a run begins. The folders themselves stay: the process that holds one holds it from run to run.
    pub fn lay_out(&self) -> Result<()> {
        let mut count = Count::default();
        for number in 0..self.slots.len() {
            let (from, to) = (self.given.join(number.to_string()), self.root.join(number.to_string()));
            fs::create_dir_all(&to).and_then(|()| empty(&to)).map_err(|error| unusable(&to, &error))?;
            copy(&from, &to, &mut count)?;
        }
        Ok(())
    }

    /// What the run has left in them.
    pub fn left(&self) -> Result<Left> {
        let mut left = Left::new();
        for (number, slot) in self.slots.iter().enumerate() {
            let folder = self.root.join(number.to_string());
            look(&folder, slot, &mut left).map_err(|error| unusable(&folder, &error))?;
        }
        Ok(left)
    }
}

#[derive(Default)]
struct Count {
    entries: usize,
    bytes: u64,
}

impl Count {
    fn add(&mut self, bytes: u64) -> bool {
        self.entries += 1;
        self.bytes = self.bytes.saturating_add(bytes);
        self.entries <= limits::MAX_CHECK_FILES && self.bytes <= limits::MAX_CHECK_FILES_BYTES
    }
}

fn empty(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        match entry.file_type()?.is_dir() {
            true => fs::remove_dir_all(entry.path())?,
            false => fs::remove_file(entry.path())?,
        }
    }
    Ok(())
}

/// What is in a folder, into one that is there. Each run does it again, so what is copied has a bound.
fn copy(from: &Path, to: &Path, count: &mut Count) -> Result<()> {
    let unread = |error: io::Error| {
        CliError::usage(format_args!("{} cannot be copied for a run: {error}", from.display()))
            .next("bind a folder that is there and may be read")
    };
    for entry in fs::read_dir(from).map_err(unread)? {
        let entry = entry.map_err(unread)?;
        let (path, kind) = (entry.path(), entry.file_type().map_err(unread)?);
        let to = to.join(entry.file_name());
        let bytes = entry.metadata().map_err(unread)?.len();
        if !count.add(if kind.is_file() { bytes } else { 0 }) {
            return Err(CliError::usage(format_args!(
                "{} has more than {} entries or {} bytes, and each run gets a copy",
                from.display(),
                limits::MAX_CHECK_FILES,
                limits::MAX_CHECK_FILES_BYTES
            ))
            .next("bind a folder with a part of it"));
        }
        if kind.is_dir() {
            fs::create_dir(&to).map_err(|error| unusable(&to, &error))?;
            copy(&path, &to, count)?;
        } else if kind.is_file() {
            fs::copy(&path, &to).map_err(unread)?;
        } else if kind.is_symlink() {
            let target = fs::read_link(&path).map_err(unread)?;
            std::os::unix::fs::symlink(target, &to).map_err(|error| unusable(&to, &error))?;
        } else {
            return Err(CliError::usage(format_args!(
                "{} is neither a file nor a folder, and is not copied for a run",
                path.display()
            )));
        }
    }
    Ok(())
}

fn look(folder: &Path, name: &str, left: &mut Left) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let (path, kind) = (entry.path(), entry.file_type()?);
        let name = format!("{name}/{}", entry.file_name().to_string_lossy());
        if kind.is_dir() {
            look(&path, &name, left)?;
            left.insert(name, "a folder".to_owned());
        } else if kind.is_file() {
            let mut hasher = blake3::Hasher::new();
            io::copy(&mut fs::File::open(&path)?, &mut hasher)?;
            left.insert(name, hasher.finalize().to_hex().to_string());
        } else {
            left.insert(name, "a link".to_owned());
        }
    }
    Ok(())
}

pub fn unusable(folder: &Path, error: &io::Error) -> CliError {
    CliError::failed(format_args!("the scratch folder {} cannot be used: {error}", folder.display()))
}
