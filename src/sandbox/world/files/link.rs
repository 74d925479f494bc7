//! wasi:filesystem for a linker.

use wasmtime::Result;
use wasmtime::component::{HasData, Linker};

use super::bindings::{preopens, types};
use super::view::FilesView;
use crate::sandbox::world::World;

struct HasFiles;

impl HasData for HasFiles {
    type Data<'a> = FilesView<'a>;
}

/// In place of WASI's own, which must be there already.
pub fn add_to_linker(linker: &mut Linker<World>) -> Result<()> {
    types::add_to_linker::<World, HasFiles>(linker, World::files)?;
    preopens::add_to_linker::<World, HasFiles>(linker, World::files)
}

impl World {
    fn files(&mut self) -> FilesView<'_> {
        FilesView { table: &mut self.table, files: &self.files, journal: &self.journal }
    }
}
