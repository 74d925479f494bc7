use wasmtime::Result;

use super::bindings::longhaul::tool::state::{self, Entry, Error, Page, PutError, PutRequest};
use super::refusal::refuse;
use crate::authority::Capability;
use crate::sandbox::world::World;

impl state::Host for World {
    fn get(&mut self, namespace: String, key: String) -> Result<Result<Option<Entry>, Error>> {
        Ok(Err(self.refuse_read(&namespace, &key)))
    }

    fn put(&mut self, namespace: String, entries: Vec<PutRequest>) -> Result<Result<Vec<u64>, PutError>> {
        let key = entries.first().map_or("", |entry| &entry.key);
        Ok(Err(PutError::Refused(self.refuse_write(&namespace, key))))
    }

    fn delete(
        &mut self,
        namespace: String,
        key: String,
        _if_version: Option<u64>,
    ) -> Result<Result<u64, PutError>> {
        Ok(Err(PutError::Refused(self.refuse_write(&namespace, &key))))
    }

    fn list(
        &mut self,
        namespace: String,
        prefix: String,
        _limit: u32,
        _cursor: Option<String>,
    ) -> Result<Result<Page, Error>> {
        Ok(Err(self.refuse_read(&namespace, &prefix)))
    }

    fn watch(&mut self, namespace: String, key: String, _version: u64) -> Result<Result<u64, Error>> {
        Ok(Err(self.refuse_read(&namespace, &key)))
    }
}

impl World {
    fn refuse_read(&self, namespace: &str, key: &str) -> Error {
        refuse(
            self,
            Capability::StateRead { namespace, key },
            &format!("state = [{:?}]", format!("{namespace}:read")),
        )
    }

    fn refuse_write(&self, namespace: &str, key: &str) -> Error {
        refuse(self, Capability::StateWrite { namespace, key }, &format!("state = [{namespace:?}]"))
    }
}
