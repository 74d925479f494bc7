//! The support desk's agents: `triage`, `billing` and `tech_support`. They work through the desk's tools, each call a
//! task of its own; a refund above a limit waits for a person.

use longhaul_guest::calls::{self, Answer, Call};
use longhaul_guest::elicit;
use longhaul_guest::{Failure, Output, Tool, ToolResult, Value, export_tools, json, log, progress};
use support_common::{Request, reading, request_schema};

/// Refunds above this need a person's word.
const MAX_REFUND_DOLLARS: u64 = 100;

const KNOWN_PROBLEMS: [(&str, &str); 4] = [
    ("password", "Sent a link to set a new password."),
    ("login", "Sent a link to set a new password."),
    ("slow", "Moved the account to a faster server."),
    ("crash", "Sent the version in which that crash is mended."),
];

/// Sorts a ticket in and saves it.
fn triage(request: Request) -> ToolResult {
    let (category, priority) = (reading::category(&request.message), reading::priority(&request.message));
    progress::report(0, 1, "sorting the ticket in");
    desk(
        "save_ticket",
        json!({ "ticket_id": request.ticket_id, "category": category, "priority": priority }),
    )?;
    let route = match category {
        "billing" => "billing",
        _ => "tech_support",
    };
    progress::report(1, 1, "sorted in");
    let text = format!("Ticket {}: {category}, {priority}, for {route}", request.ticket_id);
    Ok(Output::text(text).structured(json!({ "category": category, "priority": priority, "route": route })))
}

fn billing(request: Request) -> ToolResult {
    known(&request.ticket_id)?;
    let Some(dollars) = reading::dollars(&request.message) else {
        return resolved(&request, "Explained the bill, line by line.");
    };
    if dollars <= MAX_REFUND_DOLLARS {
        return resolved(&request, &format!("Refunded ${dollars}."));
    }
    progress::report(1, 2, "waiting for a person to approve the refund");
    let question = format!(
        "Refund ${dollars} for ticket {}? The customer writes: {}",
        request.ticket_id, request.message
    );
    let schema = json!({
        "type": "object",
        "properties": {
            "approve": { "type": "boolean", "title": "Refund", "description": "Whether the money goes back" },
            "note": { "type": "string", "title": "Note", "description": "A word for the record" },
        },
        "required": ["approve"],
    });
    match elicit::form("refund", question, schema).wait()? {
        elicit::Answer::Accept(content) if content["approve"] == true => {
            resolved(&request, &format!("Refunded ${dollars}, approved by a person.{}", noted(&content)))
        }
        elicit::Answer::Accept(content) => {
            resolved(&request, &format!("The refund of ${dollars} was refused.{}", noted(&content)))
        }
        elicit::Answer::Decline => resolved(&request, &format!("The refund of ${dollars} was refused.")),
        elicit::Answer::Cancel | elicit::Answer::Timeout => {
            escalated(&request, "nobody decided on the refund")
        }
    }
}

fn tech_support(request: Request) -> ToolResult {
    known(&request.ticket_id)?;
    let message = request.message.to_lowercase();
    match KNOWN_PROBLEMS.iter().find(|(word, _)| message.contains(word)) {
        Some((_, cure)) => resolved(&request, cure),
        None => escalated(&request, "no known problem fits"),
    }
}

fn noted(content: &Value) -> String {
    match content["note"].as_str() {
        Some(note) if !note.is_empty() => format!(" {note}"),
        _ => String::new(),
    }
}

/// The ticket must be there before anybody works on it.
fn known(ticket_id: &str) -> Result<(), Failure> {
    progress::report(0, 2, format!("reading ticket {ticket_id}"));
    desk("get_ticket", json!({ "ticket_id": ticket_id })).map(drop)
}

fn resolved(request: &Request, resolution: &str) -> ToolResult {
    desk("save_resolution", json!({ "ticket_id": request.ticket_id, "resolution": resolution }))?;
    progress::report(2, 2, "resolved");
    let text = format!("Ticket {}: {resolution}", request.ticket_id);
    Ok(Output::text(text).structured(json!({ "outcome": "resolved", "resolution": resolution })))
}

fn escalated(request: &Request, why: &str) -> ToolResult {
    desk("escalate", json!({ "ticket_id": request.ticket_id }))?;
    progress::report(2, 2, "escalated");
    log::info(format!("escalated: {why}"));
    let text = format!("Ticket {} was handed to a person: {why}", request.ticket_id);
    Ok(Output::text(text).structured(json!({ "outcome": "escalated", "resolution": why })))
}

/// One of the desk's tools, tried again where it fails.
fn desk(tool: &str, arguments: Value) -> Result<Answer, Failure> {
    Ok(calls::call(Call::new(tool, arguments).retries(2))?)
}

fn tools() -> Vec<Tool> {
    let text = || json!({ "type": "string" });
    let sorted = json!({
        "type": "object",
        "properties": { "category": text(), "priority": text(), "route": text() },
        "required": ["category", "priority", "route"],
    });
    let outcome = || {
        json!({
            "type": "object",
            "properties": { "outcome": { "type": "string", "enum": ["resolved", "escalated"] }, "resolution": text() },
            "required": ["outcome", "resolution"],
        })
    };
    vec![
        Tool::new(
            "triage",
            "Sorts a ticket in, saves it, and says who should have it.",
            request_schema(),
            triage,
        )
        .output(sorted)
        .inline(0),
        Tool::new(
            "billing",
            "Settles a ticket about money. A refund of more than $100 waits for a person.",
            request_schema(),
            billing,
        )
        .output(outcome())
        .inline(0),
        Tool::new(
            "tech_support",
            "Settles a ticket about a technical problem, or hands it to a person.",
            request_schema(),
            tech_support,
        )
        .title("Technical support")
        .output(outcome())
        .inline(0),
    ]
}

export_tools!(tools);
