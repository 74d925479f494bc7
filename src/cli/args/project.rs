use std::path::PathBuf;

use clap::{Args, ValueEnum};

pub const NEW_HELP: &str = "Examples:\n  \
    longhaul tool new word_count --lang python\n  \
    longhaul tool new ~/tools/word_count --lang rust\n\n\
    It is a folder of its own that needs nothing of Longhaul's but this program: a tool, its test, a manifest, the kit of the \
    language, the versions of what builds it, and a README with the commands.";

pub const BUILD_HELP: &str = "Examples:\n  \
    longhaul tool build .\n  \
    longhaul tool build tools-wasm -p book_agent\n\n\
    What is built is seen by what is in the folder: a Cargo.toml (Rust, for wasm32-wasip2), a package.json (JavaScript, by \
    componentize-js or componentize-qjs), a requirements.txt (Python, by componentize-py) or files of C (clang with wasi-libc). \
    All but the first make build/NAME.wasm, and copy the manifest NAME.toml next to it. What is missing is named with the command that installs it.";

#[derive(Clone, Debug, Args)]
pub struct NewArgs {
    /// The folder to make; its last part is the tool's name
    #[arg(value_name = "NAME")]
    pub folder: PathBuf,
    /// The language
    #[arg(long, value_name = "LANG")]
    pub lang: Language,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Language {
    Rust,
    Python,
    #[value(name = "js", alias = "javascript")]
    JavaScript,
    C,
}

#[derive(Clone, Debug, Args)]
pub struct BuildArgs {
    /// The project, or a Cargo workspace of guests
    pub dir: PathBuf,
    /// Only this package of the workspace
    #[arg(short, long, value_name = "NAME")]
    pub package: Vec<String>,
}
