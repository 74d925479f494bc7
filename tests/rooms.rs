//! The house holds: imports go down, foreign libraries stay in their rooms, no scenario file is forgotten.

mod modules;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// From the ground up. A room may import what stands on a lower line; rooms on one line are wings without a door.
const FLOORS: &[&[&str]] = &[
    &["limits"],
    &["clock", "crash", "launch", "walls"],
    &["files", "private"],
    &["authority"],
    &["secrets", "shares"],
    &["task"],
    &["store"],
    &["catalog"],
    &["engine", "http"],
    &["api"],
    &["sandbox", "mcp"],
    &["cli"],
];

/// A crate, or a family of crates whose names begin alike, and the one room, or part of one, that may name it; where there are several,
/// each has a row.
const FOREIGN: &[(&str, &str)] = &[
    ("wasmtime", "sandbox"),
    ("wasmparser", "sandbox"),
    ("wasm_encoder", "sandbox"),
    ("if_addrs", "sandbox"),
    ("async_task", "sandbox"),
    ("unicode_properties", "catalog"),
    ("unicode_script", "catalog"),
    ("unicode_security", "catalog"),
    ("redb", "store::file"),
    ("nix", "clock"),
    // What `truncate` is tried with, which nothing else here calls.
    ("nix", "walls::tests"),
    ("landlock", "walls"),
    ("seccompiler", "walls"),
    ("rmcp", "mcp"),
    ("axum", "http"),
    ("hyper", "http"),
    ("tower_http", "http"),
    ("governor", "http"),
    ("netlink_packet", "http"),
    ("clap", "cli"),
    ("sha2", "cli"),
    ("jsonc_parser", "cli"),
    ("toml_edit", "cli"),
    ("indicatif", "cli"),
    ("wit_bindgen_c", "cli"),
    ("wit_component", "cli"),
    ("wit_parser", "cli"),
    ("wasi_preview1_component_adapter_provider", "cli"),
];

/// The crates that the rooms lie in. Their doors alone name them: a room calls another `crate::room`, as if there were
/// one crate, so that its floor is what counts.
const CRATES: &[&str] =
    &["longhaul_ground", "longhaul_engine", "longhaul_http", "longhaul_sandbox", "longhaul_mcp"];

/// Macros that `#[macro_export]` puts at the root of the crate, and the rooms that they are from.
const ROOT_MACROS: &[(&str, &str)] = &[("crash_point", "crash")];

#[test]
fn every_import_goes_down() {
    let mut wrong = Vec::new();
    for file in sources() {
        let Some(room) = room_of(&file) else { continue };
        let tokens = tokens(&read(&file));
        if let Some(name) = tokens.iter().find(|token| CRATES.contains(&token.as_str())) {
            wrong.push(format!("{}: `{name}` is named by doors alone", shown(&file)));
        }
        for import in imports(&tokens, module_depth(&file)) {
            let target =
                ROOT_MACROS.iter().find(|(name, _)| *name == import).map_or(&*import, |(_, room)| room);
            match floor(target) {
                _ if target == room => {}
                Some(below) if below < floor(&room).expect("a known room") => {}
                Some(_) => wrong.push(format!("{}: `{room}` may not import `{target}`", shown(&file))),
                None => wrong.push(format!("{}: `{target}` is no room", shown(&file))),
            }
        }
    }
    assert!(wrong.is_empty(), "imports go down, never up or sideways:\n{}", wrong.join("\n"));
}

#[test]
fn foreign_libraries_stay_in_their_rooms() {
    let mut wrong = Vec::new();
    for file in sources() {
        let module = module_path(&file);
        for name in tokens(&read(&file)) {
            let is_of = |library: &str| {
                name.strip_prefix(library).is_some_and(|rest| rest.is_empty() || rest.starts_with('_'))
            };
            let homes: Vec<&str> =
                FOREIGN.iter().filter(|(library, _)| is_of(library)).map(|(_, home)| *home).collect();
            if !homes.is_empty() && !homes.iter().any(|home| module.starts_with(&modules::named(home))) {
                wrong.push(format!("{}: `{name}` belongs into `{}`", shown(&file), homes.join("` or `")));
            }
        }
    }
    assert!(wrong.is_empty(), "one foreign library, one room:\n{}", wrong.join("\n"));
}

#[test]
fn every_room_has_its_floor() {
    let known: BTreeSet<&str> = FLOORS.iter().copied().flatten().copied().collect();
    let found: BTreeSet<String> = sources().iter().filter_map(|file| room_of(file)).collect();
    let found: BTreeSet<&str> = found.iter().map(String::as_str).collect();
    assert_eq!(found, known, "the rooms in `src`, and those that this test knows");
}

#[test]
fn no_scenario_file_is_forgotten() {
    let tests = root().join("tests");
    let listed = tokens(&read(&tests.join("main.rs")));
    let listed: BTreeSet<&str> =
        listed.windows(3).filter(|t| t[0] == "mod" && t[2] == ";").map(|t| t[1].as_str()).collect();
    let forgotten: Vec<String> = fs::read_dir(&tests)
        .expect("the folder of the tests")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|ext| ext == "rs") || path.join("mod.rs").exists())
        .map(|path| path.file_stem().expect("a name").to_string_lossy().into_owned())
        .filter(|name| name != "main" && !listed.contains(name.as_str()))
        .collect();
    assert!(forgotten.is_empty(), "not listed in tests/main.rs, so never run: {forgotten:?}");
}

#[test]
fn the_reader_of_sources_sees_what_it_must() {
    let seen = |source: &str, depth| imports(&tokens(source), depth);
    assert_eq!(seen("use crate::engine::{a, b}; fn f() { crate::store::x(); }", 1), ["engine", "store"]);
    assert_eq!(
        seen("use crate::{task::{TaskId, State}, limits, engine as e};", 1),
        ["task", "limits", "engine"]
    );
    assert_eq!(seen("use super::engine::A; use super::super::b;", 1), ["engine"]);
    assert_eq!(seen("use super::x; use super::super::engine::A;", 2), ["engine"]);
    assert_eq!(seen("use super::{super::engine, y};", 2), ["engine"]);
    assert_eq!(
        seen("mod tests { use super::*; use super::super::engine; } use super::cli;", 1),
        ["engine", "cli"]
    );
    assert_eq!(seen("mod a { mod b { } use super::super::cli; }", 1), ["cli"]);
    assert_eq!(
        seen("// crate::cli\n/* crate::cli /* */ crate::cli */ \"crate::cli\" r#\"\"crate::cli\"#", 1),
        [""; 0]
    );
    assert_eq!(seen("'\"' ; b'\\'' ; fn f<'a>(x: &'a str) { crate::cli }", 1), ["cli"]);
    assert_eq!(tokens("redb::x /*redb*/ \"redb\" 'r' r\"redb\""), ["redb", "::", "x"]);
}

/// The rooms that a source imports from by way of the crate's root. `depth` is how many `super` lead there from
/// the top of the file.
fn imports(tokens: &[String], depth: usize) -> Vec<String> {
    let mut found = Vec::new();
    // Inline modules that are open here: the depth of braces in which each stands.
    let mut inline: Vec<usize> = Vec::new();
    let mut braces = 0;
    for (at, token) in tokens.iter().enumerate() {
        let before = at.checked_sub(1).map_or("", |before| tokens[before].as_str());
        match token.as_str() {
            "{" => {
                if at >= 2 && tokens[at - 2] == "mod" {
                    inline.push(braces);
                }
                braces += 1;
            }
            "}" => {
                braces -= 1;
                inline.pop_if(|opened| *opened == braces);
            }
            "crate" if before != "(" => roots(&tokens[at + 1..], 0, &mut found),
            "super" if before != "(" && before != "::" => {
                roots(&tokens[at + 1..], depth + inline.len() - 1, &mut found);
            }
            _ => {}
        }
    }
    found
}

/// What follows `crate`, or the first `super`: names below the root, `supers` further steps up from here.
fn roots(path: &[String], supers: usize, found: &mut Vec<String>) {
    let [colons, first, ..] = path else { return };
    if colons != "::" {
        return;
    }
    let rest = &path[1..];
    if first != "{" {
        return name_or_step(rest, supers, found);
    }
    // The first name of each item of the group.
    let mut nested = 0;
    for (at, token) in rest.iter().enumerate() {
        match token.as_str() {
            "{" => nested += 1,
            "}" => nested -= 1,
            _ => {}
        }
        if nested == 0 {
            return;
        }
        if nested == 1 && matches!(token.as_str(), "{" | ",") {
            name_or_step(&rest[at + 1..], supers, found);
        }
    }
}

fn name_or_step(path: &[String], supers: usize, found: &mut Vec<String>) {
    match path.first().map(String::as_str) {
        Some("super") if supers > 0 => roots(&path[1..], supers - 1, found),
        Some(name) if supers == 0 && is_name(name) && name != "self" && name != "super" => {
            found.push(name.to_owned());
        }
        _ => {}
    }
}

/// Names, `::` and the punctuation that `imports` looks at, without comments, texts and lifetimes.
fn tokens(source: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = source;
    while let Some(next) = rest.chars().next() {
        let taken = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            block_comment(rest)
        } else if let Some(taken) = text(rest) {
            taken
        } else if is_name(rest) {
            let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
            found.push(rest[..end].to_owned());
            end
        } else if rest.starts_with("::") {
            found.push("::".to_owned());
            2
        } else {
            if "{}();,".contains(next) {
                found.push(next.to_string());
            }
            next.len_utf8()
        };
        rest = &rest[taken..];
    }
    found
}

fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_alphanumeric() || c == '_')
}

fn block_comment(source: &str) -> usize {
    let mut open = 0;
    let mut at = 0;
    while at < source.len() {
        match &source.as_bytes()[at..] {
            [b'/', b'*', ..] => (open, at) = (open + 1, at + 2),
            [b'*', b'/', ..] => (open, at) = (open - 1, at + 2),
            _ => at += 1,
        }
        if open == 0 {
            break;
        }
    }
    at
}

/// How long the literal text, character or lifetime is that `source` begins with.
fn text(source: &str) -> Option<usize> {
    let prefix = ["br", "cr", "r", "b", "c"]
        .into_iter()
        .find(|prefix| source.strip_prefix(prefix).is_some_and(|rest| rest.starts_with(['"', '\'', '#'])));
    let prefix = prefix.unwrap_or_default();
    let body = &source[prefix.len()..];
    if prefix.ends_with('r') {
        let hashes = body.len() - body.trim_start_matches('#').len();
        // `r#name` is a name.
        let inner = body[hashes..].strip_prefix('"')?;
        let end = format!("\"{}", &body[..hashes]);
        let length = inner.find(&end).map_or(inner.len(), |at| at + end.len());
        return Some(prefix.len() + hashes + 1 + length);
    }
    let quote = body.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let mut inner = body.char_indices().skip(1);
    if quote == '\'' && is_name(&body[1..]) && body.chars().nth(2) != Some('\'') {
        // A lifetime: its name goes too.
        let end = body[1..].find(|c: char| !c.is_alphanumeric() && c != '_').map_or(body.len(), |at| at + 1);
        return Some(prefix.len() + end);
    }
    while let Some((at, c)) = inner.next() {
        match c {
            '\\' => drop(inner.next()),
            c if c == quote => return Some(prefix.len() + at + c.len_utf8()),
            _ => {}
        }
    }
    Some(source.len())
}

fn floor(room: &str) -> Option<usize> {
    FLOORS.iter().position(|floor| floor.contains(&room))
}

/// `None` for the house's doors.
fn room_of(file: &Path) -> Option<String> {
    let inside = file.strip_prefix(root().join("src")).expect("a source");
    let first = Path::new(inside.iter().next().expect("a name"));
    let room = first.file_stem().expect("a name").to_string_lossy().into_owned();
    (room != "main").then_some(room)
}

/// Of `src/room.rs` and `src/room/mod.rs` 1, of `src/room/part.rs` 2.
fn module_depth(file: &Path) -> usize {
    let inside = file.strip_prefix(root().join("src")).expect("a source");
    let parts = inside.iter().count();
    if file.file_name().is_some_and(|name| name == "mod.rs") { parts - 1 } else { parts }
}

/// Of `src/room/part.rs` `room::part`; of `src/room/mod.rs` `room`; of the doors nothing.
fn module_path(file: &Path) -> Vec<String> {
    let inside = file.strip_prefix(root().join("src")).expect("a source").with_extension("");
    let names = inside.iter().map(|name| name.to_string_lossy().into_owned());
    names.filter(|name| !matches!(name.as_str(), "mod" | "main")).collect()
}

fn sources() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root().join("src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ext| ext == "rs") && !is_door(&path) {
                found.push(path);
            }
        }
    }
    // The folder of the WIT package holds no Rust, so nothing here is empty by mistake.
    assert!(found.len() > FLOORS.len(), "no sources in {}", root().display());
    found.sort();
    found
}

/// The root of a crate: it says which rooms lie there, and which of other crates they see.
fn is_door(file: &Path) -> bool {
    file.file_name().is_some_and(|name| name == "lib.rs")
}

fn read(file: &Path) -> String {
    fs::read_to_string(file).expect("a source file")
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn shown(file: &Path) -> String {
    file.strip_prefix(root()).unwrap_or(file).display().to_string()
}
