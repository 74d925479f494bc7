//! `unflushed {nap_ms}`: streams into files have taken bytes and nothing has asked for them to be written, before a sleep, a
//! checkpoint and the end.

use std::time::Duration;

use longhaul_guest::{Output, Tool, ToolResult, checkpoint, export_tools, json, timers};
use serde::Deserialize;
use wasip2::filesystem::preopens::get_directories;
use wasip2::filesystem::types::{DescriptorFlags, ErrorCode, OpenFlags, PathFlags};

#[derive(Deserialize)]
struct Arguments {
    nap_ms: u64,
}

fn run(arguments: Arguments) -> ToolResult {
    if checkpoint::restore::<bool>()?.is_none() {
        stream("slept")?;
        timers::sleep(Duration::from_millis(arguments.nap_ms));
        stream("saved")?;
        checkpoint::save(&true)?;
    }
    stream("ended")?;
    Ok(Output::text("done"))
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
        "properties": { "nap_ms": { "type": "integer", "minimum": 0 } },
        "required": ["nap_ms"],
    });
    vec![Tool::new("unflushed", "Writes files by streams that nothing flushes.", input, run)]
}

export_tools!(tools);
