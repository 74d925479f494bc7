//! `history_agent {ticket_id, message}`: what became of tickets like this one, into `analysis.history`.

use longhaul_guest::{Failure, Tool, Value, export_tools, json, state};
use support_common::{Request, Status, TICKETS, Ticket, analyst, reading};

fn look_back(request: &Request) -> Result<Value, Failure> {
    let category = reading::category(&request.message);
    let tickets = state::list::<Ticket>(TICKETS, "")?;
    let others =
        tickets.iter().map(|(_, entry)| &entry.value).filter(|ticket| ticket.ticket_id != request.ticket_id);
    let alike: Vec<&Ticket> = others.filter(|ticket| ticket.category == category).collect();
    let resolved: Vec<&&Ticket> = alike.iter().filter(|ticket| ticket.status == Status::Resolved).collect();
    let example = resolved.last().and_then(|ticket| ticket.resolution.clone());
    Ok(json!({ "alike": alike.len(), "resolved": resolved.len(), "example": example }))
}

fn tools() -> Vec<Tool> {
    analyst("history", "Tells what became of tickets like this one.", look_back)
}

export_tools!(tools);
