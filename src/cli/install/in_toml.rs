//! TOML as hosts write it: everything but the one table stays as it is, comments included.

use serde_json::{Map, Value};
use toml_edit::{Decor, DocumentMut, InlineTable, Item, Key, RawString, Table, Value as Inline};

pub fn parsed(text: &str) -> Result<Map<String, Value>, String> {
    let table: toml::Table =
        toml::from_str(text).map_err(|error| format!("it is no TOML: {}", error.message()))?;
    table
        .into_iter()
        .map(|(key, value)| Ok((key, serde_json::to_value(value)?)))
        .collect::<Result<_, _>>()
        .map_err(|error: serde_json::Error| error.to_string())
}

/// The text with the table `section.name`, in the form that stands there or that its neighbours have.
pub fn edit(text: &str, section: &str, name: &str, entry: &Map<String, Value>) -> Option<String> {
    let file = File::of(text);
    let mut document = file.document()?;
    // Keys of one dotted table may be scattered, and the library would put them together.
    let is_whole = file.written(&document) == text;
    let new: DocumentMut = toml::to_string(entry).ok()?.parse().ok()?;
    match document.get_mut(section) {
        Some(Item::Table(servers)) if servers.contains_key(name) => replace(servers.get_mut(name)?, &new)?,
        Some(Item::Value(Inline::InlineTable(servers))) => match servers.get_mut(name) {
            Some(there) => replace_inline(there, &new),
            None => insert_inline(servers, name, &new)?,
        },
        // A table of its own at the end leaves all before it untouched.
        None | Some(Item::Table(_)) => {
            let table = format!("[{section}.{name}]\n{new}").replace('\n', file.line_end);
            return Some(appended(text, &table, file.line_end));
        }
        Some(_) => return None,
    }
    is_whole.then(|| file.written(&document))
}

/// What the library does not keep of a text: it ends each line that it writes, and with `\n` alone.
struct File<'a> {
    text: &'a str,
    line_end: &'static str,
    last_line_ends: bool,
}

impl<'a> File<'a> {
    fn of(text: &'a str) -> Self {
        let line_end = if text.contains("\r\n") { "\r\n" } else { "\n" };
        Self { text, line_end, last_line_ends: text.is_empty() || text.ends_with('\n') }
    }

    fn document(&self) -> Option<DocumentMut> {
        let end = if self.last_line_ends { "" } else { "\n" };
        (self.text.replace("\r\n", "\n") + end).parse().ok()
    }

    fn written(&self, document: &DocumentMut) -> String {
        let mut text = document.to_string();
        if !self.last_line_ends && text.ends_with('\n') {
            text.pop();
        }
        text.replace('\n', self.line_end)
    }
}

/// Behind an empty line.
fn appended(text: &str, table: &str, line_end: &str) -> String {
    let mut text = text.to_owned();
    let has_line = |text: &str| text.is_empty() || text.ends_with('\n');
    while !(has_line(&text) && has_line(text.strip_suffix(line_end).unwrap_or(&text))) {
        text.push_str(line_end);
    }
    text + table
}

/// In the place and the form of what is there.
fn replace(there: &mut Item, new: &Table) -> Option<()> {
    match there {
        Item::Table(there) => {
            there.clear();
            there.set_implicit(false);
            there.extend(new.iter().map(|(key, value)| (key, value.clone())));
        }
        Item::Value(there) => replace_inline(there, new),
        Item::None | Item::ArrayOfTables(_) => return None,
    }
    Some(())
}

fn replace_inline(there: &mut Inline, new: &Table) {
    let decor = there.decor().clone();
    *there = new.clone().into_inline_table().into();
    *there.decor_mut() = decor;
}

/// Behind the last one, its comma and the comments on its line.
fn insert_inline(servers: &mut InlineTable, name: &str, new: &Table) -> Option<()> {
    let mut new = Inline::from(new.clone().into_inline_table());
    let has_comma = servers.trailing_comma();
    let Some((key, last)) = servers.iter().last().map(|(key, last)| (key.to_owned(), last.clone())) else {
        servers.insert(name, new);
        return Some(());
    };
    let rest = if has_comma { Some(servers.trailing()) } else { last.decor().suffix() };
    let rest = rest.map_or(Some(""), RawString::as_str)?.to_owned();
    let (before, after) = match rest.rfind('\n') {
        Some(at) => {
            let prefix = servers.key(&key)?.leaf_decor().prefix().map_or(Some(""), RawString::as_str)?;
            let indent = prefix.rsplit('\n').next().unwrap_or(prefix);
            (format!("{}{indent}", &rest[..=at]), &rest[at..])
        }
        None => (" ".to_owned(), rest.as_str()),
    };
    if has_comma {
        servers.set_trailing(after);
        new.decor_mut().set_suffix("");
    } else {
        servers.get_mut(&key)?.decor_mut().set_suffix("");
        new.decor_mut().set_suffix(after);
    }
    new.decor_mut().set_prefix(" ");
    let key = Key::new(name).with_leaf_decor(Decor::new(before, " "));
    servers.insert_formatted(&key, new);
    Some(())
}
