//! Lives here: the command line: settings, wiring and shutdown in reverse order, the client commands.
//! May import: everything below. Never here: rmcp, axum, wasmtime, redb: their rooms have doors.
//! Read first: `args/mod.rs` (what can be said), then `server/serve.rs` (the wiring).

mod args;
mod backup;
mod check;
mod client;
mod commands;
pub mod config;
mod context;
mod examples;
mod exit;
mod install;
mod logging;
mod programs;
mod projects;
mod registry;
mod scratch;
mod server;
mod show;

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use clap::{CommandFactory, Parser};

use args::{Cli, Command};
use config::Overrides;
use context::Context;
use exit::{CliError, Exit, Result};
use show::render::{self, Output};

use crate::sandbox;

/// What may still run when a command is done gets this long.
const LINGER: Duration = Duration::from_millis(500);

/// The `longhaul` command.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    if let Command::CompileComponent = cli.command {
        // No settings, no store, no runtime: all that it may use comes on stdin.
        return sandbox::compile_for_parent();
    }
    if let Command::BuildGuests { folder } = &cli.command {
        return server::errands::build(folder);
    }
    if let Command::ReadComponent = cli.command {
        return server::errands::read();
    }
    if let Command::ReadBoundSecret { bindings, data } = &cli.command {
        return server::secrets::read_bound(bindings, data);
    }
    if let Command::ReadSecret { source } = &cli.command {
        return server::secrets::read(source);
    }
    #[cfg(target_os = "linux")]
    if let Command::Launch = cli.command {
        // It does what its server states, which is at the other end of stdin.
        return crate::launch::launch_for_parent();
    }
    if let Command::RunGuests = cli.command {
        return sandbox::run_guests_for_parent();
    }
    if let Command::HoldFolder(args) = &cli.command {
        return server::folders::hold(args);
    }
    let output = Output::new(cli.global.json);
    match run(cli, output) {
        Ok(exit) => exit.into(),
        Err(error) => render::failure(&error, output).into(),
    }
}

fn run(cli: Cli, output: Output) -> Result<Exit> {
    let of_command = match &cli.command {
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Cli::command(), "longhaul", &mut script);
            return output.raw(&script).map(|()| Exit::Done);
        }
        Command::Serve(args) => Overrides {
            http: args.http.clone(),
            tool_paths: args.tools.clone(),
            trust: args.trust,
            durability: args.durability.clone(),
            open_loopback: args.open_loopback,
            ..Overrides::default()
        },
        Command::Install(args) => Overrides { tool_paths: args.tools.clone(), ..Overrides::default() },
        _ => Overrides::default(),
    };
    let mut context = Context::new(&cli.global, of_command, output)?;
    let default_filter = match cli.command {
        Command::Serve(_) => logging::SERVER_DEFAULT,
        _ => logging::COMMAND_DEFAULT,
    };
    logging::start(context.settings.log.as_deref(), default_filter)?;
    if let Some(here) = context.settings.unread.as_deref().filter(|_| !is_own_child(&cli.command)) {
        eprintln!("{}", unread(here));
    }
    if let Command::Serve(args) = &cli.command
        && let Some(serves) = server::serve::serves(args)
    {
        server::serve::prepare(serves, args, &mut context)?;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|e| CliError::failed(format_args!("cannot start threads: {e}")))?;
    let done = runtime.block_on(perform(cli.command, &context));
    // A thread that still reads stdin, or a guest that does not stop, must not keep the process.
    runtime.shutdown_timeout(LINGER);
    done
}

/// Started by another `serve --stdio`, which has said what there is to say.
fn is_own_child(command: &Command) -> bool {
    matches!(command, Command::Serve(args) if args.background || args.start_background)
}

/// For the person who expects a file to hold that does not.
fn unread(here: &Path) -> String {
    format!(
        "longhaul: {} lies in the working folder and is not read; what uses it: longhaul --config {} …",
        render::escape(&here.display().to_string()),
        render::shell_word(here.as_os_str())
    )
}

async fn perform(command: Command, context: &Context) -> Result<Exit> {
    match command {
        Command::Serve(args) => server::serve::run(args, context).await,
        Command::Demo => commands::demo::run(context).await,
        Command::Call(args) => commands::call::run(args, context).await,
        Command::Client(args) => commands::prompt::run(args, context).await,
        Command::Task(args) => commands::task::run(args, context).await,
        Command::State(args) => commands::state::run(args, context).await,
        Command::Tool(args) => commands::tool::run(args, context).await,
        Command::Token(args) => commands::token::run(args, context).await,
        Command::Audit(args) => commands::audit::run(args, context).await,
        Command::Key(args) => commands::key::run(&args, context).await,
        Command::Install(args) => install::run(&args, context),
        Command::Doctor { check } => commands::doctor::run(context, check).await,
        Command::Replay(args) => commands::replay::run(args, context).await,
        Command::Backup(args) => backup::run(args, context).await,
        Command::Restore(args) => backup::run_restore(args, context).await,
        Command::Completions { .. }
        | Command::CompileComponent
        | Command::RunGuests
        | Command::HoldFolder(_)
        | Command::BuildGuests { .. }
        | Command::ReadComponent
        | Command::ReadSecret { .. }
        | Command::ReadBoundSecret { .. } => Ok(Exit::Done),
        #[cfg(target_os = "linux")]
        Command::Launch => Ok(Exit::Done),
    }
}
