//! What the projects are made of: files of `kits/`, in which the tool is named `my_tool`.

use crate::cli::args::Language;
use crate::sandbox::TOOL_WIT;

/// The tool's name in the files.
pub const PLACEHOLDER: &str = "my_tool";

/// A path in the project and what stands there.
pub type File = (&'static str, &'static str);

macro_rules! kit {
    ($path:literal) => {
        include_str!(concat!("../../../kits/", $path))
    };
}

const COMMON: &[File] = &[("my_tool.toml", kit!("new/my_tool.toml"))];

const WORLD: &[File] = &[("wit/world.wit", kit!("world.wit")), ("wit/deps/longhaul-tool/tool.wit", TOOL_WIT)];

/// For a world that sends requests.
const HTTP: &[File] =
    &[("wit/deps/wasi-io.wit", kit!("io.wit")), ("wit/deps/wasi-http.wit", kit!("http.wit"))];

const PYTHON: &[File] = &[
    ("README.md", kit!("new/python/README.md")),
    (".gitignore", kit!("new/python/gitignore")),
    ("requirements.txt", kit!("new/python/requirements.txt")),
    ("tool.py", kit!("new/python/tool.py")),
    ("words.py", kit!("new/python/words.py")),
    ("test_words.py", kit!("new/python/test_words.py")),
    ("longhaul.py", kit!("longhaul.py")),
];

const C_WORLD: &[File] =
    &[("wit/world.wit", kit!("c/world.wit")), ("wit/deps/longhaul-tool/tool.wit", TOOL_WIT)];

const C: &[File] = &[
    ("README.md", kit!("new/c/README.md")),
    (".gitignore", kit!("new/c/gitignore")),
    ("tool.c", kit!("new/c/tool.c")),
    ("words.c", kit!("new/c/words.c")),
    ("words.h", kit!("new/c/words.h")),
    ("test_words.c", kit!("new/c/test_words.c")),
    ("longhaul.h", kit!("c/longhaul.h")),
    ("longhaul.c", kit!("c/longhaul.c")),
];

const JAVASCRIPT: &[File] = &[
    ("README.md", kit!("new/javascript/README.md")),
    (".gitignore", kit!("new/javascript/gitignore")),
    ("package.json", kit!("new/javascript/package.json")),
    ("tool.js", kit!("new/javascript/tool.js")),
    ("words.js", kit!("new/javascript/words.js")),
    ("words.test.js", kit!("new/javascript/words.test.js")),
    ("longhaul.js", kit!("longhaul.js")),
];

const RUST: &[File] = &[
    ("README.md", kit!("new/rust/README.md")),
    (".gitignore", kit!("new/rust/gitignore")),
    ("Cargo.toml", kit!("new/rust/package.toml")),
    ("Cargo.lock", kit!("new/rust/package.lock")),
    ("rust-toolchain.toml", kit!("new/rust/rust-toolchain.toml")),
    ("src/lib.rs", kit!("new/rust/lib.rs")),
    ("longhaul-guest/Cargo.toml", kit!("new/rust/guest/package.toml")),
    ("longhaul-guest/wit/tool.wit", TOOL_WIT),
    ("longhaul-guest/src/calls.rs", kit!("rust/calls.rs")),
    ("longhaul-guest/src/durable.rs", kit!("rust/durable.rs")),
    ("longhaul-guest/src/elicit.rs", kit!("rust/elicit.rs")),
    ("longhaul-guest/src/files.rs", kit!("rust/files.rs")),
    ("longhaul-guest/src/lib.rs", kit!("rust/lib.rs")),
    ("longhaul-guest/src/messages.rs", kit!("rust/messages.rs")),
    ("longhaul-guest/src/models.rs", kit!("rust/models.rs")),
    ("longhaul-guest/src/result.rs", kit!("rust/result.rs")),
    ("longhaul-guest/src/roots.rs", kit!("rust/roots.rs")),
    ("longhaul-guest/src/sample.rs", kit!("rust/sample.rs")),
    ("longhaul-guest/src/state.rs", kit!("rust/state.rs")),
    ("longhaul-guest/src/tool.rs", kit!("rust/tool.rs")),
];

/// All files of a project.
pub fn of(language: Language) -> impl Iterator<Item = File> {
    let parts: [&[File]; 4] = match language {
        Language::Python => [COMMON, WORLD, HTTP, PYTHON],
        Language::JavaScript => [COMMON, WORLD, &[], JAVASCRIPT],
        Language::C => [COMMON, C_WORLD, HTTP, C],
        Language::Rust => [COMMON, &[], &[], RUST],
    };
    parts.into_iter().flatten().copied()
}

/// The command that installs what builds it.
pub fn install(language: Language) -> Option<&'static str> {
    match language {
        Language::Python => Some(INSTALL_PYTHON),
        Language::JavaScript => Some(INSTALL_JAVASCRIPT),
        Language::C => Some(INSTALL_C),
        Language::Rust => None,
    }
}

pub const INSTALL_PYTHON: &str = "python3 -m venv .venv && .venv/bin/pip install -r requirements.txt";
pub const INSTALL_C: &str = "sudo apt-get install clang lld wasi-libc libclang-rt-dev-wasm32";
pub const INSTALL_JAVASCRIPT: &str = "npm install";

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    use super::*;

    /// The names in a folder of `kits/` that git would have.
    fn there(folder: &str) -> BTreeSet<String> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("kits").join(folder);
        let entries =
            fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").file_name());
        entries.map(|name| name.into_string().expect("UTF-8")).filter(|name| name != "__pycache__").collect()
    }

    #[test]
    fn the_whole_kit_of_rust_goes_along() {
        let written = RUST.iter().filter_map(|(path, _)| path.strip_prefix("longhaul-guest/src/"));
        assert_eq!(written.map(str::to_owned).collect::<BTreeSet<_>>(), there("rust"));
    }

    #[test]
    fn each_file_of_a_template_is_in_its_project_once() {
        let templates = [
            (Language::Python, "new/python"),
            (Language::JavaScript, "new/javascript"),
            (Language::C, "new/c"),
            (Language::Rust, "new/rust"),
        ];
        for (language, folder) in templates {
            let paths: BTreeSet<&str> = of(language).map(|(path, _)| path).collect();
            assert_eq!(paths.len(), of(language).count());
            let texts: BTreeSet<&str> = of(language).map(|(_, text)| text).collect();
            for name in there(folder).iter().filter(|name| *name != "guest") {
                let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("kits").join(folder).join(name);
                let text = fs::read_to_string(file).expect("a text");
                assert!(texts.contains(text.as_str()), "{folder}/{name} is in no project");
            }
        }
    }
}
