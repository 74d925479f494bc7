//! my_tool counts the words of a text, line by line, and keeps the total of all its calls.

use std::time::Duration;

use longhaul_guest::{Output, Tool, ToolResult, export_tools, json, outputs, progress, state, timers};

#[derive(serde::Deserialize)]
struct Arguments {
    text: String,
}

fn run(Arguments { text }: Arguments) -> ToolResult {
    let mut words = 0;
    let lines: Vec<&str> = text.lines().collect();
    let mut counted = outputs::open("lines", "text/plain")?;
    for (at, line) in (1u64..).zip(&lines) {
        words += count(line);
        counted.append(format!("{} {line}\n", count(line)))?;
        progress::report(at, lines.len() as u64, format!("line {at}"));
        // Durable: after a crash it goes on here, and what came before is not done again.
        timers::sleep(Duration::from_millis(100));
    }
    counted.close()?;
    let total = state::update("my_tool", "total", |total: Option<u64>| total.unwrap_or(0) + words)?.value;
    Ok(Output::text(format!("{words} words, {total} in all")).structured(json!({ "words": words, "total": total })))
}

/// Needs no Longhaul: the test tries it on this machine.
fn count(line: &str) -> u64 {
    line.split_whitespace().count() as u64
}

fn tools() -> Vec<Tool> {
    let description = "Counts the words of a text, line by line, and keeps the total of all its calls.";
    let input = json!({ "type": "object", "properties": { "text": { "type": "string" } }, "required": ["text"] });
    let output = json!({
        "type": "object",
        "properties": { "words": { "type": "integer" }, "total": { "type": "integer" } },
        "required": ["words", "total"],
    });
    vec![Tool::new("my_tool", description, input, run).title("my_tool").output(output).inline(20)]
}

export_tools!(tools);

#[cfg(test)]
mod tests {
    use super::count;

    #[test]
    fn blanks_of_any_kind_part_words() {
        assert_eq!(count(" one\ttwo  three "), 3);
        assert_eq!(count(""), 0);
    }
}
