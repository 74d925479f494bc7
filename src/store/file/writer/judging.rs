//! Which batches of a group hold, and what their counts come to.

use std::sync::Arc;

use super::Writer;
use crate::store::batch::{Guard, LeaseChange};
use crate::store::counts::{self, read_count};
use crate::store::error::{Refusal, StoreError};
use crate::store::file::judge::{bit, holds, note};
use crate::store::file::layer::Layer;
use crate::store::frame;
use crate::store::space::Space;

impl Writer {
    /// What the group's counts come to, as ops that write their rows.
    pub(super) fn count(&mut self) -> Result<Vec<u8>, StoreError> {
        let mut counts = std::mem::take(&mut self.counts);
        counts.clear();
        let mut ops = Vec::new();
        if self.written().any(|(request, _)| !request.batch.counts.is_empty()) {
            let state = self.shared.read_state();
            let snapshot = state.snapshot()?;
            for (request, _) in self.written() {
                counts.add(&request.batch.counts, |key| {
                    snapshot.get(Space::Count, key)?.map(|row| read_count(key, &row)).transpose()
                })?;
            }
        }
        for (count, sum) in counts.iter() {
            match counts::row(sum)? {
                Some(row) => frame::push_put(&mut ops, Space::Count, &count.key(), &[&row]),
                None => frame::push_delete(&mut ops, Space::Count, &count.key()),
            }
        }
        self.counts = counts;
        Ok(ops)
    }

    /// Decide for each batch of the group whether its guards hold, as of the batches before it.
    pub(super) fn judge(&mut self) -> Result<(), StoreError> {
        let mut refusals = std::mem::take(&mut self.refusals);
        refusals.clear();
        let guards = self.backlog.group().flat_map(|(request, _)| &request.batch.guards);
        let guarded = guards.filter_map(Guard::key).fold(0u32, |spaces, (space, _)| spaces | bit(space));
        let mut leases = std::mem::take(&mut self.leases);
        {
            let state = self.shared.read_state();
            let snapshot = state.snapshot()?;
            // What the earlier batches of the group write to spaces that guards ask about.
            let mut pending = Layer::default();
            for (number, (request, frame)) in self.backlog.group().enumerate() {
                let mut refusal = None;
                let large = |space, key: &[u8]| self.large_before(&refusals[..number], space, key);
                for (index, guard) in request.batch.guards.iter().enumerate() {
                    if !holds(guard, &leases, &pending, &snapshot, large)? {
                        refusal = Some(Box::new(Refusal { index, guard: guard.clone() }));
                        break;
                    }
                }
                if refusal.is_none() {
                    for change in &request.batch.leases {
                        match change {
                            LeaseChange::Begin { task, token } => leases.insert(*task, *token),
                            LeaseChange::End { task } => leases.remove(task),
                        };
                    }
                    if guarded != 0 {
                        note(&mut pending, frame, guarded)?;
                    }
                }
                refusals.push(refusal);
            }
        }
        (self.refusals, self.leases) = (refusals, leases);
        Ok(())
    }

    /// The last large value that a batch of the group puts there, among the first ones, which are judged already.
    pub(super) fn large_before(
        &self,
        judged: &[Option<Box<Refusal>>],
        space: Space,
        key: &[u8],
    ) -> Option<&Arc<[u8]>> {
        let before = self.backlog.group().zip(judged).filter(|(_, refusal)| refusal.is_none());
        let large = before.flat_map(|((request, _), _)| &request.batch.direct);
        large.filter(|(of, at, _)| *of == space && at == key).map(|(.., value)| value).last()
    }
}
