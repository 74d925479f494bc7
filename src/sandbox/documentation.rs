//! What a component's author wrote in its WIT, where a tool put that into the file: the custom section `package-docs`, in
//! the form of `wit-parser`, as components made for Wassette have it.

use std::collections::BTreeMap;

use serde::Deserialize;
use wasmparser::{Parser, Payload};

use super::binding::Binding;
use crate::catalog::Inspection;
use crate::limits;

const SECTION: &str = "package-docs";
/// The forms that are known, by the section's first byte.
const VERSIONS: [u8; 2] = [0, 1];

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Documentation {
    worlds: BTreeMap<String, World>,
    interfaces: BTreeMap<String, Interface>,
}

/// In the older form functions and interfaces that are imported stand with those that are exported.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct World {
    func_exports: BTreeMap<String, Function>,
    funcs: BTreeMap<String, Function>,
    interface_exports: BTreeMap<String, Interface>,
    interfaces: BTreeMap<String, Interface>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Interface {
    funcs: BTreeMap<String, Function>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Function {
    Text(String),
    Item {
        #[serde(default)]
        docs: Option<String>,
    },
}

impl Documentation {
    /// `Err` where there is a section that says nothing sure.
    pub fn of(bytes: &[u8]) -> Result<Option<Self>, String> {
        let mut depth = 0_usize;
        for payload in Parser::new(0).parse_all(bytes) {
            match payload {
                Ok(Payload::ModuleSection { .. } | Payload::ComponentSection { .. }) => depth += 1,
                Ok(Payload::End(_)) => depth = depth.saturating_sub(1),
                // Of the component itself; what is nested in it speaks of itself.
                Ok(Payload::CustomSection(section)) if depth == 0 && section.name() == SECTION => {
                    return Self::read(section.data()).map(Some);
                }
                Ok(_) => {}
                Err(_) => break,
            }
        }
        Ok(None)
    }

    fn read(data: &[u8]) -> Result<Self, String> {
        let (version, text) = data.split_first().ok_or("it is empty")?;
        if !VERSIONS.contains(version) {
            return Err(format!("its form {version} is not known"));
        }
        if text.len() > limits::MAX_DOCUMENTATION_BYTES {
            return Err(format!("it is larger than {} bytes", limits::MAX_DOCUMENTATION_BYTES));
        }
        serde_json::from_slice(text).map_err(|error| error.to_string())
    }

    /// Describes the tools that are typed exports: all that is known of these else is their names.
    pub fn describe(&self, inspection: &mut Inspection) {
        for tool in &mut inspection.tools {
            let Ok(Binding::Export { interface, function }) = tool.binding.parse() else { continue };
            if let Some(text) = self.text(interface.as_deref(), &function) {
                tool.definition.description = text;
            }
        }
    }

    fn text(&self, interface: Option<&str>, function: &str) -> Option<String> {
        let of_world = |world: &World| match interface {
            None => text_in(&[&world.func_exports, &world.funcs], function),
            Some(name) => {
                let inline = [world.interface_exports.get(name), world.interfaces.get(name)];
                let inline = inline.into_iter().flatten();
                inline.filter_map(|interface| text_in(&[&interface.funcs], function)).next()
            }
        };
        let of_interface = || {
            // `ns:pkg/name@version`: the section has the names alone.
            let name = interface?.split('@').next()?.rsplit('/').next()?;
            text_in(&[&self.interfaces.get(name)?.funcs], function)
        };
        self.worlds.values().find_map(of_world).or_else(of_interface)
    }
}

fn text_in(functions: &[&BTreeMap<String, Function>], name: &str) -> Option<String> {
    let text = functions.iter().find_map(|functions| match functions.get(name)? {
        Function::Text(text) => Some(text),
        Function::Item { docs } => docs.as_ref(),
    })?;
    let text = text.replace("\r\n", "\n");
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn component(section: &str) -> Vec<u8> {
        let nested = r#"(component (@custom "package-docs" "\01{\"worlds\":{\"w\":{\"func_exports\":{\"f\":\"nested\"}}}}"))"#;
        wat::parse_str(format!("(component {nested} (core module) {section})")).expect("a component")
    }

    fn section(version: u8, json: &str) -> String {
        let escaped: String = json.bytes().map(|byte| format!("\\{byte:02x}")).collect();
        format!(r#"(@custom "package-docs" "\{version:02x}{escaped}")"#)
    }

    fn read(version: u8, json: &str) -> Documentation {
        Documentation::of(&component(&section(version, json))).expect("it is read").expect("it is there")
    }

    #[test]
    fn functions_are_described_by_what_stands_in_the_wit() {
        let known = read(
            1,
            r#"{"docs":"A package.","worlds":{"fetch":{"docs":"A world.","func_exports":{
                "fetch":{"docs":" Fetches\r\na page. ","stability":{"unstable":{"feature":"x"}}},"empty":{"docs":" "}},
                "interface_exports":{"inline":{"funcs":{"run":{"docs":"Runs."}}}}}},
                "interfaces":{"stats":{"docs":"","funcs":{"count":{"docs":"Counts."},"none":{}}}},"later":[1]}"#,
        );
        for (interface, function, text) in [
            (None, "fetch", Some("Fetches\na page.")),
            (None, "empty", None),
            (None, "count", None),
            (Some("inline"), "run", Some("Runs.")),
            (Some("example:text/stats@1.0.0"), "count", Some("Counts.")),
            (Some("example:text/stats"), "none", None),
            (Some("example:text/other"), "count", None),
        ] {
            assert_eq!(known.text(interface, function).as_deref(), text, "{interface:?} {function}");
        }
        let older = read(0, r#"{"worlds":{"w":{"funcs":{"f":"Does.","g":{"docs":"Too."}}}}}"#);
        assert_eq!(older.text(None, "f").as_deref(), Some("Does."));
        assert_eq!(older.text(None, "g").as_deref(), Some("Too."));
    }

    #[test]
    fn a_section_that_says_nothing_sure_is_an_error_and_what_is_nested_is_none() {
        assert!(Documentation::of(&component("")).is_ok_and(|found| found.is_none()));
        assert!(Documentation::of(b"\0asm").is_ok_and(|found| found.is_none()));
        let large = format!("\"{}\"", "x".repeat(limits::MAX_DOCUMENTATION_BYTES));
        for (bad, why) in [
            (section(2, "{}"), "form 2"),
            (section(1, "{"), "EOF"),
            (section(1, r#"{"worlds":7}"#), "invalid type"),
            (section(1, &large), "larger than"),
            (r#"(@custom "package-docs" "")"#.to_owned(), "empty"),
        ] {
            let error = Documentation::of(&component(&bad)).expect_err(why);
            assert!(error.contains(why), "{error}");
        }
    }
}
