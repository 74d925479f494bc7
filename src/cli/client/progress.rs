//! How a task is followed on stderr: a progress bar on a terminal, plain lines elsewhere.

use std::collections::HashSet;
use std::io::{self, IsTerminal};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::follow::{Audience, answer_command};
use super::form::Form;
use super::prompt::{Asked, Person};
use crate::api::{TaskDocument, resolve_command};
use crate::cli::context::Context;
use crate::cli::show::render::{escape, escape_text};

/// The terminal of a command that follows tasks, and the person at it.
pub struct Screen {
    bars: Option<MultiProgress>,
    /// Who can be asked.
    person: Option<Person>,
}

impl Screen {
    pub fn new() -> Self {
        let bars = io::stderr().is_terminal().then(MultiProgress::new);
        // A terminal that cannot draw gets lines.
        Self { bars: bars.filter(|bars| !bars.is_hidden()), person: None }
    }

    /// One whose person is asked what the tasks ask.
    pub fn asking(context: &Context) -> Self {
        let person = if context.output.json { None } else { Person::at_terminal() };
        Self { person, ..Self::new() }
    }

    /// For one task. `name` stands before what is said of it, where several are followed; `at` is what a command
    /// needs so that it reaches the task's server.
    pub fn reporter(&self, name: Option<String>, at: String) -> Reporter {
        let bar = self.bars.as_ref().map(|bars| {
            let bar = bars.add(ProgressBar::new_spinner());
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        Reporter {
            bar,
            bars: self.bars.clone(),
            name: name.map(|name| format!("{name}: ")).unwrap_or_default(),
            at,
            last: String::new(),
            person: self.person.clone(),
            said: HashSet::new(),
        }
    }

    /// Prints while no bar is drawn.
    pub fn print<T>(&self, print: impl FnOnce() -> T) -> T {
        match self.bars.as_ref().filter(|bars| !bars.is_hidden()) {
            Some(bars) => bars.suspend(print),
            None => print(),
        }
    }
}

/// Shows a task as it goes on. What it prints is for people; the result goes to stdout by other ways.
pub struct Reporter {
    bar: Option<ProgressBar>,
    bars: Option<MultiProgress>,
    name: String,
    at: String,
    /// What was said last: the same is not said twice.
    last: String,
    person: Option<Person>,
    /// Questions of which was said how they are answered.
    said: HashSet<String>,
}

impl Reporter {
    /// Takes the bar away, so that what follows stands on a clean line.
    pub fn finish(self) {
        if let (Some(bar), Some(bars)) = (self.bar, self.bars) {
            bar.finish_and_clear();
            bars.remove(&bar);
        }
    }

    fn say(&mut self, line: String) {
        if line == self.last {
            return;
        }
        let text = format!("{}{line}", self.name);
        match self.bars.as_ref().filter(|bars| !bars.is_hidden()) {
            // Nothing is left to do about a stderr that fails.
            Some(bars) => drop(bars.println(text)),
            None => eprintln!("{text}"),
        }
        self.last = line;
    }
}

/// No bar is drawn where a person types.
struct Hidden(Option<MultiProgress>);

impl Hidden {
    fn new(bars: Option<MultiProgress>) -> Self {
        if let Some(bars) = &bars {
            let _ = bars.clear();
            bars.set_draw_target(ProgressDrawTarget::hidden());
        }
        Self(bars)
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        if let Some(bars) = &self.0 {
            bars.set_draw_target(ProgressDrawTarget::stderr());
        }
    }
}

impl Audience for Reporter {
    fn show(&mut self, task: &TaskDocument) {
        match &self.bar {
            None => self.say(describe(task)),
            Some(bar) => {
                if let Some(progress) = &task.progress
                    && let Some(total) = progress.total
                {
                    if bar.length() != Some(total) {
                        bar.set_style(bar_style());
                        bar.set_length(total);
                    }
                    bar.set_position(progress.done);
                }
                bar.set_message(format!("{}{}", self.name, wording(task)));
            }
        }
    }

    fn note(&mut self, text: &str) {
        self.say(escape(text));
    }

    /// Where no person can be asked, how it is answered is said once.
    fn to_ask(&mut self, task: &TaskDocument) -> Option<Form> {
        if let Some(step) = task.unknown_step
            && self.said.insert(format!("step {step}"))
        {
            self.say(format!("settle it with {}{}", resolve_command(&task.id, step), self.at));
        }
        if let Some(person) = &self.person {
            return person.next(task);
        }
        for (key, request) in &task.input_requests {
            if let Some(message) = request.message.as_ref().filter(|_| self.said.insert(key.clone())) {
                let command = answer_command(&task.id, key);
                self.say(format!("it asks: {}; answer with {command}{}", escape(message), self.at));
            }
        }
        None
    }

    async fn ask(&mut self, form: &mut Form) -> Asked {
        let bars = self.bars.clone();
        match &self.person {
            Some(person) => person.ask(form, &self.name, || Hidden::new(bars)).await,
            None => std::future::pending().await,
        }
    }

    fn asked(&mut self, form: &Form, put_off: bool, why: &str) {
        if let Some(person) = self.person.as_mut().filter(|_| put_off) {
            person.put_off(&form.key);
        }
        let why = match why.strip_prefix('\n') {
            // The cursor stands behind what was asked.
            Some(why) => {
                eprintln!();
                why
            }
            None => why,
        };
        if !why.is_empty() {
            // Said again where it is true again.
            self.last.clear();
            let at = if put_off { self.at.as_str() } else { "" };
            self.say(format!("{}{at}", escape_text(why)));
        }
    }
}

/// One plain line: `[3/12] step 3 of 12`, or the state where nothing was reported yet.
pub fn describe(task: &TaskDocument) -> String {
    match &task.progress {
        Some(progress) => {
            let total = progress.total.map(|total| format!("/{total}")).unwrap_or_default();
            format!("[{}{total}] {}", progress.done, wording(task))
        }
        None => wording(task),
    }
}

/// The task's message, and its state where that is news.
fn wording(task: &TaskDocument) -> String {
    let state = match (&task.reason, &task.wake_at) {
        (Some(reason), Some(at)) if task.state == "waiting" => format!("waiting ({reason}) until {at}"),
        (Some(reason), _) if reason != "live" => format!("{} ({reason})", task.state),
        _ => task.state.clone(),
    };
    // Why it ended stands before what was said of it last, which may have nothing to do with that.
    let why = task.error.as_ref().and_then(|error| error.message.lines().next());
    match (why, task.message.as_deref()) {
        (None, Some(message)) if state == "running" => escape(message),
        (None, Some(message)) | (Some(message), None) => format!("{state}: {}", escape(message)),
        (Some(why), Some(message)) if why == message => format!("{state}: {}", escape(why)),
        (Some(why), Some(message)) => format!("{state}: {}; before that: {}", escape(why), escape(message)),
        (None, None) => state,
    }
}

fn bar_style() -> ProgressStyle {
    // A template that does not parse would show the plain bar.
    ProgressStyle::with_template("[{bar:30}] {pos}/{len}  {wide_msg}  {elapsed}")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn document(more: serde_json::Value) -> TaskDocument {
        let mut document = json!({
            "id": "1", "uri": "task://1", "tool": "t", "component": "c", "state": "running", "reason": "live",
            "attempt": 1, "steps": 3, "created_at": "", "updated_at": "", "log_uri": "task://1/log",
        });
        for (key, value) in more.as_object().into_iter().flatten() {
            document[key] = value.clone();
        }
        serde_json::from_value(document).expect("a document")
    }

    #[test]
    fn a_line_says_what_is_news() {
        let line = |more| describe(&document(more));
        assert_eq!(line(json!({})), "running");
        assert_eq!(line(json!({ "state": "queued", "reason": "new" })), "queued (new)");
        let progress = json!({ "progress": { "done": 3, "total": 12 }, "message": "step\u{1b}[1m" });
        assert_eq!(line(progress), "[3/12] step\\u{1b}[1m");
        let replaying = json!({ "reason": "replaying", "progress": { "done": 3 }, "message": "m" });
        assert_eq!(line(replaying), "[3] running (replaying): m");
        let failed = json!({
            "state": "failed", "reason": "trap", "message": "no folder is bound",
            "error": { "reason": "trap", "message": "wasm trap: unreachable\n  at main" },
        });
        assert_eq!(line(failed), "failed (trap): wasm trap: unreachable; before that: no folder is bound");
        let waiting = json!({ "state": "waiting", "reason": "timer", "wake_at": "2026-01-01T00:00:00Z" });
        assert_eq!(line(waiting), "waiting (timer) until 2026-01-01T00:00:00Z");
    }

    #[test]
    fn a_bar_follows_a_total_that_is_told_late() {
        let screen = Screen { bars: Some(MultiProgress::new()), person: None };
        let mut reporter = screen.reporter(None, String::new());
        reporter.show(&document(json!({})));
        reporter.show(&document(json!({ "progress": { "done": 3, "total": 12 } })));
        let bar = reporter.bar.as_ref().expect("a bar");
        assert_eq!((bar.position(), bar.length()), (3, Some(12)));
        reporter.finish();
    }
}
