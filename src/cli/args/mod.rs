//! Lives here: the words of the command line, and the help that teaches them.
//! May import: the rooms below the command line. Never here: what a command does.
//! Read first: this file.

mod backup;
mod check;
mod install;
mod replay;
mod server;
mod state;
mod task;
mod update;
mod wit;

use std::num::{NonZeroU32, NonZeroU64};
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

pub use self::backup::{BackupArgs, RestoreArgs};
use self::check::CHECK_HELP;
pub use self::check::CheckArgs;
pub use self::install::HostClient;
pub use self::replay::ReplayArgs;
pub use self::server::ServerArgs;
pub use self::state::{StateArgs, StateCommand};
pub use self::task::{OneTask, TaskArgs, TaskCommand};
pub use self::update::UpdateArgs;
use self::wit::WIT_HELP;
pub use self::wit::WitArgs;

use crate::clock::{Clock, SystemClock};
use crate::engine::Verdict;

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
        longhaul replay failed.task --until 12 --json\n\n\
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
    /// Start the programs of the server that started this process
    #[cfg(target_os = "linux")]
    #[command(hide = true)]
    Launch,
    /// Run guests of one component, for the server that started this process
    #[command(hide = true)]
    RunGuests,
}

/// The hidden command of the compiler's process.
pub const COMPILE_COMPONENT: &str = "compile-component";
/// Those of what a server has built and read outside of its walls.
pub const BUILD_GUESTS: &str = "build-guests";
pub const READ_COMPONENT: &str = "read-component";
pub const READ_SECRET: &str = "read-secret";
/// The hidden command of the launcher's.
#[cfg(target_os = "linux")]
pub const LAUNCH: &str = "launch";
/// That of a worker's.
pub const RUN_GUESTS: &str = "run-guests";

#[derive(Clone, Debug, Default, Args)]
pub struct ServeArgs {
    /// Listen here; port 0 takes a free one and says which [default: 127.0.0.1:1919]
    #[arg(long, value_name = "ADDR", conflicts_with = "stdio")]
    pub http: Option<String>,
    /// Speak MCP on stdin and stdout: for the server of the data folder, which is started in the background where
    /// none runs
    #[arg(long)]
    pub stdio: bool,
    /// With --stdio: do all in this process, which has the data folder for itself and ends with its host
    #[arg(long, requires = "stdio")]
    pub private: bool,
    /// With --stdio: answer this host after so many seconds at the latest, as `?wait=N` does for one over HTTP
    #[arg(long, value_name = "SECONDS", conflicts_with = "http")]
    pub wait: Option<String>,
    /// With --stdio: `text` for a host that cannot take links, as `?links=text` for one over HTTP
    #[arg(long, value_name = "block|text", conflicts_with = "http")]
    pub links: Option<String>,
    /// Be the server in the background
    #[arg(long, hide = true, conflicts_with_all = ["stdio", "http"])]
    pub background: bool,
    /// Start the server in the background, and say its pid
    #[arg(long, hide = true, conflicts_with_all = ["stdio", "http"])]
    pub start_background: bool,
    /// Take every request over loopback for the owner's, whichever user of this machine sends it: for test suites that
    /// can send no header
    #[arg(long, conflicts_with = "stdio")]
    pub open_loopback: bool,
    /// A component, a folder of components, or a Cargo workspace of guests (which is built first)
    #[arg(long, value_name = "PATH")]
    pub tools: Vec<PathBuf>,
    /// Grant every component what its manifest requests
    #[arg(long)]
    pub trust: bool,
    /// Serve what --tools names again whenever its files change (a workspace is built again): for authors
    #[arg(long)]
    pub watch: bool,
    /// `standard` or `strict`: one or two syncs of the disk for each commit [default: standard]
    #[arg(long, value_name = "MODE")]
    pub durability: Option<String>,
}

impl ServerArgs {
    /// As for every variable, an empty one says nothing.
    pub fn url(&self) -> Option<&str> {
        self.url.as_deref().filter(|url| !url.is_empty())
    }
}

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
    /// Arguments, typed by the tool's schema; a word without '=' is a further tool, which is called beside it
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

#[derive(Clone, Debug, Args)]
pub struct TokenArgs {
    #[command(flatten)]
    pub server: ServerArgs,
    #[command(subcommand)]
    pub command: TokenCommand,
}

#[derive(Clone, Debug, Subcommand)]
pub enum TokenCommand {
    /// Make a token and print it, this once
    New {
        /// Its principal: A-Z, a-z, 0-9, '.', '_', '@' and '-'
        name: String,
        /// Tools that it may call and see, such as 'book_*'; repeat it for more [default: none]
        #[arg(long, value_name = "GLOB")]
        tools: Vec<String>,
        /// Shared state: NAMESPACE or NAMESPACE/KEY-GLOB, with :read for reading alone [default: none]
        #[arg(long, value_name = "GLOB")]
        state: Vec<String>,
        #[command(flatten)]
        share: ShareArgs,
    },
    /// List the tokens that are valid
    List,
    /// Make a token invalid, at once; the tasks of its principal do nothing more in its name
    Revoke {
        /// Its principal
        name: String,
        /// Cancel its open tasks too
        #[arg(long)]
        cancel_tasks: bool,
    },
}

/// Less than what every principal has. Nothing here gives more.
#[derive(Clone, Copy, Debug, Args)]
pub struct ShareArgs {
    /// Requests a second [default: as [shares.principal] has it, 200 by itself]
    #[arg(long, value_name = "NUMBER")]
    pub rate: Option<NonZeroU32>,
    /// Memory of its requests, answers and running tools, MiB [default: an eighth of the server's]
    #[arg(long, value_name = "MIB")]
    pub memory_mib: Option<NonZeroU64>,
    /// Tasks that may be open at once [default: an eighth of the server's]
    #[arg(long, value_name = "NUMBER")]
    pub tasks: Option<NonZeroU64>,
    /// What its tasks and its entries of shared state may keep in the store, MiB [default: a quarter of what all may]
    #[arg(long, value_name = "MIB")]
    pub store_mib: Option<NonZeroU64>,
}

#[derive(Clone, Debug, Args)]
pub struct AuditArgs {
    #[command(flatten)]
    pub server: ServerArgs,
    #[command(subcommand)]
    pub command: AuditCommand,
}

#[derive(Clone, Debug, Subcommand)]
pub enum AuditCommand {
    /// List what was done and refused, newest first
    List {
        /// Only from then on: 90s, 30m, 2h, 7d ago, or a time such as 2026-11-21T10:00:00Z
        #[arg(long, value_name = "WHEN", value_parser = moment)]
        since: Option<u64>,
        /// Only what this principal did
        #[arg(long)]
        principal: Option<String>,
        /// Only calls of this tool
        #[arg(long)]
        tool: Option<String>,
        /// Only what was admitted, repeated or refused
        #[arg(long, value_parser = verdict)]
        verdict: Option<Verdict>,
        /// At most this many
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
        limit: u32,
    },
}

fn verdict(text: &str) -> Result<Verdict, String> {
    let all = [Verdict::Admitted, Verdict::Repeated, Verdict::Refused];
    let found = all.into_iter().find(|verdict| verdict.to_string() == text);
    found.ok_or_else(|| "it is admitted, repeated or refused".to_owned())
}

/// Nanoseconds since 1970 of a time, or of so long ago.
fn moment(text: &str) -> Result<u64, String> {
    let wrong =
        || "it is neither a time such as 2026-11-21T10:00:00Z nor so long ago: 90s, 30m, 2h, 7d".to_owned();
    if let Ok(time) = OffsetDateTime::parse(text, &Rfc3339) {
        return u64::try_from(time.unix_timestamp_nanos()).map_err(|_| wrong());
    }
    let unit = match text.as_bytes().last() {
        Some(b's') => 1,
        Some(b'm') => 60,
        Some(b'h') => 3_600,
        Some(b'd') => 86_400,
        _ => return Err(wrong()),
    };
    let count: u64 = text[..text.len() - 1].parse().map_err(|_| wrong())?;
    let ago =
        count.checked_mul(unit).and_then(|seconds| seconds.checked_mul(1_000_000_000)).ok_or_else(wrong)?;
    Ok(SystemClock::default().wall().saturating_sub(ago))
}

#[derive(Clone, Debug, Args)]
pub struct KeyArgs {
    /// As a JSON object of HTTP headers, which hosts take from a helper
    #[arg(long)]
    pub headers: bool,
    /// Only where the server listens at this address: no other is to be shown its key
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// Make another key instead, by which the one before is none any more
    #[arg(long, conflicts_with_all = ["headers", "url"])]
    pub renew: bool,
}

#[derive(Clone, Debug, Args)]
pub struct InstallArgs {
    /// The host
    #[arg(long, value_name = "NAME")]
    pub client: HostClient,
    /// The file of the project in the working folder, not the user's own
    #[arg(long)]
    pub project: bool,
    /// The host starts this program; several hosts share one server [default]
    #[arg(long, conflicts_with_all = ["http", "url"])]
    pub stdio: bool,
    /// The host connects to a server that runs
    #[arg(long)]
    pub http: bool,
    /// The host sends the server's key: for a host in another container, user or system than the server
    #[arg(long, conflicts_with_all = ["stdio", "tools"])]
    pub with_key: bool,
    /// Address of that server's MCP endpoint; elsewhere than on this machine, the host is told to send the token in
    /// LONGHAUL_TOKEN [default: as the server's settings have it]
    #[arg(long)]
    pub url: Option<String>,
    /// What is served: as in `serve --tools`
    #[arg(long, value_name = "PATH", conflicts_with_all = ["http", "url"])]
    pub tools: Vec<PathBuf>,
    /// Put this entry in the place of another of the same name
    #[arg(long)]
    pub force: bool,
    /// Show what would be changed, and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Do not start the server once, which has the tools compiled before a host waits for them
    #[arg(long)]
    pub no_start: bool,
}

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
    /// Serve a component, or each of a folder, now and after a restart
    #[command(
        after_help = "Examples:\n  longhaul tool add ~/plugins/web_digest.wasm\n  longhaul tool add ~/plugins\n\n\
        The file is copied into the store, with the manifest next to it. A running server serves it at once, or says why \
        it waits for `longhaul tool approve`; where none runs, the next start looks at it."
    )]
    Add {
        /// A component, a folder of components, or a Cargo workspace of guests (which is built first)
        #[arg(value_name = "PATH")]
        path: PathBuf,
        #[command(flatten)]
        server: ServerArgs,
    },
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
        longhaul tool approve web_digest --tools ~/plugins     where no server runs\n\n\
        A component that asks for no power is served at first sight. One that asks for more, and one that is not what \
        was approved, waits. What is approved is what was shown: its bytes, its texts and schemas, what it asks for, and \
        what it may use of that.\n\n\
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
        /// A folder for what the component has a slot for; this version gives components no files
        #[arg(long, value_name = "SLOT=PATH", requires = "name", hide = true)]
        bind: Vec<String>,
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
    /// Build a Cargo workspace of guests for wasm32-wasip2
    #[command(after_help = "Example:\n  longhaul tool build tools-wasm -p book_agent")]
    Build {
        /// The workspace: a folder with a Cargo.toml
        dir: PathBuf,
        /// Only this package
        #[arg(short, long, value_name = "NAME")]
        package: Vec<String>,
    },
}

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
