//! `travel_agent {destination="Paris"}`: plans a trip in four steps and books it once a person has confirmed the price,
//! which may take days: the question waits, and the instance does not.

use std::time::Duration;

use longhaul_guest::elicit::{self, Answer};
use longhaul_guest::{Output, Tool, ToolResult, Value, export_tools, json, log, outputs, progress, timers};
use serde::Deserialize;

#[derive(Deserialize)]
struct Arguments {
    #[serde(default = "default_destination")]
    destination: String,
}

const PRICE_DOLLARS: u64 = 1200;
const STEP: Duration = Duration::from_millis(400);

fn default_destination() -> String {
    "Paris".to_owned()
}

fn travel(arguments: Arguments) -> ToolResult {
    let destination = arguments.destination;
    step(0, "checking flights");
    step(25, "finding dates");
    step(50, "confirming prices");
    let question = format!("A trip to {destination} is estimated at ${PRICE_DOLLARS}. Book it?");
    let schema = json!({
        "type": "object",
        "properties": {
            "confirm": { "type": "boolean", "title": "Book the trip", "description": "Whether to book at this price" },
            "notes": { "type": "string", "title": "Notes", "description": "Wishes, such as a seat or a hotel" },
        },
        "required": ["confirm"],
    });
    match elicit::form("price", question, schema).wait()? {
        Answer::Accept(content) if content["confirm"] == true => book(&destination, &content["notes"]),
        Answer::Accept(content) => cancelled(&destination, "not confirmed", &content["notes"]),
        Answer::Decline => cancelled(&destination, "declined", &Value::Null),
        Answer::Cancel => cancelled(&destination, "put away without an answer", &Value::Null),
        Answer::Timeout => cancelled(&destination, "not answered in time", &Value::Null),
    }
}

fn step(done: u64, what: &str) {
    progress::report(done, 100, what);
    timers::sleep(STEP);
    log::info(format!("{what}: done"));
}

fn book(destination: &str, notes: &Value) -> ToolResult {
    step(75, "booking");
    let notes = notes.as_str().unwrap_or_default();
    let booking = json!({ "destination": destination, "price": PRICE_DOLLARS, "notes": notes });
    outputs::write("booking", "application/json", booking.to_string())?;
    progress::report(100, 100, format!("booked a trip to {destination}"));
    let wishes = if notes.is_empty() { String::new() } else { format!(" Noted: {notes}") };
    let text = format!("Booked a trip to {destination} for ${PRICE_DOLLARS}.{wishes}");
    Ok(Output::text(text).structured(told(destination, true, "confirmed", notes)))
}

fn cancelled(destination: &str, answer: &str, notes: &Value) -> ToolResult {
    progress::report(100, 100, format!("no trip to {destination}"));
    let text = format!("No trip to {destination} was booked: the price was {answer}.");
    Ok(Output::text(text).structured(told(destination, false, answer, notes.as_str().unwrap_or_default())))
}

fn told(destination: &str, booked: bool, answer: &str, notes: &str) -> Value {
    json!({ "destination": destination, "booked": booked, "price": PRICE_DOLLARS, "answer": answer, "notes": notes })
}

fn tools() -> Vec<Tool> {
    let input = json!({
        "type": "object",
        "properties": {
            "destination": { "type": "string", "default": default_destination(), "description": "Where to go" },
        },
        "additionalProperties": false,
    });
    let output = json!({
        "type": "object",
        "properties": {
            "destination": { "type": "string" },
            "booked": { "type": "boolean" },
            "price": { "type": "integer", "description": "US dollars" },
            "answer": { "type": "string", "description": "What became of the question for the price" },
            "notes": { "type": "string" },
        },
        "required": ["destination", "booked", "price", "answer", "notes"],
    });
    let description = "Plans a trip and books it, after a person has confirmed its price.";
    vec![Tool::new("travel_agent", description, input, travel).title("Travel agent").output(output).inline(0)]
}

export_tools!(tools);
