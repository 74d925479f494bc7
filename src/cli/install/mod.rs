//! Lives here: `longhaul install`: it writes the configuration by which an MCP host finds this program.
//! May import: `args`, `server`, `show`. Never here: a connection to a server.
//! Read first: this file, then `clients.rs`.

pub mod clients;
mod difference;
mod entries;
mod file;
mod in_json;
mod in_toml;
mod ready;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};
use time::OffsetDateTime;

use self::clients::{Credential, Format, KEY, Places, Transport};
use self::difference::difference;
use self::file::HostFile;
use self::ready::{FirstStart, started_once};
use crate::cli::args::InstallArgs;
use crate::cli::context::Context;
use crate::cli::exit::{CliError, Exit, Result};
use crate::cli::server::listen::http_options;
use crate::cli::server::own_server;
use crate::cli::show::render::escape;
use crate::http::knows_owner_by_connection;

/// The key under which a host knows this program.
const NAME: &str = "longhaul";

pub fn run(args: &InstallArgs, context: &Context) -> Result<Exit> {
    let transport = transport(args, context)?;
    let job = Job {
        path: args.client.file(args.project, &Places::of_this_process()?)?,
        format: args.client.format(),
        entry: args.client.entry(&transport)?,
        force: args.force,
    };
    let plan = job.plan()?;
    let has_tools = !context.settings.tool_paths.is_empty();
    if matches!(transport, Transport::Stdio { .. }) && !has_tools {
        eprintln!("no tools are named: --tools PATH, or tool_paths in longhaul.toml, says what is served");
    }
    let backup = if args.dry_run { None } else { plan.carry_out(OffsetDateTime::now_utc())? };
    let first_start = || match &transport {
        Transport::Stdio { command, args: words } if has_tools && !args.dry_run && !args.no_start => {
            make_ready(command, words, context)
        }
        _ => FirstStart::LeftOut,
    };
    // A document names the start too; a person reads of the entry before a start that takes minutes.
    let started = if context.output.json {
        let started = first_start();
        print_document(&job, &plan, args, backup.as_deref(), started, context)?;
        started
    } else {
        tell(&job, &plan, args, backup.as_deref(), context)?;
        first_start()
    };
    Ok(if started == FirstStart::Failed { Exit::Failed } else { Exit::Done })
}

/// The entry is there whatever becomes of the server.
fn make_ready(command: &str, words: &[String], context: &Context) -> FirstStart {
    eprintln!(
        "starting the server once, so that the host finds its tools compiled (--no-start leaves that out)"
    );
    let started = started_once(command, words, context);
    match started {
        FirstStart::Failed => {
            eprintln!("the entry stands, but its server did not start: mend that before the host does");
        }
        FirstStart::OtherServer => eprintln!(
            "the entry stands; a server with other tools runs already, so those that are named here were not looked at: \
             neither read nor compiled"
        ),
        FirstStart::Started | FirstStart::LeftOut => {}
    }
    started
}

/// What is to be there, and where.
struct Job {
    path: PathBuf,
    format: Format,
    entry: Map<String, Value>,
    /// Whether an entry of another shape gives way.
    force: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Created,
    Added,
    Replaced,
    Unchanged,
}

/// The file as it is, and as it is to be.
#[derive(Debug)]
struct Plan {
    file: HostFile,
    text: String,
    action: Action,
}

impl Job {
    fn plan(&self) -> Result<Plan> {
        let file = HostFile::read(&self.path)?;
        let there = entries::entry(self.format, file.text(), NAME).map_err(|why| self.to_paste(&why))?;
        let action = match &there {
            None if file.is_new() => Action::Created,
            None => Action::Added,
            Some(there) if self.holds_in(there) => Action::Unchanged,
            Some(_) => Action::Replaced,
        };
        if action == Action::Unchanged {
            let text = file.text().to_owned();
            return Ok(Plan { file, text, action });
        }
        let text = self.edited(file.text()).map_err(|why| self.to_paste(&why))?;
        if action == Action::Replaced && !self.force {
            return Err(CliError::refused(format_args!(
                "{} has another entry `{NAME}`; this would change:\n{}",
                self.path.display(),
                difference(file.text(), &text)
            ))
            .next("the same command with --force, which keeps a copy of the file"));
        }
        Ok(Plan { file, text, action })
    }

    fn edited(&self, text: &str) -> Result<String, String> {
        entries::with_entry(self.format, text, NAME, &self.entry)
    }

    /// Whether the host finds something in a variable of this name that it has to be started with.
    fn reads_variable(&self, variable: &str) -> bool {
        Value::Object(self.entry.clone()).to_string().contains(variable)
    }

    /// What a person has added to the entry, such as variables, is theirs.
    fn holds_in(&self, there: &Value) -> bool {
        self.entry.iter().all(|(key, value)| there.get(key) == Some(value))
    }

    /// A file that cannot be edited without harm is left to its owner.
    fn to_paste(&self, why: &str) -> CliError {
        let block = self.edited("").unwrap_or_default();
        CliError::refused(format_args!("{} is left as it is: {why}", self.path.display()))
            .next(format!("put this in there yourself:\n\n{block}"))
    }
}

impl Plan {
    /// Gives the copy of what was there.
    fn carry_out(&self, now: OffsetDateTime) -> Result<Option<PathBuf>> {
        if self.action == Action::Unchanged { Ok(None) } else { self.file.replace(&self.text, now) }
    }
}

fn transport(args: &InstallArgs, context: &Context) -> Result<Transport> {
    if args.http || args.with_key || args.url.is_some() {
        return over_http(args, context);
    }
    let mut words = vec!["serve".to_owned(), "--stdio".to_owned()];
    let mut flag = |flag: &str, path: &Path| -> Result<()> {
        words.extend([flag.to_owned(), text_of(path)?]);
        Ok(())
    };
    // A host starts us in a folder and with variables of its own, perhaps without the XDG ones of this shell.
    let of_variable = std::env::var_os("XDG_DATA_HOME").map(|base| Path::new(&base).join("longhaul"));
    if context.data_named || of_variable.as_deref() == Some(context.data()) {
        flag("--data", &absolute(context.data())?)?;
    }
    if let Some(file) = &context.settings.file {
        flag("--config", &absolute(file)?)?;
    }
    for path in &args.tools {
        let path = absolute(path)?;
        if !path.exists() {
            return Err(CliError::usage(format_args!("--tools {}: it is not there", path.display())));
        }
        flag("--tools", &path)?;
    }
    Ok(Transport::Stdio { command: own_program()?, args: words })
}

/// With the server's key where that is wanted, or where a server with these settings cannot know the owner's host of
/// this machine by its connection.
fn over_http(args: &InstallArgs, context: &Context) -> Result<Transport> {
    let url = match (&args.url, own_server::url(context)) {
        (Some(url), _) => url.clone(),
        (None, Some(running)) => running,
        (None, None) => usual_url(context)?,
    };
    let mut transport = Transport::http(&url)?;
    if let Transport::Http { credential, .. } = &mut transport {
        let is_near = *credential == Credential::None;
        if args.with_key || (is_near && !knows_owner_by_connection(&http_options(context))) {
            // A helper prints the key of a server that runs on the host's own machine.
            let helper = is_near.then(|| helper(&url, context)).transpose()?;
            *credential = Credential::Key { helper };
        }
    }
    Ok(transport)
}

/// A shell command that prints the key as HTTP headers, for the server at this address and no other.
fn helper(url: &str, context: &Context) -> Result<String> {
    let words = [own_program()?, text_of(&absolute(context.data())?)?, url.to_owned()];
    let [program, data, url] = words.map(|word| shell_word(&word));
    Ok(format!("{program} key --headers --data {data} --url {url}"))
}

fn own_program() -> Result<String> {
    let program = std::env::current_exe()
        .map_err(|e| CliError::failed(format_args!("this program does not know where it stands: {e}")))?;
    text_of(&program)
}

/// As a POSIX shell reads it as one word.
fn shell_word(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._:-".contains(c);
    if text.chars().all(is_plain) { text.to_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

fn usual_url(context: &Context) -> Result<String> {
    let mut address = context.settings.http;
    if address.port() == 0 {
        return Err(CliError::usage("the server takes a free port at each start")
            .next("give it one with `http` in longhaul.toml, or name the address with --url"));
    }
    if address.ip().is_unspecified() {
        address.set_ip(crate::cli::config::DEFAULT_ADDRESS.ip());
    }
    Ok(format!("http://{address}/mcp"))
}

fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).map_err(|e| CliError::usage(format_args!("{}: {e}", path.display())))
}

fn text_of(path: &Path) -> Result<String> {
    let text = path.to_str().map(str::to_owned);
    text.ok_or_else(|| CliError::usage(format_args!("{}: a host needs a path in UTF-8", path.display())))
}

impl Action {
    fn word(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Added => "added",
            Self::Replaced => "replaced",
            Self::Unchanged => "unchanged",
        }
    }
}

fn print_document(
    job: &Job,
    plan: &Plan,
    args: &InstallArgs,
    backup: Option<&Path>,
    started: FirstStart,
    context: &Context,
) -> Result<()> {
    context.output.json(&json!({
        "client": args.client.name(), "path": job.path, "action": plan.action.word(), "dry_run": args.dry_run,
        "entry": job.entry, "difference": difference(plan.file.text(), &plan.text), "backup": backup,
        "first_start": started.word(),
    }))
}

fn tell(job: &Job, plan: &Plan, args: &InstallArgs, backup: Option<&Path>, context: &Context) -> Result<()> {
    let output = context.output;
    let (changes, action) = (difference(plan.file.text(), &plan.text), plan.action.word());
    let path = escape(&job.path.display().to_string());
    match (plan.action, args.dry_run) {
        (Action::Unchanged, _) => output.line(format!("{path}: nothing to do, it has this entry")),
        (_, true) => {
            output.line(format!("{path}: would be changed"))?;
            output.foreign_text(&changes)
        }
        (_, false) => {
            output.line(format!("{path}: entry `{NAME}` {action}"))?;
            if let Some(backup) = backup {
                output.line(format!("as it was: {}", escape(&backup.display().to_string())))?;
            }
            eprintln!("{}", args.client.afterwards());
            if job.reads_variable(KEY) {
                let data = escape(&shell_word(&context.data().display().to_string()));
                eprintln!(
                    "start the host with the server's key: export {KEY}=\"$(longhaul key --data {data})\""
                );
            }
            Ok(())
        }
    }
}
