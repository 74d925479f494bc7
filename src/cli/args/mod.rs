//! Lives here: the words of the command line, and the help that teaches them.
//! May import: the rooms below the command line. Never here: what a command does.
//! Read first: this file.

mod audit;
mod backup;
mod call;
mod check;
mod folder;
mod install;
mod project;
mod registry;
mod replay;
mod serve;
mod server;
mod state;
mod task;
mod token;
mod tool;
mod update;
mod wit;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;

pub use self::audit::{AuditArgs, AuditCommand};
pub use self::backup::{BackupArgs, RestoreArgs};
pub use self::call::{CallArgs, ClientArgs};
pub use self::check::CheckArgs;
pub use self::folder::{HOLD_FOLDER, HoldFolderArgs, words as folder_words};
pub use self::install::{HostClient, InstallArgs};
pub use self::project::{BuildArgs, Language, NewArgs};
pub use self::registry::{AddArgs, PushArgs};
pub use self::replay::ReplayArgs;
pub use self::serve::ServeArgs;
pub use self::server::ServerArgs;
pub use self::state::{StateArgs, StateCommand};
pub use self::task::{OneTask, TaskArgs, TaskCommand};
pub use self::token::{KeyArgs, ShareArgs, TokenArgs, TokenCommand};
pub use self::tool::{ToolArgs, ToolCommand};
pub use self::update::UpdateArgs;
pub use self::wit::WitArgs;

#[derive(Parser)]
#[command(
    name = "longhaul",
    version,
    about = "Runs agent tools as sandboxed WebAssembly components and makes their work durable.",
    long_about = "Runs agent tools as sandboxed WebAssembly components and makes their work durable: a tool call over \
                  MCP becomes a task that survives kill -9, with its progress and results readable all the while.",
    after_help = "Begin here:\n  \
                  longhaul demo                                   see a task survive kill -9\n  \
                  longhaul serve --tools tools-wasm               build the example tools and serve them\n  \
                  longhaul call long_running_agent steps=20       call one and follow it\n  \
                  longhaul task list                              see every task\n\n\
                  Exit status: 0 done, 1 failed, 2 bad usage or configuration, 3 not found, 4 refused.",
    disable_help_subcommand = true,
    infer_subcommands = false
)]
pub struct Cli {
    #[command(flatten)]
    pub global: GlobalArgs,
    #[command(subcommand)]
    pub command: Command,
}

/// What every command understands.
#[derive(Clone, Default, Args)]
pub struct GlobalArgs {
    /// Folder with the tasks [env: LONGHAUL_DATA] [default: the XDG data folder]
    #[arg(long, global = true, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Configuration [env: LONGHAUL_CONFIG] [default: longhaul/longhaul.toml in the XDG config folder; never the working
    /// folder's]
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Print JSON on stdout, and nothing else
    #[arg(long, global = true)]
    pub json: bool,
    /// A bearer token for the server that --url names, or else for the data folder's own, and for no other; better in the
    /// environment, where no list of processes shows it
    #[arg(long, global = true, value_name = "TOKEN", env = "LONGHAUL_TOKEN", hide_env_values = true)]
    pub token: Option<String>,
    /// What to log to stderr, such as `debug` or `longhaul=trace` [env: LONGHAUL_LOG, RUST_LOG]
    #[arg(long, global = true, value_name = "FILTER")]
    pub log: Option<String>,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve tools over MCP, on HTTP or stdio
    #[command(after_help = "Examples:\n  \
        longhaul serve --tools tools-wasm                 build a workspace of guests and serve it\n  \
        longhaul serve --tools plugin.wasm --tools more/  serve a component, and a folder of them\n  \
        longhaul serve --stdio --tools plugin.wasm        for a host that spawns its servers\n\n\
        What a component may do stands in longhaul.toml under [grants.NAME]; what was built here from a workspace \
        gets what its manifest requests, and so does everything with --trust.")]
    Serve(ServeArgs),
    /// See a task survive kill -9: builds a tool, runs it, kills the server half way, goes on
    Demo,
    /// Call a tool and follow its task to the end
    #[command(after_help = "Examples:\n  \
        longhaul call long_running_agent steps=20 step_ms=500\n  \
        longhaul call book_agent --args '{\"topic\": \"tides\"}' --detach\n  \
        longhaul call book_agent topic=tides --key order-17     twice is the same task\n  \
        longhaul call --url http://127.0.0.1:1919/mcp --url http://127.0.0.1:1920/mcp \\\n    \
        book_agent@1 topic=tides research_agent@2             two tasks of two servers, followed at once\n\n\
        A value has the type that the tool's schema names; write lists and objects as JSON. Ctrl-C detaches: the \
        task goes on, `longhaul task watch ID` comes back to it.")]
    Call(CallArgs),
    /// A prompt that calls tools and follows tasks, on several servers at once
    #[command(after_help = "Examples:\n  \
        longhaul client\n  \
        longhaul client --url http://127.0.0.1:1919/mcp --url http://127.0.0.1:1920/mcp\n\n\
        Ctrl-C leaves a task to itself. Tasks whose end was not shown are taken up again with the next start.")]
    Client(ClientArgs),
    /// Look at tasks and steer them
    #[command(
        after_help = "With a server running, it is asked; where none runs, the data folder is read directly and \
        nothing is run.\n\nExamples:\n  \
        longhaul task list --state failed\n  \
        longhaul task watch 01982f3e-7c41-7b2a-9d3e-5f6a7b8c9d0e\n  \
        longhaul task output 01982f3e-7c41-7b2a-9d3e-5f6a7b8c9d0e chapter-1 > chapter.md"
    )]
    Task(TaskArgs),
    /// Read and write the state that tools and agents share
    #[command(
        after_help = "With a server running, it is asked; where none runs, the data folder is read and written \
        directly.\n\nExamples:\n  \
        longhaul state put trips paris '{\"price\": 1200}'\n  \
        longhaul state put trips paris '{\"price\": 1100}' --if-version 1\n  \
        longhaul state list trips --prefix p\n  \
        longhaul state watch trips paris"
    )]
    State(StateArgs),
    /// List tools, look into components, block them, build guests
    #[command(alias = "component")]
    Tool(ToolArgs),
    /// Make, list and revoke the tokens by which callers are told apart
    #[command(after_help = "Examples:\n  \
        longhaul token new ann --tools 'book_*' --tools triage --state 'tickets/*'\n  \
        longhaul token revoke ann\n\n\
        The server's own user on this machine is `local`, who may do all; everybody else needs a token. The token is \
        shown once: only its hash is stored.")]
    Token(TokenArgs),
    /// Show who did what, and what was refused
    #[command(after_help = "Examples:\n  \
        longhaul audit list --since 2h --verdict refused\n  \
        longhaul audit list --principal ann --tool book_agent --json")]
    Audit(AuditArgs),
    /// Print the key by which the owner of a running server is known over HTTP
    #[command(after_help = "Examples:\n  \
        export LONGHAUL_KEY=\"$(longhaul key)\"     for a host that reads it from a variable\n  \
        longhaul key --headers                      for a host that runs a helper\n  \
        longhaul key --renew                        another one; the server must be stopped\n\n\
        Who has the key may do all that the owner may. It stays the same across restarts.")]
    Key(KeyArgs),
    /// Tell an MCP host about this program: write its configuration
    #[command(after_help = "Examples:\n  \
        longhaul install --client claude-code --tools ~/plugins --dry-run\n  \
        longhaul install --client vscode --project --tools plugins\n  \
        longhaul install --client codex --http\n\n\
        All else in the host's file stays as it is, and a copy of it stands beside it. A second time changes nothing.")]
    Install(InstallArgs),
    /// Check this machine and this data folder, and say what to do
    Doctor {
        /// Also read all of the store and verify its checksums; a server that runs on it reads it itself
        #[arg(long)]
        check: bool,
    },
    /// Copy a store, while its server runs or not, into a folder or to another program
    #[command(after_help = "Examples:\n  \
        longhaul backup /mnt/backups                      a new file in that folder\n  \
        longhaul backup - | ssh host 'cat > l.backup'     to stdout\n  \
        longhaul backup --command age -r KEY -o l.age     to a program of yours\n\n\
        The backup holds what was acknowledged when it began: tasks, journals, results, components, shared state, \
        tokens' hashes, the audit, the owner's key. It is read and verified on its way; half of one has another name \
        and is refused. Configuration, and secrets that grants name, are not in it.")]
    Backup(BackupArgs),
    /// Replay an exported task here: its log, its steps, and where it stops, differs or traps
    #[command(after_help = "Examples:\n  \
        longhaul task export ID -o failed.task\n  \
        longhaul replay failed.task\n  \
        longhaul replay failed.task --until 12 --json\n  \
        longhaul replay failed.task --bind docs=/srv/docs\n\n\
        The component in the file runs in a sandbox from which nothing leaves, and does nothing but what its journal says.\n\n\
        Exit status: 0 where it does as its journal says, 1 where it differs, 2 where the file is none.")]
    Replay(ReplayArgs),
    /// Make the store of a backup, in a data folder that has none
    #[command(after_help = "Examples:\n  \
        longhaul restore /mnt/backups/longhaul-20260101T000000.000000Z.backup --data ~/restored\n  \
        longhaul restore l.backup --check                 only verify it\n  \
        age -d -i KEY l.age | longhaul restore - --data ~/restored\n\n\
        Open tasks go on from where they were. The server that it was taken from must not run any more: both would do \
        the same things.")]
    Restore(RestoreArgs),
    /// Print completions for a shell
    #[command(after_help = "Examples:\n  \
        longhaul completions bash > ~/.local/share/bash-completion/completions/longhaul\n  \
        longhaul completions fish > ~/.config/fish/completions/longhaul.fish")]
    Completions {
        /// Which shell
        shell: Shell,
    },
    /// Compile the component on stdin, for the server that started this process
    #[command(hide = true)]
    CompileComponent,
    /// Build the guests of a workspace, for the server that started this process
    #[command(hide = true)]
    BuildGuests { folder: PathBuf },
    /// Read the component whose path is on stdin, for the server that started this process
    #[command(hide = true)]
    ReadComponent,
    /// Read one secret, for the server that started this process
    #[command(hide = true)]
    ReadSecret { source: String },
    /// Read the secret from the source that stdin names, where bindings.toml has it
    #[command(hide = true)]
    ReadBoundSecret { bindings: PathBuf, data: PathBuf },
    /// Start the programs of the server that started this process
    #[cfg(target_os = "linux")]
    #[command(hide = true)]
    Launch,
    /// Run guests of one component, for the server that started this process
    #[command(hide = true)]
    RunGuests,
    /// Hold a folder, for the server that started this process
    #[command(hide = true)]
    HoldFolder(HoldFolderArgs),
}

/// The hidden command of the compiler's process.
pub const COMPILE_COMPONENT: &str = "compile-component";
/// Those of what a server has built and read outside of its walls.
pub const BUILD_GUESTS: &str = "build-guests";
pub const READ_COMPONENT: &str = "read-component";
pub const READ_SECRET: &str = "read-secret";
pub const READ_BOUND_SECRET: &str = "read-bound-secret";
/// The hidden command of the launcher's.
#[cfg(target_os = "linux")]
pub const LAUNCH: &str = "launch";
/// That of a worker's.
pub const RUN_GUESTS: &str = "run-guests";

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_words_do_not_contradict_each_other() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_says_what_it_is_for() {
        fn check(command: &clap::Command) {
            assert!(command.get_about().is_some(), "{} has no purpose", command.get_name());
            command.get_subcommands().for_each(check);
        }
        check(&Cli::command());
    }

    #[test]
    fn json_data_and_config_are_understood_anywhere() {
        let words = ["longhaul", "task", "list", "--json", "--data", "/tmp/x", "--limit", "3"];
        let cli = Cli::try_parse_from(words).expect("parses");
        assert!(cli.global.json);
        assert_eq!(cli.global.data, Some(PathBuf::from("/tmp/x")));
        let id = "01982f3e-7c41-7b2a-9d3e-5f6a7b8c9d0e";
        for words in [["--url", "http://x/mcp", "show", id], ["show", id, "--url", "http://x/mcp"]] {
            let cli = Cli::try_parse_from(["longhaul", "task"].into_iter().chain(words)).expect("parses");
            assert!(matches!(&cli.command, Command::Task(task) if task.server.url() == Some("http://x/mcp")));
        }
        assert!(Cli::try_parse_from(["longhaul", "task", "show", "nonsense"]).is_err());
        assert!(Cli::try_parse_from(["longhaul", "serve", "--http", "x", "--stdio"]).is_err());
        assert!(
            Cli::try_parse_from(["longhaul", "serve", "--stdio", "--wait", "4", "--links", "text"]).is_ok()
        );
    }
}
