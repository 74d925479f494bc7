use wasmtime::Result;

use super::bindings::longhaul::tool::timers;
use crate::sandbox::world::World;
use crate::sandbox::world::journal::{Call, Kind, WaitOn};
use crate::sandbox::world::tickets::Ticket;

const NANOS_PER_MILLI: u64 = 1_000_000;

impl timers::Host for World {
    fn start(&mut self, after_ms: u64) -> Result<u64> {
        let due = self.due_after(after_ms)?;
        Ok(self.tickets.issue(Ticket::Timer { due })?)
    }

    async fn sleep(&mut self, ms: u64) -> Result<()> {
        self.write_pending().await?;
        let due = self.due_after(ms)?;
        let call = Call { kind: Kind::Sleep, hash: ms };
        if self.journal.replayed(call).await?.is_none() {
            self.journal
                .wait(self.journal.sleep_until(due), WaitOn::timers(Some(due)), self.meter.total())
                .await?;
            self.journal.record(call, &[])?;
        }
        Ok(())
    }
}

impl World {
    /// The logical time that is so long after the present one, as the guest's clock shows it.
    pub(super) fn due_after(&self, ms: u64) -> Result<u64> {
        Ok(self.journal.now()?.saturating_add(ms.saturating_mul(NANOS_PER_MILLI)))
    }
}
