use wasmtime::Result;

use super::bindings::longhaul::tool::progress;
use crate::sandbox::stop::Stop;
use crate::sandbox::world::World;

impl progress::Host for World {
    fn report(&mut self, done: u64, total: Option<u64>, message: Option<String>) -> Result<()> {
        let recorder = self.journal.task("progress.report")?;
        Ok(recorder.progress(done, total, message).map_err(Stop::from)?)
    }

    fn status(&mut self, message: String) -> Result<()> {
        Ok(self.journal.task("progress.status")?.status(message).map_err(Stop::from)?)
    }
}
