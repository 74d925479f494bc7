use std::path::PathBuf;

use clap::Args;

use super::server::ServerArgs;

#[derive(Clone, Debug, Args)]
pub struct UpdateArgs {
    /// Its name, for the file that it was added from, or another file of that name
    #[arg(value_name = "NAME_OR_PATH")]
    pub what: String,
    /// The file, where the component is named first
    #[arg(value_name = "PATH")]
    pub path: Option<PathBuf>,
    /// Change nothing: say which of its open tasks would go on with the other version
    #[arg(long = "try", conflicts_with = "move_tasks")]
    pub try_tasks: bool,
    /// Move the open tasks that would go on to the version that is served, after the update where a file is named
    #[arg(long)]
    pub move_tasks: bool,
    /// The manifest of one from a registry that has none with it
    #[arg(long, value_name = "FILE", conflicts_with_all = ["path", "try_tasks", "move_tasks"])]
    pub manifest: Option<PathBuf>,
    /// The tools of the server that does not run: as of `serve --tools`
    #[arg(long, value_name = "PATH")]
    pub tools: Vec<PathBuf>,
    #[command(flatten)]
    pub server: ServerArgs,
}
