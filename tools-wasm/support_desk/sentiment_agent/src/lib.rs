//! `sentiment_agent {ticket_id, message}`: how the customer feels, into `analysis.sentiment`.

use longhaul_guest::{Tool, export_tools, json};
use support_common::{analyst, reading};

fn tools() -> Vec<Tool> {
    analyst("sentiment", "Tells how the customer of a ticket feels.", |request| {
        let message = &request.message;
        Ok(json!({ "sentiment": reading::sentiment(message).name(), "score": reading::score(message) }))
    })
}

export_tools!(tools);
