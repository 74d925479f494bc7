//! What has changed of a component since it was approved, in words for the person who is to approve it again.

use std::collections::BTreeMap;

use serde_json::Value;

use super::statement::Statement;
use crate::authority::Grant;
use crate::catalog::definition::ToolDefinition;
use crate::catalog::signature::Signed;
use crate::limits;
use crate::task::ComponentId;

impl Statement {
    /// One line for each thing that is another than `before`; none where both are the same.
    pub fn changes_since(&self, before: &Self) -> Vec<String> {
        let mut lines = Vec::new();
        lines.extend(changed_tools(&before.tools, &self.tools));
        lines.extend(listed("imports", &before.imports, &self.imports));
        lines.extend(powers("requests", &before.requested, &self.requested));
        lines.extend(powers("is granted", &before.granted, &self.granted));
        for ((name, was), (_, is)) in before.limits.named().into_iter().zip(self.limits.named()) {
            lines.extend((was != is).then(|| format!("{name} is {is}, and was {was}")));
        }
        if before.retry != self.retry {
            let said = |retry: &crate::task::RetryPolicy| {
                format!("{} attempts, {:?} between them", retry.attempts, retry.backoff)
            };
            lines.push(format!("retries: {}, and was {}", said(&self.retry), said(&before.retry)));
        }
        lines.extend(listed("asks for the bounds", &before.wanted, &self.wanted));
        if before.effects != self.effects {
            lines.push("what is done about steps of unknown outcome ([effects] of its manifest)".to_owned());
        }
        if before.version != self.version {
            let said = |version: &Option<String>| version.clone().unwrap_or_else(|| "none".to_owned());
            lines.push(format!("its version is {}, and was {}", said(&self.version), said(&before.version)));
        }
        lines.extend(signer(before.signed.as_ref(), self.signed.as_ref()));
        if before.component != self.component {
            let alone = if lines.is_empty() { ", and nothing else that is seen of it" } else { "" };
            lines.insert(
                0,
                format!("its bytes: {}, and was {}{alone}", short(&self.component), short(&before.component)),
            );
        }
        lines
    }
}

/// A version that was signed before the one that was approved may be one with a fault that is known.
fn signer(before: Option<&Signed>, now: Option<&Signed>) -> Vec<String> {
    let named =
        |signed: Option<&Signed>| signed.map_or_else(|| "no key".to_owned(), |signed| signed.by.clone());
    let mut lines = Vec::new();
    if before.map(|signed| &signed.by) != now.map(|signed| &signed.by) {
        lines.push(format!("it is signed by {}, and was by {}", named(now), named(before)));
    }
    let version = |signed: Option<&'_ Signed>| signed.and_then(|signed| signed.version.clone());
    if let (Some(was), Some(is)) = (version(before), version(now))
        && is_older(&is, &was)
    {
        lines.push(format!("it is signed as version {is}, which is OLDER than {was}, which was approved"));
    }
    lines
}

/// By the numbers between the dots, of which those that are left out are 0; never of what is written otherwise.
fn is_older(one: &str, than: &str) -> bool {
    fn numbers(text: &str) -> Option<Vec<u64>> {
        let core = text.split(['-', '+']).next().unwrap_or(text);
        let mut numbers: Vec<u64> = core.split('.').map(|part| part.parse().ok()).collect::<Option<_>>()?;
        while numbers.last() == Some(&0) {
            numbers.pop();
        }
        Some(numbers)
    }
    numbers(one).zip(numbers(than)).is_some_and(|(one, than)| one < than)
}

fn short(component: &ComponentId) -> String {
    const CHARS: usize = "blake3:".len() + 12;
    component.as_str().chars().take(CHARS).collect()
}

fn changed_tools(
    before: &BTreeMap<String, ToolDefinition>,
    now: &BTreeMap<String, ToolDefinition>,
) -> Vec<String> {
    let gone = before.keys().filter(|name| !now.contains_key(*name));
    let mut lines: Vec<String> = gone.map(|name| format!("the tool {name} is gone")).collect();
    for (name, definition) in now {
        match before.get(name) {
            None => lines.push(format!("the tool {name} is new")),
            Some(was) => lines.extend(
                changed_parts(was, definition).into_iter().map(|part| format!("the tool {name}: {part}")),
            ),
        }
    }
    lines
}

fn changed_parts(was: &ToolDefinition, is: &ToolDefinition) -> Vec<String> {
    let mut parts = Vec::new();
    if was.description != is.description {
        parts.push(format!(
            "its description is {}, and was {}",
            quoted(&is.description),
            quoted(&was.description)
        ));
    }
    if was.title != is.title {
        let said = |title: &Option<String>| title.as_deref().map_or("none".to_owned(), quoted);
        parts.push(format!("its title is {}, and was {}", said(&is.title), said(&was.title)));
    }
    let mut compare = |what: &str, was: Option<&Value>, is: Option<&Value>| {
        if was != is {
            parts.push(match places(was, is) {
                places if places.is_empty() => format!("{what} differs"),
                places => format!("{what} differs at {}", places.join(", ")),
            });
        }
    };
    compare("the schema of its arguments", Some(&was.input_schema), Some(&is.input_schema));
    compare("the schema of its result", was.output_schema.as_ref(), is.output_schema.as_ref());
    let hints = |definition: &ToolDefinition| serde_json::to_value(definition.annotations).ok();
    compare("its annotations", hints(was).as_ref(), hints(is).as_ref());
    let mut answered = was.clone();
    answered.reply = is.reply;
    answered.inline_wait_seconds = is.inline_wait_seconds;
    answered.dedupe_seconds = is.dedupe_seconds;
    answered.ask_first = is.ask_first;
    answered.cancel_when_lost = is.cancel_when_lost;
    if answered != *was {
        parts.push("how it is answered".to_owned());
    }
    parts
}

/// Where two documents differ, as JSON pointers: the first few.
fn places(was: Option<&Value>, is: Option<&Value>) -> Vec<String> {
    let mut found = Vec::new();
    if let (Some(was), Some(is)) = (was, is) {
        find_places(was, is, String::new(), &mut found);
    }
    found.retain(|place| !place.is_empty());
    found
}

fn find_places(was: &Value, is: &Value, at: String, found: &mut Vec<String>) {
    if was == is || found.len() >= limits::MAX_DIFFERENCES_SHOWN {
        return;
    }
    let (Value::Object(before), Value::Object(now)) = (was, is) else {
        found.push(at);
        return;
    };
    let none = Value::Null;
    for key in before.keys().chain(now.keys().filter(|key| !before.contains_key(*key))) {
        let place = format!("{at}/{}", key.replace('~', "~0").replace('/', "~1"));
        find_places(before.get(key).unwrap_or(&none), now.get(key).unwrap_or(&none), place, found);
    }
}

fn quoted(text: &str) -> String {
    let mut shown: String = text.chars().take(limits::MAX_SHOWN_DESCRIPTION_CHARS).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    format!("\"{shown}\"")
}

fn listed(what: &str, before: &[String], now: &[String]) -> Vec<String> {
    let more: Vec<&str> = now.iter().filter(|it| !before.contains(it)).map(String::as_str).collect();
    let less: Vec<&str> = before.iter().filter(|it| !now.contains(it)).map(String::as_str).collect();
    let mut lines = Vec::new();
    lines.extend((!more.is_empty()).then(|| format!("{what} {}, which is new", more.join(", "))));
    lines.extend((!less.is_empty()).then(|| format!("{what} {} no more", less.join(", "))));
    lines
}

fn powers(what: &str, before: &Grant, now: &Grant) -> Vec<String> {
    listed(what, &before.words(), &now.words())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_version_is_known_by_its_numbers() {
        for (one, than, older) in [
            ("1.0.9", "1.1.0", true),
            ("1.9", "1.10", true),
            ("0.9.9-rc1", "1", true),
            ("1.1.0", "1.0.9", false),
            ("1.0", "1.0.0", false),
            ("1.0.0+a", "1.0.0+b", false),
            ("spring", "1.0", false),
            ("1.0", "v2", false),
        ] {
            assert_eq!(is_older(one, than), older, "{one} and {than}");
        }
    }
}
