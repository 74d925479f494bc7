//! What `longhaul call` and `longhaul client` take.

use clap::Args;

#[derive(Clone, Debug, Args)]
pub struct ClientArgs {
    /// A server's MCP endpoint, or unix:PATH of its socket; may be repeated [env: LONGHAUL_URL] [default: the server
    /// of the data folder, else http://127.0.0.1:1919/mcp]
    #[arg(long)]
    pub url: Vec<String>,
}

#[derive(Clone, Debug, Args)]
pub struct CallArgs {
    /// Name of the tool; TOOL@2 is the one of the second server
    pub tool: String,
    /// Arguments, typed by the tool's schema; a word without '=' is a further tool, which is called as well
    #[arg(value_name = "KEY=VALUE")]
    pub words: Vec<String>,
    /// All arguments of a single call as one JSON object, or - for stdin; KEY=VALUE stands on top of it
    #[arg(long, value_name = "JSON")]
    pub args: Option<String>,
    /// The same key, tool and arguments are the same task, however often it is called
    #[arg(long, value_name = "IDEMPOTENCY_KEY")]
    pub key: Option<String>,
    /// Print the task and leave it to itself
    #[arg(long)]
    pub detach: bool,
    /// A server's MCP endpoint, or unix:PATH of its socket; may be repeated [env: LONGHAUL_URL] [default: the server
    /// of the data folder, else http://127.0.0.1:1919/mcp]
    #[arg(long)]
    pub url: Vec<String>,
}
