use std::fs;
use std::path::{Path, PathBuf};

/// A component in WAT that exports one function of a core module under `name`, and imports nothing.
pub fn export(name: &str, signature: &str, core: &str) -> String {
    format!(
        r#"(component
            (core module $m {core})
            (core instance $i (instantiate $m))
            (func (export "{name}") {signature} (canon lift (core func $i "run"))))"#
    )
}

/// Writes the component `name` and its manifest's tables into the folder.
pub fn install(folder: &Path, name: &str, wat: &str, manifest: &str) -> PathBuf {
    let path = folder.join(format!("{name}.wasm"));
    let bytes = ::wat::parse_str(wat).unwrap_or_else(|error| panic!("{name}: {error}"));
    fs::write(&path, bytes).expect("written");
    let manifest = format!("name = \"{name}\"\nversion = \"0.1.0\"\n{manifest}\n");
    fs::write(path.with_extension("toml"), manifest).expect("written");
    path
}
