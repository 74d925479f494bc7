use wasmtime::Result;

use super::bindings::longhaul::tool::state::{self, Entry, Error, Page, PutError, PutRequest};
use super::refusal::refuse;
use crate::api::words;
use crate::authority::Capability;
use crate::engine::{StateEntry, StateError, StateQuery, StateWrite};
use crate::sandbox::stop::Stop;
use crate::sandbox::task_host::TaskHost;
use crate::sandbox::world::World;
use crate::sandbox::world::tickets::Ticket;
use crate::task::WakeOn;

impl state::Host for World {
    async fn get(&mut self, namespace: String, key: String) -> Result<Result<Option<Entry>, Error>> {
        if let Err(error) = self.check_read(&namespace, &key) {
            return Ok(Err(error));
        }
        let answer = self.state("get")?.state_get(&namespace, &key).await.map_err(Stop::from)?;
        Ok(answer.map(|entry| entry.map(entry_of)).map_err(error_of))
    }

    async fn put(
        &mut self,
        namespace: String,
        entries: Vec<PutRequest>,
    ) -> Result<Result<Vec<u64>, PutError>> {
        let write = |PutRequest { key, value, if_version, ttl_seconds }| {
            StateWrite::put(key, value).if_version(if_version).ttl_seconds(ttl_seconds)
        };
        self.write_state(&namespace, entries.into_iter().map(write).collect()).await
    }

    async fn delete(
        &mut self,
        namespace: String,
        key: String,
        if_version: Option<u64>,
    ) -> Result<Result<u64, PutError>> {
        let write = StateWrite::delete(key).if_version(if_version);
        let answer = self.write_state(&namespace, vec![write]).await?;
        Ok(answer.map(|versions| versions.first().copied().unwrap_or_default()))
    }

    async fn list(
        &mut self,
        namespace: String,
        prefix: String,
        limit: u32,
        cursor: Option<String>,
    ) -> Result<Result<Page, Error>> {
        // A star in the text is one that only a star of the pattern takes in.
        if let Err(error) = self.check_read(&namespace, &format!("{prefix}*")) {
            return Ok(Err(error));
        }
        let query = StateQuery { prefix, limit: limit as usize, cursor };
        let answer = self.state("list")?.state_list(&namespace, &query).await.map_err(Stop::from)?;
        Ok(answer
            .map(|page| Page {
                entries: page.entries.into_iter().map(entry_of).collect(),
                next_cursor: page.next_cursor,
            })
            .map_err(error_of))
    }

    fn watch(&mut self, namespace: String, key: String, version: u64) -> Result<Result<u64, Error>> {
        let granted = self.check_read(&namespace, &key);
        let recorder = self.state("watch")?;
        if let Err(error) =
            granted.and_then(|()| recorder.may_watch_state(&namespace, &key).map_err(error_of))
        {
            return Ok(Err(error));
        }
        Ok(Ok(self.tickets.issue(Ticket::Watch(WakeOn::State { namespace, key, version }))?))
    }
}

impl World {
    async fn write_state(
        &mut self,
        namespace: &str,
        writes: Vec<StateWrite>,
    ) -> Result<Result<Vec<u64>, PutError>> {
        for StateWrite { key, .. } in &writes {
            let wanted = Capability::StateWrite { namespace, key };
            if !self.grant.allows(wanted) {
                let line = format!("state = [{namespace:?}]");
                return Ok(Err(PutError::Refused(refuse(self, wanted, &line))));
            }
        }
        let answer = self.state("write")?.state_write(namespace, &writes).await.map_err(Stop::from)?;
        Ok(answer.map_err(|error| match error {
            StateError::Conflict { version, .. } => PutError::Conflict(version),
            error => PutError::Refused(error_of(error)),
        }))
    }

    fn check_read(&self, namespace: &str, key: &str) -> Result<(), Error> {
        let wanted = Capability::StateRead { namespace, key };
        if self.grant.allows(wanted) {
            return Ok(());
        }
        Err(refuse(self, wanted, &format!("state = [{:?}]", format!("{namespace}:read"))))
    }

    fn state(&self, what: &str) -> Result<TaskHost, Stop> {
        Ok(self.journal.task(&format!("state.{what}"))?.clone())
    }
}

fn entry_of(entry: StateEntry) -> Entry {
    let StateEntry { key, value, version, .. } = entry;
    Entry { key, value, version }
}

fn error_of(error: StateError) -> Error {
    match error {
        StateError::Invalid(text) => Error::Invalid(text),
        StateError::Limit(text) => Error::Limit(text),
        StateError::Lost(text) => Error::NotGranted(text),
        error @ StateError::NotGranted { .. } => Error::NotGranted(words(&error.into())),
        other => Error::Invalid(other.to_string()),
    }
}
