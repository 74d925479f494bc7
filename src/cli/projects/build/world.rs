//! The world that a project in C is made for: its bindings, and the component that a core module becomes with it.

use std::path::Path;

use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
};
use wit_bindgen_c::component_type_object::linking_symbol;
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::{Resolve, WorldId};

pub struct World {
    resolve: Resolve,
    id: WorldId,
}

impl World {
    /// The only world of the package in a folder, with what stands in its `deps`.
    pub fn read(wit: &Path) -> Result<Self, String> {
        let mut resolve = Resolve::default();
        let (package, _) = resolve.push_dir(wit).map_err(|error| format!("{error:#}"))?;
        let id = resolve.select_world(&[package], None).map_err(|error| format!("{error:#}"))?;
        Ok(Self { resolve, id })
    }

    /// The files of its bindings, `WORLD.c` and `WORLD.h`, as `wit-bindgen c --no-object-file` makes them, and the symbol that they
    /// have from that object file otherwise.
    pub fn bindings(&self) -> Result<Vec<(String, Vec<u8>)>, String> {
        // `component` writes the types into the module.
        let opts = wit_bindgen_c::Opts { no_object_file: true, ..Default::default() };
        let mut files = Default::default();
        opts.build()
            .generate(&mut self.resolve.clone(), self.id, &mut files)
            .map_err(|error| format!("{error:#}"))?;
        let symbol = format!("\nvoid {}(void) {{}}\n", linking_symbol(&self.resolve.worlds[self.id].name));
        let with_symbol = |(name, text): (&str, &[u8])| {
            let end = if name.ends_with(".c") { symbol.as_bytes() } else { b"" };
            (name.to_owned(), [text, end].concat())
        };
        Ok(files.iter().map(with_symbol).collect())
    }

    /// A component of a module: what it calls of the first preview goes by way of the adapter.
    pub fn component(&self, mut module: Vec<u8>) -> Result<Vec<u8>, String> {
        embed_component_metadata(&mut module, &self.resolve, self.id, StringEncoding::UTF8)
            .and_then(|()| ComponentEncoder::default().validate(true).module(&module))
            .and_then(|encoder| {
                encoder.adapter(WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER)
            })
            .and_then(|mut encoder| encoder.encode())
            .map_err(|error| format!("{error:#}"))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::sandbox::TOOL_WIT;

    fn world(text: &str) -> World {
        let root = tempfile::tempdir().expect("a folder");
        fs::create_dir_all(root.path().join("deps/longhaul-tool")).expect("made");
        fs::write(root.path().join("deps/longhaul-tool/tool.wit"), TOOL_WIT).expect("written");
        fs::write(root.path().join("world.wit"), text).expect("written");
        World::read(root.path()).expect("a world")
    }

    #[test]
    fn a_module_becomes_a_component_of_the_world() {
        let world = world("package a:b; world w { export f: func() -> u32; }");
        let module = wat::parse_str(
            "(module
                (import \"wasi_snapshot_preview1\" \"sched_yield\" (func $yield (result i32)))
                (memory (export \"memory\") 1)
                (func (export \"f\") (result i32) call $yield))",
        )
        .expect("a module");
        let made = world.component(module).expect("a component");
        // As a component begins; a core module has 1 in the place of 13.
        assert!(made.starts_with(b"\0asm\x0d\0\x01\0"));
    }

    #[test]
    fn a_module_without_what_the_world_exports_is_refused_by_name() {
        let world = world("package a:b; world w { export long-walk: func(); }");
        let module = wat::parse_str("(module (memory (export \"memory\") 1))").expect("a module");
        let wrong = world.component(module).expect_err("refused");
        assert!(wrong.contains("long-walk"), "{wrong}");
        let wrong = World::read(Path::new("/nowhere")).err().expect("no world");
        assert!(wrong.contains("/nowhere"), "{wrong}");
    }

    #[test]
    fn bindings_are_called_as_the_world_and_have_what_it_imports() {
        let files = world("package a:b; world the-guest { import longhaul:tool/timers@0.1.0; }").bindings();
        let files = files.expect("bindings");
        let names: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["the_guest.c", "the_guest.h"]);
        assert!(String::from_utf8_lossy(&files[0].1).ends_with("force_link_the_guest(void) {}\n"));
        assert!(String::from_utf8_lossy(&files[1].1).contains("longhaul_tool_timers_sleep(uint64_t ms)"));
    }
}
