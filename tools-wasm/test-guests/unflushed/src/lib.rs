//! `unflushed {nap_ms, sends_to}`: streams into files have taken bytes and nothing has asked for them to be written, before a
//! sleep, a checkpoint and the end; and before a request, behind which it traps.

use std::time::Duration;

use longhaul_guest::{Output, Tool, ToolResult, checkpoint, export_tools, json, timers};
use serde::Deserialize;
use wasip2::filesystem::preopens::get_directories;
use wasip2::filesystem::types::{DescriptorFlags, ErrorCode, OpenFlags, PathFlags};
use wasip2::http::outgoing_handler;
use wasip2::http::types::{Fields, OutgoingRequest, Scheme};

#[derive(Deserialize)]
struct Arguments {
    nap_ms: u64,
    sends_to: Option<String>,
}

fn run(arguments: Arguments) -> ToolResult {
    if let Some(authority) = &arguments.sends_to {
        stream("sent")?;
        send(authority);
    }
    if checkpoint::restore::<bool>()?.is_none() {
        stream("slept")?;
        timers::sleep(Duration::from_millis(arguments.nap_ms));
        stream("saved")?;
        checkpoint::save(&true)?;
    }
    stream("ended")?;
    Ok(Output::text("done"))
}

/// Does not wait for the answer, and never comes back.
fn send(authority: &str) {
    let request = OutgoingRequest::new(Fields::new());
    let named = request.set_scheme(Some(&Scheme::Http)).and_then(|()| request.set_authority(Some(authority)));
    let answer = named.map(|()| outgoing_handler::handle(request, None));
    panic!("it is on its way: {}", matches!(answer, Ok(Ok(_))));
}

/// The file's own name, into it.
fn stream(name: &str) -> Result<(), ErrorCode> {
    let folders = get_directories();
    let (folder, _) = folders.first().ok_or(ErrorCode::NoEntry)?;
    let file = folder.open_at(PathFlags::empty(), name, OpenFlags::CREATE, DescriptorFlags::WRITE)?;
    let stream = file.write_via_stream(0)?;
    stream.check_write().map_err(|_| ErrorCode::Io)?;
    stream.write(name.as_bytes()).map_err(|_| ErrorCode::Io)?;
    // What drops it has it written.
    std::mem::forget((stream, file));
    Ok(())
}

fn tools() -> Vec<Tool> {
    let input = json!({
        "type": "object",
        "properties": { "nap_ms": { "type": "integer", "minimum": 0 }, "sends_to": { "type": "string" } },
        "required": ["nap_ms"],
    });
    vec![Tool::new("unflushed", "Writes files by streams that nothing flushes.", input, run)]
}

export_tools!(tools);
