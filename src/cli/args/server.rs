//! Which server a command talks to.

use clap::Args;

/// Which server a command talks to.
#[derive(Clone, Debug, Default, Args)]
pub struct ServerArgs {
    /// The server's MCP endpoint [default: the one that serves the data folder, else http://127.0.0.1:1919/mcp]
    #[arg(long, global = true, env = "LONGHAUL_URL", hide_env_values = true)]
    pub url: Option<String>,
}

impl ServerArgs {
    /// As for every variable, an empty one says nothing.
    pub fn url(&self) -> Option<&str> {
        self.url.as_deref().filter(|url| !url.is_empty())
    }
}
