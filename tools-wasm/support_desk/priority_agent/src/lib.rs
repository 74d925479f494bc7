//! `priority_agent {ticket_id, message}`: how much a ticket presses, into `analysis.priority`.

use longhaul_guest::{Tool, export_tools, json};
use support_common::{analyst, reading};

fn tools() -> Vec<Tool> {
    analyst("priority", "Tells how much a ticket presses: low, normal or high.", |request| {
        Ok(json!({ "priority": reading::priority(&request.message) }))
    })
}

export_tools!(tools);
