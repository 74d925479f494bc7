use wasmtime::Result;

use super::bindings::longhaul::tool::cancellation;
use crate::sandbox::world::World;
use crate::sandbox::world::journal::{Call, Kind};
use crate::sandbox::world::tickets::Ticket;

const REQUESTED: Call = Call { kind: Kind::CancelRequested, hash: 0 };

impl cancellation::Host for World {
    async fn requested(&mut self) -> Result<bool> {
        let requested = match self.journal.replayed(REQUESTED).await? {
            Some(payload) => payload == [1],
            None => {
                self.journal.flush_if_full().await?;
                let requested = self.journal.task(REQUESTED.kind.name())?.cancel_requested();
                self.journal.record(REQUESTED, &[u8::from(requested)])?;
                requested
            }
        };
        self.saw_cancellation |= requested;
        Ok(requested)
    }

    fn signal(&mut self) -> Result<u64> {
        match self.tickets.cancellation() {
            Some(ticket) => Ok(ticket),
            None => Ok(self.tickets.issue(Ticket::Cancellation)?),
        }
    }
}
