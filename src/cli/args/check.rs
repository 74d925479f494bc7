use std::path::PathBuf;

use clap::Args;

pub const CHECK_HELP: &str = "Examples:\n  \
    longhaul tool check text_stats.wasm --args '{\"text\": \"a b\"}'\n  \
    longhaul tool check . --tool travel_agent --args '{}' --answers answers.toml --json\n  \
    longhaul tool check reports.wasm --bind docs=/srv/docs\n\n\
    Nothing leaves this machine: the file of answers plays the tools that it calls, people, models, messages and servers, \
    and what is not in it is refused with the entry to write. The component is granted what its manifest requests; each \
    run has folders of its own. Sleeps take no time.\n\n\
    Exit status: 0 where all went well, 1 where something came out otherwise or failed, 2 where the arguments or the file of \
    answers are wrong.";

#[derive(Clone, Debug, Args)]
pub struct CheckArgs {
    /// A component, a folder of them, or a workspace of guests
    pub path: PathBuf,
    /// The tool's arguments: a JSON object [default: {}]
    #[arg(long, value_name = "JSON")]
    pub args: Option<String>,
    /// Which tool, where there are several
    #[arg(long, value_name = "NAME")]
    pub tool: Option<String>,
    /// What plays the world, in TOML, or in JSON where its name ends with .json
    #[arg(long, value_name = "FILE")]
    pub answers: Option<PathBuf>,
    /// A folder for a slot that the manifest requests, of which each run gets a copy [default: an empty folder]
    #[arg(long, value_name = "SLOT=PATH")]
    pub bind: Vec<String>,
}
