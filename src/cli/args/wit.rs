use std::path::PathBuf;

use clap::Args;

pub const WIT_HELP: &str = "Examples:\n  \
    longhaul tool wit\n  \
    longhaul tool wit --out wit/deps/longhaul-tool/tool.wit\n\n\
    Bindings for tools are made of it, by wit-bindgen, componentize-py, componentize-js and others. A file that is there \
    is left as it is, unless it says the same.";

#[derive(Clone, Debug, Args)]
pub struct WitArgs {
    /// Write it there, with the folders that lead there, in the place of printing it
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}
