//! Landlock: which files and ports a process may open, and whom it may signal.

use std::os::fd::BorrowedFd;
use std::path::PathBuf;

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, LandlockStatus, NetPort,
    PathBeneath, RestrictionStatus, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetError, Scope,
    path_beneath_rules,
};

use super::openings::Openings;
use super::standing::Standing;

/// The rights that are known here. What a newer kernel knows besides is not asked for, so that this does the same there.
const KNOWN: ABI = ABI::V7;

/// What each version of Landlock is the first to have.
const SINCE: [(ABI, &str); 4] = [
    (ABI::V1, "files"),
    (ABI::V3, "cutting files off"),
    (ABI::V4, "ports"),
    (ABI::V6, "signals and abstract sockets"),
];

pub fn raise(openings: &Openings) -> Standing {
    said(restrict(openings))
}

/// Nothing but this folder, whatever is under its path by now: to be read, and to be written where that is said.
pub fn raise_around_folder(folder: BorrowedFd<'_>, writes: bool) -> Standing {
    said(restrict_to(folder, writes))
}

fn said(restricted: Result<RestrictionStatus, RulesetError>) -> Standing {
    match restricted {
        Ok(RestrictionStatus {
            landlock: LandlockStatus::Available { effective_abi, kernel_abi, .. },
            ..
        }) => standing(effective_abi, kernel_abi),
        Ok(RestrictionStatus { landlock: LandlockStatus::NotEnabled, .. }) => {
            Standing::none("files, ports and signals: this kernel was started without Landlock (lsm=…)")
        }
        Ok(_) => Standing::none(
            "files, ports and signals: this kernel has no Landlock, which came with Linux 5.13",
        ),
        Err(error) => {
            Standing::none(format!("files, ports and signals: Landlock refuses its rules: {error}"))
        }
    }
}

fn standing(abi: ABI, kernels: Option<i32>) -> Standing {
    let version = kernels.unwrap_or(abi as i32);
    let (stand, missing): (Vec<_>, Vec<_>) = SINCE.iter().partition(|(since, _)| *since <= abi);
    let stand: Vec<&str> = stand.iter().map(|(_, what)| *what).collect();
    let missing: Vec<String> = missing
        .iter()
        .map(|(since, what)| {
            format!("{what}: this kernel's Landlock has ABI {version}, and it takes {}", *since as i32)
        })
        .collect();
    Standing { stand: vec![format!("{} (Landlock, ABI {version})", stand.join(", "))], missing }
}

fn restrict(openings: &Openings) -> Result<RestrictionStatus, RulesetError> {
    let read = AccessFs::from_read(KNOWN) & !AccessFs::Execute;
    let no_devices = AccessFs::MakeChar | AccessFs::MakeBlock | AccessFs::IoctlDev;
    let own: BitFlags<AccessFs> = AccessFs::from_all(KNOWN)
        & !(no_devices | AccessFs::Execute | AccessFs::MakeFifo | AccessFs::MakeSym);
    let write = AccessFs::WriteFile | AccessFs::Truncate;
    let mut rules = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(KNOWN))?
        .handle_access(AccessNet::BindTcp)?
        .scope(Scope::from_all(KNOWN))?
        .create()?
        .add_rules(path_beneath_rules(&openings.read, read))?
        .add_rules(path_beneath_rules(&openings.read_files, AccessFs::ReadFile))?
        .add_rules(path_beneath_rules(&openings.write, write))?
        .add_rules(path_beneath_rules(existing(&openings.own), own))?;
    for port in &openings.listen {
        rules = rules.add_rule(NetPort::new(*port, AccessNet::BindTcp))?;
    }
    rules.restrict_self()
}

fn restrict_to(folder: BorrowedFd<'_>, writes: bool) -> Result<RestrictionStatus, RulesetError> {
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let files = AccessFs::WriteFile | AccessFs::Truncate | AccessFs::MakeReg | AccessFs::RemoveFile;
    let folders = AccessFs::MakeDir | AccessFs::RemoveDir | AccessFs::Refer;
    Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(KNOWN))?
        .handle_access(AccessNet::from_all(KNOWN))?
        .scope(Scope::from_all(KNOWN))?
        .create()?
        .add_rule(PathBeneath::new(folder, if writes { read | files | folders } else { read }))?
        .restrict_self()
}

fn existing(paths: &[PathBuf]) -> impl Iterator<Item = &PathBuf> {
    paths.iter().filter(|path| path.is_dir())
}
