//! Rows of what changed nothing, on disk: each principal has its own sequence of them, and the oldest of the principal that
//! has the most give way where they are too many. So no principal's refusals push
//! another's out, and none what was done.

use std::collections::BTreeMap;
use std::ops::{Bound, ControlFlow};

use super::row::{AuditRow, OLD_REJECTED, REFUSALS, REFUSALS_BY_TIME, old_rejected_key};
use crate::engine::commit::Commit;
use crate::engine::rows;
use crate::limits;
use crate::store::{Ack, Snapshot, Space, Store, StoreError};

/// Whose sequence it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Whose {
    /// All callers': what earlier versions wrote.
    Old,
    Principal(String),
}

/// A sequence: the number of its first row, and that of the next one.
#[derive(Clone, Copy, Debug, Default)]
struct Ends {
    first: u64,
    next: u64,
}

/// Where the sequences begin and end.
#[derive(Clone, Debug, Default)]
pub(super) struct Sequences(BTreeMap<Whose, Ends>);

/// The key of a refusal in its principal's sequence: `2 | length of the name | name | number BE`.
fn key(principal: &str, number: u64) -> Vec<u8> {
    let mut key = sequence(principal);
    key.extend_from_slice(&number.to_be_bytes());
    key
}

/// The key of the same in the list of all by time, which has no value: `3 | until BE | what is behind the 2`.
fn key_by_time(until: u64, key: &[u8]) -> Vec<u8> {
    let mut by_time = vec![REFUSALS_BY_TIME];
    by_time.extend_from_slice(&until.to_be_bytes());
    by_time.extend_from_slice(&key[1..]);
    by_time
}

/// When it was, and the row's own key, of a key of the list by time.
pub fn row_of(by_time: &[u8]) -> Option<(u64, Vec<u8>)> {
    let rest = by_time.strip_prefix(&[REFUSALS_BY_TIME])?;
    let (until, rest) = rest.split_first_chunk::<8>()?;
    Some((u64::from_be_bytes(*until), [&[REFUSALS], rest].concat()))
}

fn sequence(principal: &str) -> Vec<u8> {
    let name = shortened(principal).as_bytes();
    let length = u8::try_from(name.len()).unwrap_or(u8::MAX);
    [&[REFUSALS, length], name].concat()
}

/// No token has a longer name. A program's own principals may: those that begin alike have one sequence.
fn shortened(principal: &str) -> &str {
    &principal[..principal.floor_char_boundary(limits::MAX_PRINCIPAL_BYTES)]
}

/// Writes these rows, and deletes as many as are too many; the sequences as they are then.
pub(super) async fn write(
    store: &Store,
    known: Option<Sequences>,
    waiting: Vec<AuditRow>,
    hand_over: impl FnOnce(Commit) -> Result<Ack, StoreError>,
) -> Result<Sequences, StoreError> {
    let decide = move |snapshot: &Snapshot<'_>| {
        let mut sequences = match known {
            Some(known) => known,
            None => Sequences::read(snapshot)?,
        };
        let commit = sequences.plan(snapshot, &waiting)?;
        Ok((commit.batch, sequences))
    };
    let (batch, sequences) = store.read(decide).await?;
    let commit = Commit { batch, ..Commit::new() };
    hand_over(commit)?.await?;
    Ok(sequences)
}

impl Sequences {
    fn read(snapshot: &Snapshot<'_>) -> Result<Self, StoreError> {
        let mut found = BTreeMap::new();
        if let Some(ends) = ends(snapshot, &[OLD_REJECTED])? {
            found.insert(Whose::Old, ends);
        }
        let mut from = vec![REFUSALS];
        // From each sequence to the first row behind it.
        while let Some(name) = first_name(snapshot, &from)? {
            let prefix = sequence(&name);
            found.extend(ends(snapshot, &prefix)?.map(|ends| (Whose::Principal(name), ends)));
            from = prefix;
            from.extend_from_slice(&[u8::MAX; 9]);
        }
        Ok(Self(found))
    }

    /// What is written of these rows, and deleted for them.
    fn plan(&mut self, snapshot: &Snapshot<'_>, waiting: &[AuditRow]) -> Result<Commit, StoreError> {
        let mut commit = Commit::new();
        for row in waiting {
            let ends = self.0.entry(Whose::Principal(shortened(&row.principal).to_owned())).or_default();
            let key = key(&row.principal, ends.next);
            ends.next += 1;
            commit.add_put(Space::Audit, key_by_time(row.until, &key), []);
            commit.add_put(Space::Audit, key, rows::encode(row)?);
        }
        for (whose, number) in self.give_way() {
            match whose {
                Whose::Old => commit.add_delete(Space::Audit, old_rejected_key(number)),
                Whose::Principal(name) => {
                    let key = key(&name, number);
                    // Retention may have taken it.
                    if let Some(row) = rows::read_row::<AuditRow>(snapshot, Space::Audit, &key)? {
                        commit.add_delete(Space::Audit, key_by_time(row.until, &key));
                        commit.add_delete(Space::Audit, key);
                    }
                }
            }
        }
        Ok(commit)
    }

    /// The oldest rows of those who have the most, until there are no more than may be kept. No more than a slice at once:
    /// more go with the next rows.
    fn give_way(&mut self) -> Vec<(Whose, u64)> {
        let mut gone = Vec::new();
        let mut all: u64 = self.0.values().map(Ends::count).sum();
        while gone.len() < limits::SWEEP_AUDIT_ROWS {
            let over = self.0.iter().find(|(whose, ends)| ends.is_over(whose));
            let most = || self.0.iter().max_by_key(|(_, ends)| ends.count());
            let chosen = over.or_else(|| most().filter(|_| all > limits::MAX_AUDIT_REFUSALS));
            let Some(whose) = chosen.map(|(whose, _)| whose.clone()) else { break };
            if let Some(ends) = self.0.get_mut(&whose) {
                gone.push((whose, ends.first));
                ends.first += 1;
                all -= 1;
            }
        }
        gone
    }
}

impl Ends {
    fn count(&self) -> u64 {
        self.next.saturating_sub(self.first)
    }

    fn is_over(&self, whose: &Whose) -> bool {
        matches!(whose, Whose::Principal(_)) && self.count() > limits::MAX_AUDIT_REFUSALS_OF_ONE
    }
}

/// The first and the last row of a sequence.
fn ends(snapshot: &Snapshot<'_>, prefix: &[u8]) -> Result<Option<Ends>, StoreError> {
    let end = |newest_first| {
        let mut found = None;
        snapshot.scan_prefix(Space::Audit, prefix, newest_first, |key, _| {
            found = rows::trailing_number(key);
            ControlFlow::Break(())
        })?;
        Ok::<_, StoreError>(found)
    };
    let (first, last) = (end(false)?, end(true)?);
    Ok(first.zip(last).map(|(first, last)| Ends { first, next: last + 1 }))
}

/// Whose the first row is behind this key.
fn first_name(snapshot: &Snapshot<'_>, from: &[u8]) -> Result<Option<String>, StoreError> {
    let mut found = None;
    let bounds = (Bound::Included(from), Bound::Excluded(&[REFUSALS + 1][..]));
    snapshot.scan(Space::Audit, bounds, false, |key, _| {
        found = key.get(1).and_then(|length| key.get(2..2 + usize::from(*length))).map(<[u8]>::to_vec);
        ControlFlow::Break(())
    })?;
    Ok(found.map(|name| String::from_utf8_lossy(&name).into_owned()))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::engine::audit::{AuditAction, DONE, Verdict};
    use crate::store::{Batch, NoSink, StoreOptions};

    fn sequences(counts: &[(&str, u64)]) -> Sequences {
        let ends = |(name, count): &(&str, u64)| {
            (Whose::Principal((*name).to_owned()), Ends { first: 7, next: 7 + count })
        };
        Sequences(counts.iter().map(ends).collect())
    }

    fn gone(sequences: &mut Sequences) -> BTreeMap<String, Vec<u64>> {
        let mut gone = BTreeMap::<String, Vec<u64>>::new();
        for (whose, number) in sequences.give_way() {
            gone.entry(format!("{whose:?}")).or_default().push(number);
        }
        gone
    }

    #[test]
    fn a_principal_over_its_share_gives_way_to_itself_alone() {
        let share = limits::MAX_AUDIT_REFUSALS_OF_ONE;
        let mut sequences = sequences(&[("", 5), ("ann", 10), ("eve", share + 2)]);
        assert_eq!(gone(&mut sequences), BTreeMap::from([("Principal(\"eve\")".to_owned(), vec![7, 8])]));
        assert_eq!(gone(&mut sequences), BTreeMap::new());
    }

    fn refused(principal: &str, at: u64) -> AuditRow {
        AuditRow {
            at,
            until: at,
            principal: principal.to_owned(),
            client: None,
            action: AuditAction::Call,
            tool: None,
            component: None,
            hash: None,
            task: None,
            verdict: Verdict::Refused,
            reason: Some("no_such_tool".to_owned()),
            count: 1,
        }
    }

    /// The numbers in the sequence of each name, and how many rows the list by time and what was done have.
    async fn on_disk(store: &Store) -> (BTreeMap<String, Vec<u64>>, usize, usize) {
        let read = |snapshot: &Snapshot<'_>| {
            let (mut sequences, mut listed, mut done) = (BTreeMap::<String, Vec<u64>>::new(), 0, 0);
            snapshot.scan_prefix(Space::Audit, &[], false, |key, row| {
                match key.first() {
                    Some(&REFUSALS) => {
                        let row: AuditRow = rows::decode(Space::Audit, key, row).expect("a row");
                        sequences.entry(row.principal).or_default().extend(rows::trailing_number(key));
                    }
                    Some(&REFUSALS_BY_TIME) => listed += 1,
                    _ => done += 1,
                }
                ControlFlow::Continue(())
            })?;
            Ok((sequences, listed, done))
        };
        store.read(read).await.expect("read")
    }

    #[tokio::test]
    async fn one_at_its_bound_pushes_out_neither_others_nor_strangers_nor_what_was_done() {
        let folder = tempfile::tempdir().expect("a folder");
        let open = async || {
            let options = StoreOptions::default();
            Store::open_async(folder.path(), options, Arc::new(NoSink)).await.expect("a store")
        };
        let mut store = open().await;
        let done = Batch::new().put(Space::Audit, [DONE, 1], b"a call");
        store.enqueue(done).expect("queued").await.expect("written");
        let share = limits::MAX_AUDIT_REFUSALS_OF_ONE;
        let mut known = None;
        let mut add = async |store: &Store, rows: Vec<AuditRow>| {
            for some in rows.chunks(1_000) {
                let write = write(store, known.take(), some.to_vec(), |commit| store.enqueue(commit.batch));
                known = Some(write.await.expect("written"));
            }
        };
        add(&store, vec![refused("ann", 1), refused("", 2), refused("ann", 3)]).await;
        add(&store, (0..share + 5).map(|number| refused("eve", 4 + number)).collect()).await;
        let (sequences, listed, done) = on_disk(&store).await;
        assert_eq!((done, listed as u64), (1, share + 3));
        assert_eq!((&sequences["ann"], &sequences[""]), (&vec![0, 1], &vec![0]));
        assert_eq!(sequences["eve"], (5..share + 5).collect::<Vec<_>>(), "without a gap, the newest");
        store.close().await.expect("closed");

        // The same after a restart, which knows of no sequence; and names that are too long are no other's.
        store = open().await;
        known = None;
        let mut add = async |rows: Vec<AuditRow>| {
            let write = write(&store, known.take(), rows, |commit| store.enqueue(commit.batch));
            known = Some(write.await.expect("written"));
        };
        let long = "ä".repeat(limits::MAX_PRINCIPAL_BYTES);
        let other = format!("{long}b");
        add(vec![refused("eve", u64::MAX), refused(&long, 1), refused(&other, 2)]).await;
        let (sequences, listed, done) = on_disk(&store).await;
        assert_eq!((done, listed as u64), (1, share + 5));
        assert_eq!(sequences["eve"], (6..share + 6).collect::<Vec<_>>());
        assert_eq!((&sequences[&long], &sequences[&other]), (&vec![0], &vec![1]), "each has a row");
        store.close().await.expect("closed");
    }

    #[test]
    fn where_all_together_are_too_many_those_with_the_most_give_way() {
        let share = limits::MAX_AUDIT_REFUSALS_OF_ONE;
        let names: Vec<String> =
            (0..limits::MAX_AUDIT_REFUSALS / share).map(|number| format!("p{number}")).collect();
        let mut counts: Vec<(&str, u64)> = names.iter().map(|name| (name.as_str(), share)).collect();
        counts.push(("ann", 3));
        let mut sequences = sequences(&counts);
        let gone = gone(&mut sequences);
        assert_eq!(gone.values().map(Vec::len).sum::<usize>(), 3);
        assert!(!gone.contains_key("Principal(\"ann\")"), "{gone:?}");
    }

    #[test]
    fn what_earlier_versions_wrote_goes_before_what_others_have_less_of() {
        let mut sequences = sequences(&[("ann", 10)]);
        sequences.0.insert(Whose::Old, Ends { first: 0, next: limits::MAX_AUDIT_REFUSALS });
        let gone = gone(&mut sequences);
        assert_eq!(gone, BTreeMap::from([("Old".to_owned(), (0..10).collect())]));
    }
}
