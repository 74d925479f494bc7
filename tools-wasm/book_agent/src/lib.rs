//! `book_agent {topic, chapters=5, pause_ms=1000}`: writes a small book. Each part is a named output that can be read
//! as it grows: `outline`, `chapters` (the titles, as JSON), then `chapter-1`, `chapter-2` and so on. Between chapters
//! it heeds messages `redirect {chapter, instruction}`.

mod prose;

use std::collections::BTreeMap;
use std::time::Duration;

use longhaul_guest::{
    Failure, Output, Tool, ToolResult, export_tools, json, log, messages, outputs, progress, timers,
};
use serde::Deserialize;

#[derive(Deserialize)]
struct Arguments {
    topic: String,
    #[serde(default = "default_chapters")]
    chapters: u64,
    #[serde(default = "default_pause_ms")]
    pause_ms: u64,
}

/// What an editor asks of a chapter that is not begun yet; the last word counts.
#[derive(Deserialize)]
struct Redirect {
    chapter: u64,
    instruction: String,
}

const MAX_CHAPTERS: u64 = 100;

fn default_chapters() -> u64 {
    5
}

fn default_pause_ms() -> u64 {
    1000
}

fn write_book(arguments: Arguments) -> ToolResult {
    let Arguments { topic, chapters, pause_ms } = arguments;
    let topic = topic.trim();
    if topic.is_empty() {
        return Err(Failure::tool("A book needs a topic; `topic` is empty."));
    }
    let pause = Duration::from_millis(pause_ms);

    progress::report(0, chapters, "writing the outline");
    let titles: Vec<String> = (1..=chapters).map(|number| prose::title(topic, number)).collect();
    outputs::write("outline", "text/markdown", prose::outline(topic, &titles))?;
    outputs::write("chapters", "application/json", json!(titles).to_string())?;

    let (mut words, mut wishes, mut redirected) = (0, BTreeMap::new(), Vec::new());
    for (number, title) in (1..).zip(&titles) {
        read_wishes(number, chapters, &mut wishes)?;
        let wish = wishes.remove(&number);
        redirected.extend(wish.is_some().then_some(number));
        progress::status(format!("writing chapter {number} of {chapters}: {title}"));
        words += write_chapter(topic, number, title, wish.as_deref(), pause)?;
        progress::report(number, chapters, format!("chapter {number} of {chapters} done"));
    }

    let text = format!("Wrote {chapters} chapters on {topic}, {words} words.");
    Ok(Output::text(text)
        .structured(json!({ "topic": topic, "chapters": titles, "words": words, "redirected": redirected })))
}

/// All that was sent since the last chapter; `next` is the first that can still be redirected.
fn read_wishes(next: u64, chapters: u64, wishes: &mut BTreeMap<u64, String>) -> Result<(), Failure> {
    while let Some(message) = messages::try_receive(&["redirect"])? {
        match message.payload_as::<Redirect>() {
            Ok(Redirect { chapter, instruction }) if (next..=chapters).contains(&chapter) => {
                log::info(format!("chapter {chapter}: {instruction}"));
                wishes.insert(chapter, instruction);
            }
            Ok(Redirect { chapter, .. }) => {
                log::warning(format!("chapter {chapter} cannot be redirected: {next} to {chapters} can"));
            }
            Err(error) => {
                log::warning(format!("message {} is no {{chapter, instruction}}: {error}", message.seq));
            }
        }
    }
    Ok(())
}

/// Returns the number of words. A reader sees each piece once it is appended.
fn write_chapter(
    topic: &str,
    number: u64,
    title: &str,
    wish: Option<&str>,
    pause: Duration,
) -> Result<usize, Failure> {
    let mut chapter = outputs::open(&format!("chapter-{number}"), "text/markdown")?;
    let mut words = 0;
    for piece in prose::pieces(topic, number, title, wish) {
        chapter.append(&piece)?;
        words += piece.split_whitespace().count();
        timers::sleep(pause);
    }
    chapter.close()?;
    Ok(words)
}

fn tools() -> Vec<Tool> {
    let input = json!({
        "type": "object",
        "properties": {
            "topic": { "type": "string", "minLength": 1, "maxLength": 200, "description": "What the book is about" },
            "chapters": {
                "type": "integer", "minimum": 1, "maximum": MAX_CHAPTERS, "default": default_chapters(),
                "description": "How many chapters to write",
            },
            "pause_ms": {
                "type": "integer", "minimum": 0, "default": default_pause_ms(),
                "description": "How long to think after each piece of a chapter, in milliseconds",
            },
        },
        "required": ["topic"],
        "additionalProperties": false,
    });
    let output = json!({
        "type": "object",
        "properties": {
            "topic": { "type": "string" },
            "chapters": { "type": "array", "items": { "type": "string" }, "description": "The titles, in order" },
            "words": { "type": "integer", "description": "Words in all chapters together" },
            "redirected": {
                "type": "array", "items": { "type": "integer" },
                "description": "Chapters that follow an instruction that was sent meanwhile",
            },
        },
        "required": ["topic", "chapters", "words", "redirected"],
    });
    let description = "Writes a small book on a topic. The outline and each chapter can be read while it is written. A message \
         `redirect {chapter, instruction}` redirects a chapter that is not begun yet.";
    vec![Tool::new("book_agent", description, input, write_book).title("Book agent").output(output).link()]
}

export_tools!(tools);
