use wasmtime::component::ResourceTable;

use super::calls::Files;
use crate::sandbox::world::journal::Journal;

/// What wasi:filesystem is done with.
pub struct FilesView<'a> {
    pub table: &'a mut ResourceTable,
    pub files: &'a Files,
    pub journal: &'a Journal,
}
