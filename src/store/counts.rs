//! Sums that the store keeps itself: batches say what they add, and the rows are written with them.

use super::batch::Count;
use super::codec;
use super::error::StoreError;
use super::space::Space;

/// Version of a count's row.
const ROW_VERSION: u8 = 1;

/// What the counts that one commit touches come to, each once, in the order in which they were touched first.
#[derive(Debug, Default)]
pub(super) struct Counts(Vec<(Count, u64)>);

impl Counts {
    /// Adds what a batch says, behind the batches before it; `stored` reads the row of a count.
    pub fn add(
        &mut self,
        changes: &[(Count, i64)],
        mut stored: impl FnMut(&[u8]) -> Result<Option<u64>, StoreError>,
    ) -> Result<(), StoreError> {
        for (count, change) in changes {
            let known = self.0.iter().position(|(of, _)| of == count);
            let place = match known {
                Some(place) => place,
                None => {
                    let there = stored(&count.key())?.unwrap_or(0);
                    self.0.push((count.clone(), there));
                    self.0.len() - 1
                }
            };
            let sum = &mut self.0[place].1;
            *sum = sum.saturating_add_signed(*change);
        }
        Ok(())
    }

    pub fn clear(&mut self) {
        self.0.clear();
    }

    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&Count, u64)> {
        self.0.iter().map(|(count, sum)| (count, *sum))
    }
}

/// The row of a count that comes to so much; none where that is nothing.
pub(super) fn row(sum: u64) -> Result<Option<Vec<u8>>, StoreError> {
    (sum > 0).then(|| codec::encode(ROW_VERSION, &sum)).transpose()
}

/// What a row of [`Space::Count`] says.
pub fn read_count(key: &[u8], row: &[u8]) -> Result<u64, StoreError> {
    codec::decode(ROW_VERSION, Space::Count, key, row)
}
