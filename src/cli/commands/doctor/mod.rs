//! `longhaul doctor`: what is there, what is missing, and what to do about it.

mod check;
mod folder;
mod machine;
mod settings;
mod store;

use crate::cli::context::Context;
use crate::cli::exit::{Exit, Result};
use crate::cli::show::render::Table;
use crate::store::{Presence, Store};

pub async fn run(context: &Context, check: bool) -> Result<Exit> {
    let mut checks = vec![
        settings::configuration(context),
        machine::target(context),
        machine::examples(),
        machine::map_limit(context),
        machine::walls(context),
        machine::descriptors(machine::limit_of_descriptors(context.data())),
        machine::memory(&context.settings.shares, &crate::cli::server::machine::memory()),
        settings::shares(context),
        settings::isolation(context),
        settings::secrets(context),
        settings::models(&context.settings.models),
        folder::data_folder(context.data()),
        folder::disk(context.data(), context.settings.shares.disk.bounds()),
    ];
    checks.extend(store::server_and_store(context).await);
    if check {
        let sums = store::checksums(context.data()).await;
        let is_whole = sums.as_ref().is_some_and(|sums| sums.ok);
        checks.extend(sums);
        if is_whole && matches!(Store::presence(context.data()), Ok(Presence::Free { .. })) {
            checks.push(store::counts(context).await);
        }
    }
    let exit = if checks.iter().all(|check| check.ok) { Exit::Done } else { Exit::Failed };
    if context.output.json {
        context.output.json(&serde_json::json!({ "ok": exit == Exit::Done, "checks": checks }))?;
        return Ok(exit);
    }
    let mut table = Table::new(&["", "WHAT", "FOUND", "WHAT TO DO"]);
    for check in &checks {
        let verdict = if check.ok { "ok" } else { "warn" };
        table.row([verdict, check.what, &check.found, check.advice.as_deref().unwrap_or_default()]);
    }
    context.output.table(&table)?;
    Ok(exit)
}
