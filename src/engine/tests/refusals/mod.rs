//! A store that says no, to each batch of each operation in each way that fits, and what is left then: memory says
//! what the disk says, the operation's caller can try again, and in the end all comes to what it comes to unrefused.
//! A task whose lease is lost is another process's: here it is only looked at whether it comes to the same end there,
//! which is where the store is opened next.

pub(super) mod bench;
mod guest;
mod look;
pub(super) mod table;

use std::collections::BTreeSet;

use super::*;
use crate::engine::trace::MarkKind;
use crate::store::{No, StoreError};
use bench::{Act, Bench};
use table::TABLE;

/// One operation: what is done before it, itself, and what is done after it until everything has ended.
pub struct Row {
    pub name: &'static str,
    pub before: &'static [Act],
    pub act: Act,
    pub after: &'static [Act],
}

/// Time in which whatever tries again by itself has done so.
pub(super) const SETTLING: [Act; 3] = [Act::Pass(61), Act::Pass(61), Act::Pass(61)];

impl Row {
    async fn prepared(&self) -> Result<Bench, String> {
        let mut bench = Bench::new().await;
        bench.gates.is_broken.store(true, Ordering::SeqCst);
        for act in self.before {
            bench.act(*act).await.map_err(|error| format!("before it, {act:?}: {error}"))?;
            bench.rest().await?;
        }
        Ok(bench)
    }

    async fn finished(&self, bench: &mut Bench) -> Result<(), String> {
        for act in SETTLING.iter().chain(self.after) {
            bench.act(*act).await.map_err(|error| format!("after it, {act:?}: {error}"))?;
            bench.rest().await?;
        }
        Ok(())
    }

    /// The run without a refusal: the batches that the operation hands over, and what it comes to, with what was
    /// counted and without.
    async fn control(&self) -> Result<(Vec<Vec<No>>, [BTreeSet<String>; 2]), String> {
        let mut bench = self.prepared().await?;
        bench.refuse(None);
        bench.act(self.act).await.map_err(|error| error.to_string())?;
        bench.rest().await?;
        let batches = bench.handed_over();
        let seen = bench.contradictions(false);
        self.finished(&mut bench).await?;
        let end = [bench.end(true).await, bench.end(false).await];
        let seen = [seen, bench.contradictions(false), bench.left_over()].concat();
        if seen.is_empty() { Ok((batches, end)) } else { Err(seen.join("; ")) }
    }

    /// What is wrong after this refusal.
    async fn refused(&self, at: usize, no: No, ends: &[BTreeSet<String>; 2]) -> Result<(), String> {
        let mut bench = self.prepared().await?;
        bench.refuse(Some((at, no)));
        let mut acted = bench.act(self.act).await;
        bench.rest().await?;
        let mut seen = Vec::new();
        if no != No::Latched {
            seen = bench.contradictions(no == No::Lease);
        }
        if let Err(error) = &acted
            && !is_helpful(error, no)
        {
            seen.push(format!("the caller is told: {error}"));
        }
        let ran = bench.engine.shared.is_running();
        let is_over = matches!(no, No::Latched | No::Lease);
        if is_over {
            bench.crash().await.map_err(|error| format!("opened again: {error}"))?;
            // One that only looked does so again.
            if ran {
                bench.engine.start().await.map_err(|error| format!("started again: {error}"))?;
            }
            bench.rest().await?;
        }
        if acted.is_err() {
            acted = bench.act(self.act).await;
            bench.rest().await?;
        }
        if let Err(error) = acted {
            seen.push(format!("tried again: {error}"));
        }
        match self.finished(&mut bench).await {
            Ok(()) => seen.extend([bench.contradictions(false), bench.left_over()].concat()),
            Err(error) => seen.push(error),
        }
        let (end, expected) = (bench.end(!is_over).await, &ends[usize::from(is_over)]);
        seen.extend(expected.difference(&end).map(|line| format!("it did not come to: {line}")));
        seen.extend(end.difference(expected).map(|line| format!("it came to: {line}")));
        seen.dedup();
        if seen.is_empty() { Ok(()) } else { Err(seen.join("\n    ")) }
    }
}

/// Whether the words say what to do.
fn is_helpful(error: &EngineError, no: No) -> bool {
    let words = error.to_string();
    match no {
        No::Busy | No::Space => words.contains("try again"),
        No::Latched => words.contains("Restart longhaul"),
        No::Guard | No::Lease => !matches!(error, EngineError::Store(StoreError::Refused(_))),
    }
}

/// Runs on a thread and a runtime of its own, so that a cell that stands still stands alone.
pub(super) fn alone<T: Send>(run: impl AsyncFnOnce() -> T + Send) -> Result<T, String> {
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let done = runtime.block_on(run());
        runtime.shutdown_background();
        done
    }));
    caught.map_err(|panic| {
        let words = panic.downcast_ref::<String>().cloned();
        let words = words.or_else(|| panic.downcast_ref::<&str>().map(|words| (*words).to_owned()));
        format!("it panicked: {}", words.unwrap_or_default())
    })
}

/// The cells of one row that are red, each with what is wrong.
fn red_cells(row: &Row) -> (usize, Vec<(String, String)>) {
    let (batches, ends) = match alone(async || row.control().await) {
        Ok(Ok(control)) => control,
        Ok(Err(why)) | Err(why) => return (0, vec![(format!("{}: unrefused", row.name), why)]),
    };
    if batches.is_empty() {
        return (0, vec![(format!("{}: unrefused", row.name), "it hands nothing over".to_owned())]);
    }
    let cells =
        batches.iter().enumerate().flat_map(|(number, fits)| fits.iter().map(move |no| (number + 1, *no)));
    let (mut count, mut red) = (0, Vec::new());
    for (at, no) in cells {
        count += 1;
        if let Ok(Err(why)) | Err(why) = alone(async || row.refused(at, no, &ends).await) {
            red.push((format!("{}: {at} {no:?}", row.name), why));
        }
    }
    (count, red)
}

#[test]
fn whatever_the_store_refuses_leaves_memory_as_the_disk_has_it() {
    let next = std::sync::atomic::AtomicUsize::new(0);
    let found = parking_lot::Mutex::new(Vec::new());
    let only = std::env::var("LONGHAUL_REFUSALS").unwrap_or_default();
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some(row) = TABLE.get(next.fetch_add(1, Ordering::SeqCst)) {
                    if row.name.contains(&only) {
                        let begun = std::time::Instant::now();
                        let (count, red) = red_cells(row);
                        println!("{}: {count} cells in {:?}", row.name, begun.elapsed());
                        found.lock().push((count, red));
                    }
                }
            });
        }
    });
    let found = found.into_inner();
    let count: usize = found.iter().map(|(count, _)| count).sum();
    let red: BTreeSet<(String, String)> = found.into_iter().flat_map(|(_, red)| red).collect();
    for (cell, why) in &red {
        println!("RED {cell}\n    {why}");
    }
    println!("{count} cells, {} of them red", red.len());
    assert!(red.is_empty(), "{:#?}", red.iter().map(|(cell, _)| cell).collect::<Vec<_>>());
}

/// What is tried again after a refusal by the same instance is done once, and shown once.
#[tokio::test]
async fn an_instance_whose_leaving_is_not_taken_at_first_leaves_once_in_its_trace() {
    let batches = {
        let mut bench = Bench::new().await;
        bench.refuse(None);
        assert_eq!(evictions(&mut bench).await, 1);
        bench.handed_over().len()
    };
    for at in 2..=batches {
        let mut bench = Bench::new().await;
        bench.refuse(Some((at, No::Busy)));
        assert_eq!(evictions(&mut bench).await, 1, "batch {at} was refused");
    }
}

/// How often a task that falls asleep once leaves memory, by its trace.
async fn evictions(bench: &mut Bench) -> usize {
    bench.act(Act::Call("guest", "note, sleep")).await.expect("a task");
    bench.rest().await.expect("it sleeps");
    bench.act(Act::Pass(61)).await.expect("a minute");
    bench.rest().await.expect("it sleeps");
    let steps = bench.engine.steps(&Principal::local(), bench.called[0]).await.expect("steps");
    let is_eviction = |entry: &&TraceView| match entry {
        TraceView::Mark(mark) => mark.kind == MarkKind::Evicted,
        TraceView::Step(_) => false,
    };
    steps.entries.iter().filter(is_eviction).count()
}
