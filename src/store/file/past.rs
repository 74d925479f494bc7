//! What a drive held after each commit, and whether what a power cut left of it is one of those.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use twox_hash::XxHash3_64;

use super::drive::{Drive, Group};
use super::tests::disk::{Disk, Images, Lie};
use super::tests::{Dice, with_small_ring};
use super::{open, shared};
use crate::store::frame::{Logged, read_row};
use crate::store::{Batch, Lsn, NoSink, Snapshot, Space, Store, StoreError, StoreOptions};

/// Of each image, one in so many is cut again while it recovers.
const AGAIN: usize = 4;
/// Syncs that a disk may have lied about.
const MOST_LOST_SYNCS: usize = 24;
const CHECK_CACHE_BYTES: usize = 1024 * 1024;

/// What was written to a drive until now.
pub(crate) struct Past {
    images: Images,
    changes: usize,
    /// After the last batch of each group.
    states: BTreeMap<Lsn, State>,
    acknowledged: Vec<(Lsn, usize)>,
    /// Spaces that were written to.
    pub spaces: Vec<Space>,
}

/// All rows, as a sum that does not depend on their order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct State {
    rows: u64,
    sum: u64,
}

/// What a power cut may have left.
pub(crate) struct Image {
    pub drive: Drive,
    /// What was acknowledged by then.
    pub acknowledged: Lsn,
}

/// What a store says after its disk has lied.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum AfterLie {
    /// All that was acknowledged is there.
    Whole,
    Error(String),
    /// So many commits are gone without a word.
    Silent {
        lost: u64,
    },
    /// Rows of several commits stand there together without a word, and what a check of the whole file says of it.
    Mixed {
        check: Result<(), String>,
    },
}

/// The row that proves that a store goes on.
fn extra() -> (Space, &'static [u8]) {
    (Space::Setting, b"extra")
}

impl Past {
    pub fn of(drive: &Drive) -> Self {
        let history = drive.history();
        let (mut rows, mut states) = (Rows::default(), BTreeMap::from([(0, State::default())]));
        for group in &history.groups {
            let last = rows.replay(group);
            states.insert(last, rows.state);
        }
        Self {
            images: drive.disk.images(),
            changes: drive.disk.changes(),
            states,
            acknowledged: history.acknowledged.clone(),
            spaces: Space::ALL.iter().copied().filter(|space| rows.seen[space.index()]).collect(),
        }
    }

    /// As if the writer had acknowledged each batch when it acknowledged the one before.
    pub fn acknowledging_early(mut self) -> Self {
        let moments: Vec<usize> = self.acknowledged.iter().map(|(_, at)| *at).collect();
        for ((_, at), earlier) in self.acknowledged.iter_mut().skip(1).zip(moments) {
            *at = earlier;
        }
        self
    }

    /// As if the writer had skipped every so manieth sync.
    pub fn skipping_syncs(mut self, every: usize) -> Self {
        self.images.skip_syncs(every);
        self
    }

    /// So many moments, in their order.
    pub fn cuts(&self, count: usize, dice: &mut Dice) -> Vec<usize> {
        let mut cuts: Vec<usize> = (0..count).map(|_| dice.below(self.changes + 1)).collect();
        cuts.sort_unstable();
        cuts
    }

    /// What a power cut after so many changes may leave. `cut` must not go back from one call to the next.
    pub fn image(&mut self, cut: usize, dice: &mut Dice) -> Image {
        let drive = Drive::of(Disk::recording(self.images.cut(cut, dice)));
        Image { drive, acknowledged: self.acknowledged_by(cut) }
    }

    /// What is there if the power stays on.
    pub fn as_it_is(&self, drive: &Drive) -> Image {
        Image { drive: drive.again(), acknowledged: self.acknowledged_by(self.changes) }
    }

    /// The power goes now.
    pub fn cut_now(&mut self, dice: &mut Dice) -> Image {
        self.image(self.changes, dice)
    }

    /// Moments from which on a disk lies, in their order, each with a power cut some syncs later.
    pub fn lies(&self, count: usize, dice: &mut Dice) -> Vec<(usize, usize)> {
        let syncs = self.images.syncs();
        let mut firsts: Vec<usize> = (0..count).map(|_| dice.below(syncs.len())).collect();
        firsts.sort_unstable();
        let mut lie = |first: usize| {
            let last = (first + 1 + dice.below(MOST_LOST_SYNCS)).min(syncs.len());
            let cut = syncs.get(last).copied().unwrap_or(self.changes);
            (syncs[first], cut)
        };
        firsts.into_iter().map(&mut lie).collect()
    }

    /// What is left of a disk that lied from `since` on. `since` must not go back from one call to the next.
    pub fn lied(&mut self, (since, cut): (usize, usize), lie: Lie, dice: &mut Dice) -> Image {
        let drive = Drive::of(Disk::holding(self.images.lied(since, cut, lie, dice)));
        Image { drive, acknowledged: self.acknowledged_by(cut) }
    }

    /// What the store says of an image of a disk that lied, to a start and to who reads all of it.
    pub fn after_a_lie(&self, image: &Image, options: StoreOptions) -> AfterLie {
        let before = image.drive.disk.bytes();
        let (found, lsn) = match started(&image.drive, options) {
            Ok(found) => found,
            Err(error) => return AfterLie::Error(error.to_string()),
        };
        match self.states.get(&lsn) {
            Some(expected) if *expected == found && lsn >= image.acknowledged => AfterLie::Whole,
            Some(expected) if *expected == found => AfterLie::Silent { lost: image.acknowledged - lsn },
            _ => AfterLie::Mixed { check: check(&Drive::of(Disk::holding(before))) },
        }
    }

    fn acknowledged_by(&self, cut: usize) -> Lsn {
        let before = self.acknowledged.partition_point(|(_, at)| *at <= cut);
        self.acknowledged[..before].iter().map(|(lsn, _)| *lsn).max().unwrap_or(0)
    }

    /// Checks, opens, reads and closes what is left, and cuts it again now and then. The error says what is wrong.
    pub fn verify(&self, image: &Image, options: StoreOptions, dice: &mut Dice) -> Result<Lsn, String> {
        let before = image.drive.disk.bytes();
        check(&image.drive)?;
        if image.drive.disk.bytes() != before {
            return Err("a check has changed the file".into());
        }
        let store = opened(&image.drive, options)?;
        let lsn = usage_lsn(&store)?;
        let (state, _) = read(&store)?;
        let Some(expected) = self.states.get(&lsn) else {
            return Err(format!("commit {lsn} ends within a group"));
        };
        if lsn < image.acknowledged {
            return Err(format!("{} commits were acknowledged, {lsn} are there", image.acknowledged));
        }
        if state != *expected {
            return Err(format!("of commit {lsn} there are {state:?}, not {expected:?}"));
        }
        let (space, key) = extra();
        let next = store.commit_blocking(Batch::new().put(space, key, b"")).map_err(words)?;
        let sure = image.drive.disk.changes();
        if next != lsn + 1 {
            return Err(format!("commit {next} comes after {lsn}"));
        }
        store.close_blocking().map_err(words)?;
        if dice.below(AGAIN) == 0 {
            // While it recovers, goes on or closes: what it had shown must still be there.
            let cut = dice.below(image.drive.disk.changes() + 1);
            let again = Drive::of(Disk::holding(image.drive.disk.images().cut(cut, dice)));
            check(&again)?;
            let store = opened(&again, options)?;
            let (found, has_extra) = read(&store)?;
            if found != state
                || (cut >= sure && !has_extra)
                || usage_lsn(&store)? != lsn + u64::from(has_extra)
            {
                return Err(format!("cut again after {cut} changes, of commit {lsn} there are {found:?}"));
            }
        }
        Ok(lsn)
    }
}

fn words(error: StoreError) -> String {
    error.to_string()
}

fn opened(drive: &Drive, options: StoreOptions) -> Result<Store, String> {
    Store::open_on(drive, options, Arc::new(NoSink)).map_err(|error| format!("opened: {error}"))
}

/// Opens as a start does, and reads. Nothing is committed: where redb's account of free pages is wrong and no opening
/// sees it, it panics in a commit, and once more while it unwinds.
fn started(drive: &Drive, options: StoreOptions) -> Result<(State, Lsn), StoreError> {
    let path = Path::new("(a test's drive)");
    let opened = open::open(drive.disk.clone(), path, with_small_ring(options), false)?;
    let lsn = opened.log.last_lsn;
    let held = shared::State::new(opened);
    let (found, _) = read_all(&Snapshot::of_file(held.snapshot()?))?;
    Ok((found, lsn))
}

fn check(drive: &Drive) -> Result<(), String> {
    let path = Path::new("(a test's drive)");
    let checked = open::check(drive.disk.clone(), path, CHECK_CACHE_BYTES);
    checked.map(drop).map_err(|error| format!("checked: {error}"))
}

fn usage_lsn(store: &Store) -> Result<Lsn, String> {
    Ok(store.usage().map_err(words)?.last_lsn)
}

fn read(store: &Store) -> Result<(State, bool), String> {
    store.read_blocking(read_all).map_err(words)
}

/// All rows but the extra one, and whether that is there.
fn read_all(snapshot: &Snapshot<'_>) -> Result<(State, bool), StoreError> {
    let (mut state, mut has_extra) = (State::default(), false);
    for &space in Space::ALL {
        snapshot.scan(space, .., false, |key, value| {
            if (space, key) == extra() {
                has_extra = true;
            } else {
                state.add(space, key, value);
            }
            ControlFlow::Continue(())
        })?;
    }
    Ok((state, has_extra))
}

impl State {
    fn add(&mut self, space: Space, key: &[u8], value: &[u8]) {
        self.rows += 1;
        self.sum = self.sum.wrapping_add(sum(space, key, value));
    }

    fn remove(&mut self, space: Space, key: &[u8], value: &[u8]) {
        self.rows -= 1;
        self.sum = self.sum.wrapping_sub(sum(space, key, value));
    }
}

fn sum(space: Space, key: &[u8], value: &[u8]) -> u64 {
    let of_key = XxHash3_64::oneshot_with_seed(space.id().into(), key);
    XxHash3_64::oneshot_with_seed(of_key, value)
}

/// The rows of a drive, by space and key.
#[derive(Default)]
struct Rows {
    rows: BTreeMap<(Space, Vec<u8>), Vec<u8>>,
    state: State,
    seen: [bool; Space::COUNT],
}

impl Rows {
    /// Does what a group did; gives the number of its last batch.
    fn replay(&mut self, group: &Group) -> Lsn {
        let mut large = group.large.iter();
        let batches = read_row(group.first_lsn, &group.row, |op| {
            self.seen[op.space().index()] = true;
            match op {
                Logged::Put { space, key, value } => self.put(space, key, value),
                Logged::Delete { space, key } => self.delete(space, key),
                Logged::DeletePrefix { space, prefix } => {
                    let under = self.rows.range((space, prefix.to_vec())..);
                    let under = under.take_while(|((of, key), _)| *of == space && key.starts_with(prefix));
                    for key in under.map(|((_, key), _)| key.clone()).collect::<Vec<_>>() {
                        self.delete(space, &key);
                    }
                }
                Logged::Direct { space, key } => {
                    let (.., value) = large.next().expect("one value for each that goes past the log");
                    self.put(space, key, value);
                }
            }
        });
        group.first_lsn + batches.expect("a row") - 1
    }

    fn put(&mut self, space: Space, key: &[u8], value: &[u8]) {
        self.delete(space, key);
        self.state.add(space, key, value);
        self.rows.insert((space, key.to_vec()), value.to_vec());
    }

    fn delete(&mut self, space: Space, key: &[u8]) {
        if let Some(value) = self.rows.remove(&(space, key.to_vec())) {
            self.state.remove(space, key, &value);
        }
    }
}
