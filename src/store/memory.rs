//! The store as ordered maps in memory, for tests: one batch at a time on one thread; each is judged, applied, handed
//! to the sink and answered before the next. Whatever else a kind does, it must look like this one.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ops::{Bound, ControlFlow};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use parking_lot::{Condvar, Mutex, MutexGuard, RwLock, RwLockReadGuard};
use tokio::sync::{oneshot, watch};

use super::ack::{Ack, Answer};
use super::batch::{Batch, Guard, LeaseChange};
use super::counts::{self, Counts, read_count};
use super::error::{Refusal, StoreError};
use super::frame::{self, Logged};
use super::options::{Lsn, Usage};
use super::sink::Sink;
use super::space::Space;
use crate::limits::{MAX_QUEUED_BATCHES, MAX_QUEUED_BYTES};

type Map = BTreeMap<Space, BTreeMap<Vec<u8>, Arc<[u8]>>>;

/// What stays between two openings. A clone is the same.
#[derive(Debug, Clone, Default)]
pub(super) struct Rows(Arc<RwLock<Kept>>);

#[derive(Debug, Default)]
pub(super) struct Kept {
    rows: Map,
    boot: u64,
    last_lsn: Lsn,
}

pub(super) struct Memory {
    shared: Arc<Shared>,
    boot: u64,
    worker: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    rows: Rows,
    sink: Arc<dyn Sink>,
    queue: Mutex<Queue>,
    bell: Condvar,
    latch: watch::Sender<Option<Arc<str>>>,
    is_closed: AtomicBool,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<(Batch, oneshot::Sender<Answer>)>,
    bytes: usize,
    /// Why nothing is queued any more.
    refusal: Option<StoreError>,
}

impl Memory {
    pub fn open(rows: &Rows, sink: Arc<dyn Sink>) -> Self {
        let boot = {
            let mut kept = rows.0.write();
            kept.boot += 1;
            kept.boot
        };
        let shared = Arc::new(Shared {
            rows: rows.clone(),
            sink,
            queue: Mutex::default(),
            bell: Condvar::new(),
            latch: watch::Sender::new(None),
            is_closed: AtomicBool::new(false),
        });
        let serving = shared.clone();
        let worker = thread::spawn(move || serving.serve());
        Self { shared, boot, worker: Mutex::new(Some(worker)) }
    }

    pub fn boot(&self) -> u64 {
        self.boot
    }

    pub fn enqueue(&self, batch: Batch) -> Result<Ack, StoreError> {
        let (ack, answer) = oneshot::channel();
        let mut queue = self.shared.queue();
        let bytes = queue.bytes + batch.bytes();
        if let Some(why) = queue.refuses(bytes) {
            drop(queue);
            return Err(self.not_taken(batch, why));
        }
        queue.bytes = bytes;
        queue.waiting.push_back((batch, ack));
        drop(queue);
        self.shared.bell.notify_one();
        Ok(Ack::new(answer))
    }

    /// Withdraws a batch that is not queued; gives why.
    pub fn not_taken(&self, batch: Batch, why: StoreError) -> StoreError {
        self.shared.withdraw(batch, &why);
        why
    }

    pub fn kept(&self) -> RwLockReadGuard<'_, Kept> {
        self.shared.rows.kept()
    }

    /// Of what `kept` gave.
    pub fn snapshot<'a>(&self, kept: &'a Kept) -> Result<Snapshot<'a>, StoreError> {
        match self.shared.is_closed.load(Ordering::Acquire) {
            true => Err(StoreError::Closed),
            false => Ok(Snapshot(kept)),
        }
    }

    pub fn latched(&self) -> Option<Arc<str>> {
        self.shared.latch.borrow().clone()
    }

    pub fn on_latch(&self) -> watch::Receiver<Option<Arc<str>>> {
        self.shared.latch.subscribe()
    }

    pub fn usage(&self) -> Usage {
        let kept = self.kept();
        let rows = kept.rows.values().flatten();
        Usage {
            file_bytes: 0,
            live_bytes: rows.map(|(key, value)| (key.len() + value.len()) as u64).sum(),
            free_bytes: 0,
            unfolded_bytes: 0,
            unfolded_rows: 0,
            queued_batches: self.shared.queue().waiting.len(),
            last_lsn: kept.last_lsn,
            disk: None,
        }
    }

    pub fn close(&self) {
        self.shared.queue().refusal.get_or_insert(StoreError::Closed);
        self.shared.bell.notify_one();
        let worker = self.worker.lock().take();
        // The last handle may be dropped by what follows a commit, on the worker itself.
        if let Some(worker) = worker.filter(|worker| worker.thread().id() != thread::current().id()) {
            let _ = worker.join();
        }
    }
}

impl Queue {
    /// Why a batch is not queued that would make it hold so many bytes, if so.
    fn refuses(&self, bytes: usize) -> Option<StoreError> {
        let queued = self.waiting.len();
        let is_full = queued >= MAX_QUEUED_BATCHES || bytes > MAX_QUEUED_BYTES;
        let busy = is_full.then_some(StoreError::Busy { queued, bytes: self.bytes });
        self.refusal.clone().or(busy)
    }
}

impl Rows {
    fn kept(&self) -> RwLockReadGuard<'_, Kept> {
        self.0.read()
    }
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock()
    }

    /// Until the store is closed and all that was queued is done, or something panics.
    fn serve(&self) {
        let mut leases = HashMap::new();
        while let Some((batch, ack)) = self.next() {
            let done = catch_unwind(AssertUnwindSafe(|| self.commit(batch, &mut leases)));
            let Ok(answer) = done else {
                drop(ack);
                return self.latch();
            };
            let _ = ack.send(answer);
        }
        self.is_closed.store(true, Ordering::Release);
    }

    fn next(&self) -> Option<(Batch, oneshot::Sender<Answer>)> {
        let mut queue = self.queue();
        loop {
            if let Some(next) = queue.waiting.pop_front() {
                queue.bytes -= next.0.bytes();
                return Some(next);
            }
            if queue.refusal.is_some() {
                return None;
            }
            self.bell.wait(&mut queue);
        }
    }

    /// Judge, apply, hand to the sink.
    fn commit(&self, batch: Batch, leases: &mut HashMap<[u8; 16], u64>) -> Answer {
        let broken = {
            let kept = self.rows.kept();
            batch.guards.iter().position(|guard| !kept.holds(guard, leases))
        };
        if let Some(index) = broken {
            let guard = batch.guards[index].clone();
            let refused = StoreError::Refused(Box::new(Refusal { index, guard }));
            self.withdraw(batch, &refused);
            return Err(refused);
        }
        for change in &batch.leases {
            match change {
                LeaseChange::Begin { task, token } => leases.insert(*task, *token),
                LeaseChange::End { task } => leases.remove(task),
            };
        }
        self.sink.showing();
        let (lsn, counts) = self.rows.0.write().apply(&batch)?;
        for (count, sum) in counts.iter() {
            self.sink.counted(count, sum);
        }
        for (mark, number) in &batch.marks {
            mark.store(*number, Ordering::Release);
        }
        if let Some(effects) = batch.effects {
            self.sink.applied(effects);
        }
        self.sink.shown();
        Ok(lsn)
    }

    fn withdraw(&self, batch: Batch, why: &StoreError) {
        if let Some(effects) = batch.effects {
            self.sink.withdrawn(effects, why);
        }
    }

    fn latch(&self) {
        let words: Arc<str> = "the store in memory has stopped writing: the writer panicked".into();
        let refusal = StoreError::Latched(words.clone());
        let waiting = {
            let mut queue = self.queue();
            queue.refusal = Some(refusal.clone());
            std::mem::take(&mut queue.waiting)
        };
        self.latch.send_replace(Some(words));
        for (batch, ack) in waiting {
            // The store has failed already; those behind this one are answered whatever the sink does.
            let _ = catch_unwind(AssertUnwindSafe(|| self.withdraw(batch, &refusal)));
            let _ = ack.send(Err(refusal.clone()));
        }
    }
}

impl Kept {
    fn get(&self, space: Space, key: &[u8]) -> Option<&Arc<[u8]>> {
        self.rows.get(&space)?.get(key)
    }

    fn holds(&self, guard: &Guard, leases: &HashMap<[u8; 16], u64>) -> bool {
        match guard {
            Guard::Lease { task, token } => leases.get(task) == Some(token),
            Guard::Absent { space, key } => self.get(*space, key).is_none(),
            Guard::Present { space, key } => self.get(*space, key).is_some(),
            Guard::Is { space, key, value } => self.get(*space, key) == Some(value),
        }
    }

    fn apply(&mut self, batch: &Batch) -> Result<(Lsn, Counts), StoreError> {
        let mut large = batch.direct.iter().map(|(_, _, value)| value.clone());
        let rows = &mut self.rows;
        frame::read_ops(&batch.frame, |op| {
            let of_space = rows.entry(op.space()).or_default();
            match op {
                Logged::Put { key, value, .. } => drop(of_space.insert(key.to_vec(), value.into())),
                Logged::Direct { key, .. } => {
                    of_space.extend(large.next().map(|value| (key.to_vec(), value)));
                }
                Logged::Delete { key, .. } => drop(of_space.remove(key)),
                Logged::DeletePrefix { prefix, .. } => of_space.retain(|key, _| !key.starts_with(prefix)),
            }
        })
        .map_err(|why| StoreError::damaged("a batch in memory", why))?;
        let (mut counts, rows) = (Counts::default(), rows.entry(Space::Count).or_default());
        counts.add(&batch.counts, |key| rows.get(key).map(|row| read_count(key, row)).transpose())?;
        for (count, sum) in counts.iter() {
            match counts::row(sum)? {
                Some(row) => drop(rows.insert(count.key(), row.into())),
                None => drop(rows.remove(&count.key())),
            }
        }
        self.last_lsn += u64::from(!batch.is_empty());
        Ok((self.last_lsn, counts))
    }
}

/// All rows, as long as nothing can be committed.
pub(super) struct Snapshot<'a>(&'a Kept);

impl Snapshot<'_> {
    pub fn get(&self, space: Space, key: &[u8]) -> Option<Arc<[u8]>> {
        self.0.get(space, key).cloned()
    }

    pub fn scan_prefix(
        &self,
        space: Space,
        prefix: &[u8],
        reverse: bool,
        mut visit: impl FnMut(&[u8], &[u8]) -> ControlFlow<()>,
    ) {
        self.scan(space, (Bound::Unbounded, Bound::Unbounded), reverse, |key, value| {
            if key.starts_with(prefix) { visit(key, value) } else { ControlFlow::Continue(()) }
        });
    }

    /// The range leaves something between its bounds.
    pub fn scan(
        &self,
        space: Space,
        range: (Bound<&[u8]>, Bound<&[u8]>),
        reverse: bool,
        mut visit: impl FnMut(&[u8], &[u8]) -> ControlFlow<()>,
    ) {
        let Some(rows) = self.0.rows.get(&space) else { return };
        let mut rows = rows.range::<[u8], _>(range);
        while let Some((key, value)) = if reverse { rows.next_back() } else { rows.next() } {
            if visit(key, value).is_break() {
                return;
            }
        }
    }
}
