//! Inside a room: which of its parts stands on which floor, and that no modules import each other in a circle. What
//! stands under `#[cfg(test)]` does not count.

use std::collections::{BTreeMap, BTreeSet};

use super::{is_name, module_path, read, sources, tokens};

/// Of a room its parts from the ground up, as `FLOORS` has the rooms. A part is a file or a folder of the room; `mod` is
/// the room's own `mod.rs`.
const INNER_FLOORS: &[(&str, &[&[&str]])] = &[
    (
        "engine",
        &[
            &["next"],
            &["error", "feed", "link"],
            &["cursor", "probe", "random", "rows"],
            &["charge", "effect", "journal"],
            &["trace"],
            &["memory", "ports"],
            &["commit"],
            &["audit", "narrowed"],
            &["shared"],
            &["change", "environment"],
            &["record"],
            &["family", "runner"],
            &["handle"],
            &["added", "approvals", "grants", "questions", "state", "tokens", "wing_rows"],
            &["query"],
            &["lifecycle"],
            &["dispatch", "runners"],
            &["open"],
            &["packed"],
            &["moving"],
            &["library"],
            &["mod"],
        ],
    ),
    (
        "mcp",
        &[
            &["era", "socket_path"],
            &["wire"],
            &["own", "questions", "watch"],
            &["shared"],
            &["sessions"],
            &["connection"],
            &["tasks"],
            &["call", "resources"],
            &["server"],
            &["transport"],
            &["client", "bridge"],
            &["upstream"],
            &["mod"],
        ],
    ),
    (
        "cli",
        &[
            &["exit", "registry", "scratch"],
            &["examples"],
            &["args", "config", "logging", "show"],
            &["programs"],
            &["context"],
            &["server"],
            &["projects"],
            &["backup", "check"],
            &["client"],
            &["install"],
            &["commands"],
            &["mod"],
        ],
    ),
];

/// Rooms whose modules import each other in one direction. A room that holds is added here.
const WITHOUT_CIRCLES: &[&str] =
    &["api", "authority", "cli", "engine", "files", "http", "launch", "mcp", "sandbox", "store", "walls"];

/// A module's name from the crate's root on.
type Module = Vec<String>;

/// Which modules each module imports.
type Arrows = BTreeMap<Module, BTreeSet<Module>>;

#[test]
fn inside_a_room_every_import_goes_down() {
    let arrows = arrows();
    let mut wrong = Vec::new();
    for (room, floors) in INNER_FLOORS {
        let floor = |part: &str| floors.iter().position(|floor| floor.contains(&part));
        for (from, targets) in arrows.iter().filter(|(from, _)| from[0] == *room) {
            let of = part(from);
            let Some(own) = floor(of) else {
                wrong.push(format!("{}: `{of}` has no floor in `{room}`", from.join("::")));
                continue;
            };
            let up =
                |to: &&Module| to[0] == *room && part(to) != of && floor(part(to)).is_none_or(|to| to >= own);
            wrong.extend(targets.iter().filter(up).map(|to| {
                format!("{}: in `{room}`, `{of}` may not import `{}`", from.join("::"), to.join("::"))
            }));
        }
    }
    assert!(wrong.is_empty(), "imports go down, never up or sideways:\n{}", wrong.join("\n"));
}

#[test]
fn every_floor_inside_a_room_has_its_parts() {
    let arrows = arrows();
    for (room, floors) in INNER_FLOORS {
        let known: BTreeSet<&str> = floors.iter().copied().flatten().copied().collect();
        let found: BTreeSet<&str> = arrows.keys().filter(|module| module[0] == *room).map(part).collect();
        assert_eq!(found, known, "the parts of `{room}`, and those that this test knows");
    }
}

#[test]
fn no_modules_import_each_other_in_a_circle() {
    let arrows = arrows();
    for room in WITHOUT_CIRCLES {
        let left = circles(within(&arrows, room));
        let shown: Vec<String> = left
            .iter()
            .flat_map(|(from, to)| to.iter().map(|to| format!("{} -> {}", from.join("::"), to.join("::"))))
            .collect();
        assert!(shown.is_empty(), "modules of `{room}` import each other in a circle:\n{}", shown.join("\n"));
    }
}

#[test]
fn the_reader_of_modules_sees_what_it_must() {
    let known: BTreeSet<Module> =
        ["a", "a::b", "a::b::c", "a::d", "e"].iter().map(|name| named(name)).collect();
    let seen = |source: &str, from: &str| -> Vec<String> {
        imported(&tokens(source), &named(from), &known).iter().map(|module| module.join("::")).collect()
    };
    assert_eq!(seen("use crate::a::b::{self, c::X, Y}; use crate::e;", "a::d"), ["a::b", "a::b::c", "e"]);
    assert_eq!(seen("use super::d::X; fn f() { super::super::e::g() }", "a::b"), ["a::d", "e"]);
    assert_eq!(seen("pub(super) fn f() {} pub(in crate::a) fn g(x: super::d::X) {}", "a::b"), ["a::d"]);
    assert_eq!(seen("use super::{super::e, d::{X, Y}};", "a::b"), ["a::d", "e"]);
    assert_eq!(seen("mod b; pub use b::X; use rmcp::d::X;", "a"), ["a::b"]);
    assert_eq!(seen("use super::Name;", "a::b"), ["a"]);
    assert_eq!(seen("mod inner { use super::super::d::X; use super::c; }", "a::b"), ["a::b::c", "a::d"]);
    assert_eq!(seen("#[cfg(test)] mod tests { use crate::e; } use crate::a::d::X;", "a::b"), ["a::d"]);
    assert_eq!(seen("#[cfg(test)] #[cfg(unix)] mod tests; use crate::a::d::X;", "a::b"), ["a::d"]);
    assert_eq!(seen("struct S { #[cfg(test)] x: crate::e::X, y: crate::a::d::Y }", "a::b"), ["a::d"]);
    assert_eq!(
        seen("#[cfg(any(test, debug_assertions))] use crate::e::X; use crate::a::d::X;", "a::b"),
        ["a::d"]
    );
    assert_eq!(test_modules(&tokens("#[cfg(test)] mod tests; mod b; #[cfg(test)] mod c {}")), ["tests"]);
    let circle = [("a", "a::b"), ("a::b", "a::d"), ("a::d", "a::b"), ("a::d", "e")];
    let mut arrows = Arrows::new();
    for (from, to) in circle {
        arrows.entry(named(from)).or_default().insert(named(to));
    }
    let left: Vec<Module> = circles(arrows).into_keys().collect();
    assert_eq!(left, [named("a::b"), named("a::d")]);
}

pub fn named(name: &str) -> Module {
    name.split("::").map(str::to_owned).collect()
}

fn part(module: &Module) -> &str {
    module.get(1).map_or("mod", String::as_str)
}

/// All modules, and what each imports of the others.
fn arrows() -> Arrows {
    let read: BTreeMap<Module, Vec<String>> =
        sources().iter().map(|file| (module_path(file), tokens(&read(file)))).collect();
    let of_tests: Vec<Module> = read
        .iter()
        .flat_map(|(module, tokens)| test_modules(tokens).into_iter().map(move |name| child(module, name)))
        .collect();
    let is_counted =
        |module: &Module| !module.is_empty() && !of_tests.iter().any(|tests| module.starts_with(tests));
    let known: BTreeSet<Module> = read.keys().filter(|module| is_counted(module)).cloned().collect();
    let counted = read.iter().filter(|(module, _)| known.contains(*module));
    counted.map(|(module, tokens)| (module.clone(), imported(tokens, module, &known))).collect()
}

fn within(arrows: &Arrows, room: &str) -> Arrows {
    let inside = arrows.iter().filter(|(from, _)| from[0] == room);
    inside.map(|(from, to)| (from.clone(), to.iter().filter(|to| to[0] == room).cloned().collect())).collect()
}

/// What is left once all are gone that nothing imports or that import nothing: the circles, and what lies between two.
fn circles(mut arrows: Arrows) -> Arrows {
    loop {
        let before = arrows.len();
        let imported: BTreeSet<Module> = arrows.values().flatten().cloned().collect();
        arrows.retain(|module, to| imported.contains(module) && !to.is_empty());
        let left: BTreeSet<Module> = arrows.keys().cloned().collect();
        arrows.values_mut().for_each(|to| to.retain(|to| left.contains(to)));
        if arrows.len() == before {
            return arrows;
        }
    }
}

/// The modules whose names stand in this one, itself left out.
fn imported(tokens: &[String], module: &Module, known: &BTreeSet<Module>) -> BTreeSet<Module> {
    let mut found = BTreeSet::new();
    // Inline modules that are open here, each with the depth of braces in which it stands.
    let mut inline: Vec<(usize, String)> = Vec::new();
    let (mut braces, mut at) = (0, 0);
    while at < tokens.len() {
        let token = tokens[at].as_str();
        match token {
            "{" => {
                if at >= 2 && tokens[at - 2] == "mod" {
                    inline.push((braces, tokens[at - 1].clone()));
                }
                braces += 1;
            }
            "}" => {
                braces -= 1;
                inline.pop_if(|(opened, _)| *opened == braces);
            }
            "cfg" if is_for_tests(&tokens[at..]) => {
                at += item(&tokens[at..]);
                continue;
            }
            // Who may see an item is no import.
            "pub" if tokens.get(at + 1).is_some_and(|next| next == "(") => {
                at += tokens[at..].iter().position(|token| token == ")").unwrap_or(0);
            }
            _ if is_name(token) && (at == 0 || tokens[at - 1] != "::") => {
                let here: Module =
                    module.iter().cloned().chain(inline.iter().map(|(_, name)| name.clone())).collect();
                let mut paths = Vec::new();
                at += path(&tokens[at..], &[], &mut paths);
                found.extend(paths.iter().filter_map(|path| resolved(path, &here, known)));
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    found.remove(module);
    found
}

/// Reads one path, or a group of them, and says how many tokens it has.
fn path(tokens: &[String], before: &[String], found: &mut Vec<Vec<String>>) -> usize {
    let mut path = before.to_vec();
    let mut at = 0;
    loop {
        match tokens.get(at).map(String::as_str) {
            Some("{") if at > 0 => {
                at += 1;
                while tokens.get(at).is_some_and(|token| token != "}") {
                    at += if is_name(&tokens[at]) { self::path(&tokens[at..], &path, found) } else { 1 };
                }
                return at + 1;
            }
            Some(name) if is_name(name) => path.push(name.to_owned()),
            _ => break,
        }
        at += 1;
        if tokens.get(at).is_none_or(|token| token != "::") {
            break;
        }
        at += 1;
    }
    found.push(path);
    at.max(1)
}

/// The innermost module that a path names, as seen from `here`.
fn resolved(path: &[String], here: &Module, known: &BTreeSet<Module>) -> Option<Module> {
    let mut names = path.iter().peekable();
    let mut module = here.clone();
    match path.first()?.as_str() {
        "crate" => module.clear(),
        "super" | "self" => {}
        first if path.len() > 1 && known.contains(&child(here, first)) => {}
        _ => return None,
    }
    while let Some(name) = names.next_if(|name| matches!(name.as_str(), "crate" | "self" | "super")) {
        if name == "super" {
            module.pop();
        }
    }
    for name in names {
        let inner = child(&module, name);
        if !known.contains(&inner) {
            break;
        }
        module = inner;
    }
    // An inline module has no file of its own.
    while !module.is_empty() && !known.contains(&module) {
        module.pop();
    }
    (!module.is_empty()).then_some(module)
}

fn child(module: &Module, name: &str) -> Module {
    module.iter().cloned().chain([name.to_owned()]).collect()
}

/// Also what debug builds have for the tests of other crates.
fn is_for_tests(tokens: &[String]) -> bool {
    let begins = |with: &[&str]| tokens.len() >= with.len() && tokens[..with.len()] == *with;
    begins(&["cfg", "(", "test", ")"])
        || begins(&["cfg", "(", "any", "(", "test", ",", "debug_assertions", ")", ")"])
}

/// How long the item or field is that begins with this attribute.
fn item(tokens: &[String]) -> usize {
    let mut open = 0;
    for (at, token) in tokens.iter().enumerate() {
        match token.as_str() {
            "{" | "(" => open += 1,
            "}" | ")" if open == 0 => return at,
            "}" if open == 1 => return at + 1,
            "}" | ")" => open -= 1,
            ";" | "," if open == 0 => return at + 1,
            _ => {}
        }
    }
    tokens.len()
}

/// The modules in files of their own that are for tests alone.
fn test_modules(tokens: &[String]) -> Vec<&str> {
    let begins = (0..tokens.len()).filter(|at| is_for_tests(&tokens[*at..]));
    let items = begins.map(|at| &tokens[at..at + item(&tokens[at..])]);
    items
        .filter_map(|item| match item {
            [.., keyword, name, end] if keyword == "mod" && end == ";" => Some(name.as_str()),
            _ => None,
        })
        .collect()
}
