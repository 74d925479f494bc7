//! `longhaul audit …`

use serde_json::json;

use crate::api::{AuditDocument, AuditList};
use crate::cli::args::{AuditArgs, AuditCommand};
use crate::cli::client::access::Access;
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Result};
use crate::cli::show::render::Table;

pub async fn run(args: AuditArgs, context: &Context) -> Result<Exit> {
    let AuditCommand::List { since, principal, tool, verdict, limit } = args.command;
    let mut access = Access::open_to_read(args.server.url(), context).await?;
    let query = AuditList { since, principal, tool, verdict, ..AuditList::default() };
    let rows = list(&mut access, query, limit as usize).await;
    access.close().await;
    let (rows, output) = (rows?, context.output);
    match output.json {
        true => output.json(&json!({ "rows": rows }))?,
        false => output.table(&table(&rows))?,
    }
    Ok(Exit::Done)
}

/// As many pages as it takes.
async fn list(access: &mut Access, mut query: AuditList, limit: usize) -> Result<Vec<AuditDocument>> {
    let mut rows = Vec::new();
    loop {
        query.limit = Some(limit - rows.len());
        let page = access.run(query.clone()).await?;
        rows.extend(page.rows);
        query.cursor = page.next_cursor;
        if query.cursor.is_none() || rows.len() >= limit {
            return Ok(rows);
        }
    }
}

fn table(rows: &[AuditDocument]) -> Table {
    let mut table =
        Table::new(&["AT", "PRINCIPAL", "CLIENT", "DEED", "TOOL", "TASK", "VERDICT", "REASON", "COUNT"]);
    for row in rows {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        table.row([
            row.at.clone(),
            row.principal.clone(),
            text(&row.client),
            row.action.to_string(),
            text(&row.tool),
            text(&row.task),
            row.verdict.to_string(),
            text(&row.reason),
            row.count.to_string(),
        ]);
    }
    table
}
