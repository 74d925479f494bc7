//! A saved checkpoint makes the guest begin again, at once and not only after a crash. Were it to go on in the same
//! instance, the journal of the new epoch would be that of a guest which never started: the first crash
//! behind it would replay it to one which did, and whatever that does at its start (draw a random number for
//! a hash table, read the clock) would be a divergence that no test without a crash can show.

use wasmtime::Result;

use super::bindings::longhaul::tool::checkpoint::{self, Error};
use crate::limits;
use crate::sandbox::stop::Stop;
use crate::sandbox::world::World;

impl checkpoint::Host for World {
    async fn save(&mut self, state: Vec<u8>) -> Result<Result<(), Error>> {
        if state.len() > limits::MAX_CHECKPOINT_BYTES {
            let (bytes, bound) = (state.len(), limits::MAX_CHECKPOINT_BYTES);
            return Ok(Err(Error::Limit(format!(
                "a checkpoint takes at most {bound} bytes, this one has {bytes}"
            ))));
        }
        let open = self.tickets.unfinished();
        if !open.is_empty() {
            return Ok(Err(Error::Invalid(format!(
                "the tickets {open:?} are open, and a checkpoint would lose them: wait for them or abandon them first"
            ))));
        }
        let awaited = self.awaited_answers();
        if awaited > 0 {
            return Ok(Err(Error::Invalid(format!(
                "{awaited} HTTP requests have no answer yet, and a checkpoint would lose them: wait for them or drop \
                 them first"
            ))));
        }
        self.write_pending().await?;
        // Nothing to shorten. It also lets a guest save first and look for what to do after.
        if self.journal.restored().is_some_and(|restored| *restored == *state) {
            return Ok(Ok(()));
        }
        self.journal.task("checkpoint.save")?.checkpoint(state).await.map_err(Stop::from)?;
        Err(Stop::Restart.into())
    }

    fn restore(&mut self) -> Result<Option<Vec<u8>>> {
        Ok(self.journal.restored().map(|state| state.to_vec()))
    }
}
