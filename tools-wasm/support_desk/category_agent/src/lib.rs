//! `category_agent {ticket_id, message}`: what a ticket is about, into `analysis.category`.

use longhaul_guest::{Tool, export_tools, json};
use support_common::{analyst, reading};

fn tools() -> Vec<Tool> {
    analyst("category", "Tells what a ticket is about: billing, technical or general.", |request| {
        Ok(json!({ "category": reading::category(&request.message) }))
    })
}

export_tools!(tools);
