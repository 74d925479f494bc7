use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Subcommand};

use super::server::ServerArgs;
use crate::api::StateName;
use crate::engine::Resolution;
use crate::task::TaskId;

#[derive(Clone, Debug, Args)]
pub struct TaskArgs {
    #[command(flatten)]
    pub server: ServerArgs,
    #[command(subcommand)]
    pub command: TaskCommand,
}

#[derive(Clone, Debug, Subcommand)]
pub enum TaskCommand {
    /// List tasks, newest first
    List {
        /// Only those that are queued, running, waiting, completed, failed or cancelled
        #[arg(long, value_parser = state_name())]
        state: Option<StateName>,
        /// Only those of this tool
        #[arg(long)]
        tool: Option<String>,
        /// Only those that this task called, oldest first
        #[arg(long, value_name = "ID")]
        parent: Option<TaskId>,
        /// Those of this principal: for the owner of the data folder
        #[arg(long, value_name = "NAME", conflicts_with = "all")]
        principal: Option<String>,
        /// Those of all principals: for the owner of the data folder
        #[arg(long)]
        all: bool,
        /// At most this many
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
        limit: u32,
    },
    /// Show all that is known about a task
    Show {
        /// The task's id
        id: TaskId,
        /// What it did and when: its steps, attempts, replays and waits, also after its end
        #[arg(long)]
        steps: bool,
    },
    /// Follow a task to its end
    Watch(OneTask),
    /// Print what a task handed back
    Result(OneTask),
    /// Print a named partial result as far as it is there; the name `log` is the log
    Output {
        /// The task's id
        id: TaskId,
        /// The output's name; `task show` lists them
        name: String,
    },
    /// Show the journal: every recorded step
    Journal(OneTask),
    /// Write a task into one file, with its component, arguments and journal, to replay it elsewhere
    #[command(after_help = "Examples:\n  \
        longhaul task export ID -o failed.task\n  \
        longhaul task export ID --redact | ssh host 'cat > failed.task'\n\n\
        `longhaul replay FILE` replays it on any machine, without a network. Values of secrets are not in it; what servers, \
        people and models answered is, unless --redact.")]
    Export {
        /// The task's id
        id: TaskId,
        /// Replace all texts of the task by as many x: what it did and how large it was stays
        #[arg(long)]
        redact: bool,
        /// Write this file, which must not be there, in place of stdout
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Stop a task; what it has published stays readable
    Cancel {
        /// The task's id
        id: TaskId,
        /// Told to the tool and shown with the task
        #[arg(long)]
        reason: Option<String>,
    },
    /// Delete a task that has ended, and those that it called, with all that belonged to them
    Delete(OneTask),
    /// Send a message to a running task
    #[command(after_help = "Examples:\n  \
        longhaul task send ID redirect chapter=3 instruction='more on tides'\n  \
        longhaul task send ID note --args '\"any JSON\"' --key note-1")]
    Send {
        /// The task's id
        id: TaskId,
        /// Name of the message; the tool says which ones it listens to
        name: String,
        /// Fields of the message
        #[arg(value_name = "KEY=VALUE")]
        pairs: Vec<String>,
        /// The whole message as JSON; KEY=VALUE stands on top of an object
        #[arg(long, value_name = "JSON")]
        args: Option<String>,
        /// The same key again is the same message
        #[arg(long)]
        key: Option<String>,
    },
    /// Answer a question that a task asks
    #[command(after_help = "Examples:\n  \
        longhaul task answer ID confirm=true notes='window seat'\n  \
        longhaul task answer ID --key price --decline\n  \
        longhaul task answer ID --key sample:1 --args '\"what a model would say\"'\n\n\
        A question for a person wants a terminal, or [cli] answer_without_terminal = true in longhaul.toml.")]
    Answer {
        /// The task's id
        id: TaskId,
        /// Which question; not needed where one is open
        #[arg(long)]
        key: Option<String>,
        /// Fields of the form, typed by its schema
        #[arg(value_name = "KEY=VALUE")]
        pairs: Vec<String>,
        /// The whole answer as JSON; KEY=VALUE stands on top of an object
        #[arg(long, value_name = "JSON")]
        args: Option<String>,
        /// Say no
        #[arg(long, conflicts_with_all = ["pairs", "args", "cancel"])]
        decline: bool,
        /// Put the question away without saying yes or no
        #[arg(long, conflicts_with_all = ["pairs", "args"])]
        cancel: bool,
    },
    /// Try a failed or cancelled task again, under the same id
    Retry {
        /// The task's id
        id: TaskId,
        /// Keep the journal up to this step instead of beginning anew
        #[arg(long, value_name = "STEP")]
        from: Option<u64>,
    },
    /// Say what became of a step of unknown outcome; the task goes on from there
    #[command(
        after_help = "Example:\n  longhaul task resolve ID --step 3 --done '{\"status\": 201, \"body\": \"…\"}'"
    )]
    Resolve {
        /// The task's id
        id: TaskId,
        /// The step in question, as the task's error tells it
        #[arg(long, value_name = "N")]
        step: u64,
        #[command(flatten)]
        resolution: ResolutionArgs,
    },
}

#[derive(Clone, Debug, Args)]
pub struct OneTask {
    /// The task's id
    pub id: TaskId,
}

#[derive(Clone, Debug, Args)]
#[group(required = true, multiple = false)]
pub struct ResolutionArgs {
    /// It arrived, and this came back: {"status": 200, "headers": {…}, "body": "text"}
    #[arg(long, value_name = "JSON", value_parser = json_value)]
    pub done: Option<serde_json::Value>,
    /// It did not arrive: the tool is told that it failed
    #[arg(long)]
    pub failed: bool,
    /// Send it again, under the same idempotency key
    #[arg(long)]
    pub resend: bool,
}

impl ResolutionArgs {
    pub fn resolution(self) -> Resolution {
        match self {
            Self { done: Some(answer), .. } => Resolution::Done(answer),
            Self { failed: true, .. } => Resolution::Failed,
            Self { .. } => Resolution::Resend,
        }
    }
}

fn state_name() -> impl TypedValueParser<Value = StateName> {
    PossibleValuesParser::new(StateName::ALL.map(StateName::as_str)).try_map(|name| name.parse::<StateName>())
}

fn json_value(text: &str) -> Result<serde_json::Value, String> {
    serde_json::from_str(text).map_err(|error| format!("it is no JSON: {error}"))
}
