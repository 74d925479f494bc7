//! The support desk's tools: small steps on the shared state, for agents inside and outside.

use longhaul_guest::{Failure, Output, Tool, ToolResult, Value, export_tools, json, state};
use serde::Deserialize;
use support_common::{ANALYSTS, Status, TICKETS, Ticket, namespace, ticket_id};

#[derive(Deserialize)]
struct Save {
    ticket_id: String,
    category: String,
    priority: String,
}

#[derive(Deserialize)]
struct Resolve {
    ticket_id: String,
    resolution: String,
}

#[derive(Deserialize)]
struct Named {
    ticket_id: String,
}

#[derive(Deserialize)]
struct MaybeNamed {
    ticket_id: Option<String>,
}

fn save_ticket(Save { ticket_id, category, priority }: Save) -> ToolResult {
    let entry = state::update(TICKETS, &ticket_id, |there: Option<Ticket>| match there {
        Some(ticket) => Ticket { category: category.clone(), priority: priority.clone(), ..ticket },
        None => Ticket {
            ticket_id: ticket_id.clone(),
            category: category.clone(),
            priority: priority.clone(),
            status: Status::Open,
            escalated: false,
            resolution: None,
        },
    })?;
    shown(&format!("Saved ticket {ticket_id}"), &entry.value, entry.version)
}

fn get_ticket(Named { ticket_id }: Named) -> ToolResult {
    let entry = state::get::<Ticket>(TICKETS, &ticket_id)?.ok_or_else(|| unknown(&ticket_id))?;
    shown(&format!("Ticket {ticket_id}"), &entry.value, entry.version)
}

/// A ticket is resolved once: the same resolution again changes nothing, another one is refused.
fn save_resolution(Resolve { ticket_id, resolution }: Resolve) -> ToolResult {
    changed(&ticket_id, "Resolved", |ticket| match &ticket.resolution {
        Some(there) if *there == resolution => Ok(None),
        Some(there) => Err(Failure::tool(format!("Ticket {ticket_id} is resolved already: {there}"))),
        None => {
            let resolution = Some(resolution.clone());
            Ok(Some(Ticket { resolution, status: Status::Resolved, ..ticket.clone() }))
        }
    })
}

fn escalate(Named { ticket_id }: Named) -> ToolResult {
    changed(&ticket_id, "Escalated", |ticket| match ticket.status {
        Status::Resolved => Err(Failure::tool(format!("Ticket {ticket_id} is resolved already"))),
        Status::Escalated => Ok(None),
        Status::Open => Ok(Some(Ticket { status: Status::Escalated, escalated: true, ..ticket.clone() })),
    })
}

fn get_status(MaybeNamed { ticket_id }: MaybeNamed) -> ToolResult {
    let tickets: Vec<Ticket> = match ticket_id {
        Some(id) => vec![state::get::<Ticket>(TICKETS, &id)?.ok_or_else(|| unknown(&id))?.value],
        None => state::list(TICKETS, "")?.into_iter().map(|(_, entry)| entry.value).collect(),
    };
    let count = |status| tickets.iter().filter(|ticket| ticket.status == status).count();
    let (open, escalated, resolved) =
        (count(Status::Open), count(Status::Escalated), count(Status::Resolved));
    let text = format!("{} tickets: {open} open, {escalated} escalated, {resolved} resolved", tickets.len());
    Ok(Output::text(text).structured(json!({
        "total": tickets.len(), "open": open, "escalated": escalated, "resolved": resolved, "tickets": tickets,
    })))
}

/// What each analyst wrote, by ticket.
fn get_all_analysis(MaybeNamed { ticket_id }: MaybeNamed) -> ToolResult {
    let mut tickets = json!({});
    for analyst in ANALYSTS {
        let found: Vec<(String, Value)> = match &ticket_id {
            Some(id) => {
                let entry = state::get(&namespace(analyst), id)?;
                entry.into_iter().map(|entry| (id.clone(), entry.value)).collect()
            }
            None => {
                let entries = state::list(&namespace(analyst), "")?;
                entries.into_iter().map(|(key, entry)| (key, entry.value)).collect()
            }
        };
        for (key, value) in found {
            tickets[key][analyst] = value;
        }
    }
    let text = format!("{tickets:#}");
    Ok(Output::text(text).structured(json!({ "tickets": tickets })))
}

/// Changes a ticket that is there, unless `change` finds nothing to do. Whoever is faster is looked at again.
fn changed(id: &str, what: &str, change: impl Fn(&Ticket) -> Result<Option<Ticket>, Failure>) -> ToolResult {
    loop {
        let entry = state::get::<Ticket>(TICKETS, id)?.ok_or_else(|| unknown(id))?;
        let Some(ticket) = change(&entry.value)? else {
            return shown(&format!("{what} ticket {id} before"), &entry.value, entry.version);
        };
        match state::put_all(TICKETS, vec![state::Write::new(id, &ticket)?.if_version(entry.version)]) {
            Ok(versions) => {
                let version = versions.first().copied().unwrap_or_default();
                return shown(&format!("{what} ticket {id}"), &ticket, version);
            }
            Err(state::PutError::Conflict(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn shown(what: &str, ticket: &Ticket, version: u64) -> ToolResult {
    let mut shown = json!(ticket);
    shown["version"] = json!(version);
    Ok(Output::text(format!("{what}: {shown}")).structured(shown))
}

fn unknown(id: &str) -> Failure {
    Failure::tool(format!("There is no ticket {id}; save_ticket makes one."))
}

fn tools() -> Vec<Tool> {
    let object = |properties: Value, required: &[&str]| json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false });
    let named = || object(json!({ "ticket_id": ticket_id() }), &["ticket_id"]);
    let maybe_named = || object(json!({ "ticket_id": ticket_id() }), &[]);
    let text = |about: &str| json!({ "type": "string", "minLength": 1, "description": about });
    let ticket = || {
        json!({
            "type": "object",
            "properties": {
                "ticket_id": { "type": "string" },
                "category": { "type": "string" },
                "priority": { "type": "string" },
                "status": { "type": "string", "enum": ["open", "escalated", "resolved"] },
                "escalated": { "type": "boolean" },
                "resolution": { "type": "string" },
                "version": { "type": "integer", "description": "Grows with every change of the ticket" },
            },
            "required": ["ticket_id", "category", "priority", "status", "escalated", "version"],
        })
    };
    let save = object(
        json!({
            "ticket_id": ticket_id(),
            "category": text("Such as billing or technical"),
            "priority": text("Such as low, normal or high"),
        }),
        &["ticket_id", "category", "priority"],
    );
    let resolve = object(
        json!({ "ticket_id": ticket_id(), "resolution": text("What was done about it") }),
        &["ticket_id", "resolution"],
    );
    let reads = |tool: Tool| tool.annotate(|hints| hints.read_only = Some(true)).inline(45);
    let writes = |tool: Tool| tool.annotate(|hints| hints.idempotent = Some(true)).inline(45);
    vec![
        writes(
            Tool::new("save_ticket", "Saves a ticket's category and priority.", save, save_ticket)
                .output(ticket()),
        ),
        reads(Tool::new("get_ticket", "Shows a ticket.", named(), get_ticket).output(ticket())),
        writes(
            Tool::new("save_resolution", "Resolves a ticket, once.", resolve, save_resolution)
                .output(ticket()),
        ),
        writes(Tool::new("escalate", "Hands a ticket to a person.", named(), escalate).output(ticket())),
        reads(Tool::new("get_status", "Counts and lists tickets, or shows one.", maybe_named(), get_status)),
        reads(Tool::new(
            "get_all_analysis",
            "Shows what the analysts found, of one ticket or of all.",
            maybe_named(),
            get_all_analysis,
        )),
    ]
}

export_tools!(tools);
