//! `longhaul token …`

use serde_json::json;

use crate::api::{NewToken, TokenDocument, TokenList, TokenNew, TokenRevoke};
use crate::cli::args::{ShareArgs, TokenArgs, TokenCommand};
use crate::cli::client::access::Access;
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Result};
use crate::cli::show::render::Table;

pub async fn run(args: TokenArgs, context: &Context) -> Result<Exit> {
    let url = args.server.url();
    // The first token may be made before the first start.
    let mut access = match &args.command {
        TokenCommand::New { .. } => Access::open_or_make(url, context).await?,
        TokenCommand::List => Access::open_to_read(url, context).await?,
        TokenCommand::Revoke { .. } => Access::open(url, context).await?,
    };
    let done = perform(&mut access, args.command, context).await;
    access.close().await;
    done.map(|()| Exit::Done)
}

/// `cancelled` is how many tasks were, where they were to be.
fn said(name: &str, cancelled: Option<u64>) -> String {
    let revoked = format!("the token of {name} is not valid any more");
    match cancelled {
        None => format!(
            "{revoked}; its tasks do nothing more in its name: `longhaul task list --principal {name}` shows them, the \
             same command with --cancel-tasks ends them"
        ),
        Some(1) => format!("{revoked}; its one open task was cancelled"),
        Some(count) => format!("{revoked}; its {count} open tasks were cancelled"),
    }
}

async fn perform(access: &mut Access, command: TokenCommand, context: &Context) -> Result<()> {
    let output = context.output;
    match command {
        TokenCommand::New { name, tools, state, share } => {
            let ShareArgs { rate, memory_mib, tasks, store_mib } = share;
            let (granted, touched) = (tools.clone(), state.clone());
            let new = TokenNew {
                name: name.clone(),
                tools: granted,
                state: touched,
                rate,
                memory_mib,
                tasks,
                store_mib,
            };
            let NewToken { token, .. } = access.run(new).await?;
            eprintln!(
                "this is the only time that the token is shown; clients send it as Authorization: Bearer TOKEN"
            );
            if tools.is_empty() {
                eprintln!("{} may call no tool: --tools GLOB would grant some", name);
            }
            match output.json {
                true => output.json(&json!({ "name": name, "token": token, "tools": tools, "state": state })),
                false => output.line(token),
            }
        }
        TokenCommand::List => {
            let tokens = access.run(TokenList {}).await?.tokens;
            if output.json {
                return output.json(&json!({ "tokens": tokens }));
            }
            let mut table = Table::new(&["NAME", "TOOLS", "STATE", "SHARE", "CREATED"]);
            for token in tokens {
                let (tools, state) = (token.tools.join(" "), token.state.join(" "));
                let share = share_of(&token);
                table.row([&token.name, &tools, &state, &share, &token.created_at]);
            }
            output.table(&table)
        }
        TokenCommand::Revoke { name, cancel_tasks } => {
            let done = access.run(TokenRevoke { name: name.clone(), cancel_tasks }).await?;
            match output.json {
                true if cancel_tasks => output.json(&json!({ "revoked": name, "cancelled": done.cancelled })),
                true => output.json(&json!({ "revoked": name })),
                false => {
                    eprintln!("{}", said(&name, cancel_tasks.then_some(done.cancelled)));
                    Ok(())
                }
            }
        }
    }
}

/// What its principal has less of than others.
fn share_of(token: &TokenDocument) -> String {
    let parts = [
        token.rate.map(|rate| format!("{rate}/s")),
        token.memory_mib.map(|mib| format!("{mib} MiB memory")),
        token.tasks.map(|tasks| format!("{tasks} tasks")),
        token.store_mib.map(|mib| format!("{mib} MiB in the store")),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}
