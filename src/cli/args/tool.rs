//! The commands of `longhaul tool`, and what each takes.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::check::{CHECK_HELP, CheckArgs};
use super::project::{BUILD_HELP, BuildArgs, NEW_HELP, NewArgs};
use super::registry::{ADD_HELP, AddArgs, PUSH_HELP, PushArgs};
use super::server::ServerArgs;
use super::update::UpdateArgs;
use super::wit::{WIT_HELP, WitArgs};

#[derive(Clone, Debug, Args)]
pub struct ToolArgs {
    #[command(subcommand)]
    pub command: ToolCommand,
}

#[derive(Clone, Debug, Subcommand)]
pub enum ToolCommand {
    /// List the tools of the running server
    List {
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Show a component's tools, schemas, imports, requests, grants and limits
    #[command(
        after_help = "Examples:\n  longhaul tool inspect plugin.wasm\n  longhaul tool inspect book_agent"
    )]
    Inspect {
        /// A component, a folder of them, a workspace of guests, or the name of a tool that the server has
        #[arg(value_name = "PATH_OR_NAME")]
        what: String,
        /// As `serve --trust` would have it
        #[arg(long)]
        trust: bool,
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Serve a component, each of a folder, or one from a registry, now and after a restart
    #[command(after_help = ADD_HELP)]
    Add(AddArgs),
    /// Put a component into a registry, with the manifest and the signature next to it
    #[command(after_help = PUSH_HELP)]
    Push(PushArgs),
    /// Serve another version of a component that was added; its tasks stay on the one that they began with
    #[command(after_help = "Examples:\n  longhaul tool update web_digest --try\n  \
        longhaul tool update web_digest ./web_digest.wasm --try\n  longhaul tool update web_digest --move-tasks\n\n\
        --try replays the journals of all open tasks with the file, or with the version that waits for approval or is \
        served, without effects, and says which would go on and where the others differ. --move-tasks moves those that \
        fit to the version that is served; the others stay. Both end with status 1 where any task would not go on, or was \
        not moved.")]
    Update(UpdateArgs),
    /// Serve a component that was added no more; its tasks go on
    Remove {
        /// The component's name
        name: String,
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Take what another MCP server offers now for what it is to offer; look at it before
    #[command(
        after_help = "The tools of [servers.NAME] are pinned when they are seen first. One that is defined otherwise \
        later on is refused until this."
    )]
    Pin {
        /// The server, as longhaul.toml names it
        #[arg(value_name = "SERVER")]
        name: String,
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Look at a component that is not served before a person approves it, and serve it; without a name, list all approvals
    #[command(after_help = "Examples:\n  longhaul tool approve\n  longhaul tool approve web_digest\n  \
        longhaul tool approve web_digest --only http:https://api.example.com --expires 30d\n  \
        longhaul tool approve web_digest --without sample\n  \
        longhaul tool approve web_digest --bind docs=/srv/docs --secret key=env:API_KEY\n  \
        longhaul tool approve web_digest --tools ~/plugins     where no server runs\n\n\
        A component that asks for no power is served at first sight. One that asks for more, and one that is not what \
        was approved, waits. What is approved is what was shown: its bytes, its texts and schemas, what it asks for, and \
        what it may use of that. A folder or a secret is given only where it is bound, here or in longhaul.toml.\n\n\
        CAP is a capability as the manifest has it: http:https://api.example.com, state:trips:read, tools:research_agent, \
        env:LANG, elicit, sample; or a kind alone, for all of it. One that is served is approved again to change what it \
        may use.")]
    Approve {
        /// The component's name
        name: Option<String>,
        /// Let it use this, and nothing else of what it requests; repeat it for more [default: all of it]
        #[arg(long, value_name = "CAP", requires = "name")]
        only: Vec<String>,
        /// Do not let it use this; repeat it for more
        #[arg(long, value_name = "CAP", requires = "name")]
        without: Vec<String>,
        /// Until then: a time such as 2027-01-01T00:00:00Z, or so long from now: 90s, 30m, 2h, 7d
        #[arg(long, value_name = "TIME|DURATION", requires = "name")]
        expires: Option<String>,
        /// A folder of this machine for one of its slots; repeat it for more
        #[arg(long, value_name = "SLOT=PATH", requires = "name")]
        bind: Vec<String>,
        /// Where a secret of its comes from: env:NAME, file:PATH or keyring:SERVICE/ACCOUNT; repeat it for more
        #[arg(long, value_name = "NAME=SOURCE", requires = "name")]
        secret: Vec<String>,
        /// Approve it without another question, where this is still what it is; the list shows it
        #[arg(long, value_name = "DIGEST", requires = "name")]
        digest: Option<String>,
        /// The tools of the server that does not run: as of `serve --tools`
        #[arg(long, value_name = "PATH")]
        tools: Vec<PathBuf>,
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Take a component's approval back: it is not served any more, and its tasks lose what they were granted
    Revoke {
        /// The component's name
        name: String,
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Print what is approved, and what it may use, as a lock file has it
    #[command(after_help = "Example:\n  longhaul tool lock > longhaul.lock\n\n\
        With lock_file = \"longhaul.lock\" in longhaul.toml, a start takes what that file says for approved, and `longhaul \
        tool approve` writes it. It is made to be committed.")]
    Lock {
        /// The tools of the server that does not run: as of `serve --tools`
        #[arg(long, value_name = "PATH")]
        tools: Vec<PathBuf>,
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Stop a component's tasks where they are and refuse calls of its tools; without a name, list what is blocked
    #[command(
        after_help = "Examples:\n  longhaul tool block web_digest\n  longhaul tool block blake3:DIGEST\n\n\
        Its tasks wait, and their total time stands still, until `longhaul tool unblock`."
    )]
    Block {
        /// The component's name or digest, or the name of a tool of it
        #[arg(value_name = "NAME_OR_DIGEST")]
        name: Option<String>,
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Let the tasks of a blocked component go on where they were
    Unblock {
        /// As it was named when it was blocked, or the name of a tool of it
        #[arg(value_name = "NAME_OR_DIGEST")]
        name: String,
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Try a component here: run it undisturbed, then killed at every record of its journal, and say what came out
    /// otherwise
    #[command(after_help = CHECK_HELP)]
    Check(CheckArgs),
    /// Print the package longhaul:tool (WIT), which tools of every language are made for
    #[command(after_help = WIT_HELP)]
    Wit(WitArgs),
    /// Make a project for a tool in Python, JavaScript, C or Rust
    #[command(after_help = NEW_HELP)]
    New(NewArgs),
    /// Build a project, or a Cargo workspace of guests
    #[command(after_help = BUILD_HELP)]
    Build(BuildArgs),
}
