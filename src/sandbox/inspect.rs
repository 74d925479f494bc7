//! What tools a component has: by reflection of its typed exports, or because it says so itself.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use wasmtime::Engine;
use wasmtime::component::Component;
use wasmtime::component::types::{ComponentFunc, ComponentItem};

use super::asynchronous::{Use, What};
use super::binding::Binding;
use super::values::{SchemaRoom, input_schema, output_schema, snake};
use crate::catalog::{
    Annotations, InspectedTool, Inspection, Reply, Schema, SkippedExport, ToolDefinition, is_tool_name,
};
use crate::engine::InspectError;
use crate::limits;
use crate::limits::MAX_DEFINITION_BYTES;

/// What a component of the world `longhaul:tool` says of one of its tools.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SelfDescribed {
    pub name: String,
    pub title: Option<String>,
    pub description: String,
    /// JSON as text.
    pub input_schema: String,
    pub output_schema: Option<String>,
    pub annotations: Annotations,
    pub reply: Reply,
    pub inline_wait_seconds: Option<u32>,
}

/// `described` is what the component's own `definitions` gave, where it exports [`describes_itself`]; `asynchronous` are the exports that
/// have stand-ins in the compiled component. Names are as the component has them, schemas of `described` verbatim: what holds
/// for any tool is for the catalog to judge.
pub(super) fn inspect(
    engine: &Engine,
    component: &Component,
    described: Vec<SelfDescribed>,
    asynchronous: &[Use],
) -> Result<Inspection, InspectError> {
    let ty = component.component_type();
    let asynchronous =
        asynchronous.iter().map(|found| ((found.interface.as_deref(), &*found.function), found.what));
    let mut found = Found { asynchronous: asynchronous.collect(), ..Found::default() };
    for (name, item) in ty.imports(engine) {
        if name.len() > limits::MAX_EXTERN_NAME_BYTES {
            return Err(InspectError::Unsupported(format!(
                "the component imports {}, a name of more than {} bytes (MAX_EXTERN_NAME_BYTES)",
                shown(name),
                limits::MAX_EXTERN_NAME_BYTES
            )));
        }
        if matches!(item.ty, ComponentItem::ComponentInstance(_)) {
            found.import(name);
        }
    }
    if described.len() > limits::MAX_TOOLS_PER_COMPONENT {
        return Err(too_many(limits::MAX_TOOLS_PER_COMPONENT, "tools", "MAX_TOOLS_PER_COMPONENT"));
    }
    for described in described {
        found.inspection.tools.push(tool_of(described)?);
    }
    let mut versions: HashMap<&str, usize> = HashMap::new();
    ty.exports(engine).for_each(|(name, _)| *versions.entry(unversioned(name)).or_default() += 1);
    for (name, item) in ty.exports(engine) {
        match &item.ty {
            ComponentItem::ComponentFunc(func) => found.function(None, name, name.to_owned(), func)?,
            ComponentItem::ComponentInstance(_) if name.starts_with("wasi:cli/run@0.2.") => {
                found.command = Some(name.to_owned());
            }
            ComponentItem::ComponentInstance(_) if name.starts_with("wasi:") => {
                found.skip(name, "is an interface of WASI");
            }
            ComponentItem::ComponentInstance(_) if is_tools(name) => {}
            ComponentItem::ComponentInstance(_) if name.starts_with("longhaul:tool/") => {
                return Err(InspectError::Unsupported(format!(
                    "the component exports {name}, and this version knows {TOOLS}@0.1 alone: build it with the \
                     WIT package of this version"
                )));
            }
            ComponentItem::ComponentInstance(instance) => {
                let bare = unversioned(name);
                let alone = versions.get(bare) == Some(&1);
                let shown = if alone { bare } else { name };
                for (function, item) in instance.exports(engine) {
                    if let ComponentItem::ComponentFunc(func) = &item.ty {
                        found.function(Some(name), function, format!("{shown}#{function}"), func)?;
                    }
                }
            }
            _ => {}
        }
    }
    Ok(found.finish())
}

const TOOLS: &str = "longhaul:tool/tools";

/// Whether the component has to be asked for its `definitions`.
pub fn describes_itself(engine: &Engine, component: &Component) -> bool {
    component.component_type().exports(engine).any(|(name, _)| is_tools(name))
}

fn is_tools(export: &str) -> bool {
    export.strip_prefix(TOOLS).is_some_and(|version| version == "@0.1" || version.starts_with("@0.1."))
}

/// Interfaces that link, and refuse every call whatever is granted.
const DENIED: [&str; 1] = ["wasi:sockets/"];

#[derive(Default)]
struct Found<'a> {
    inspection: Inspection,
    /// By interface and name.
    asynchronous: HashMap<(Option<&'a str>, &'a str), What>,
    /// `wasi:cli/run` with its version: a plain program.
    command: Option<String>,
    functions: usize,
    room: SchemaRoom,
    /// Exports that are no tools and are not named.
    more_skipped: usize,
}

impl Found<'_> {
    fn import(&mut self, name: &str) {
        if DENIED.iter().any(|denied| name.starts_with(denied)) {
            self.inspection.denied_imports.push(name.to_owned());
        }
        self.inspection.imports.push(name.to_owned());
    }

    fn skip(&mut self, export: &str, reason: impl Into<String>) {
        if self.inspection.skipped.len() == limits::MAX_SKIPPED_EXPORTS {
            self.more_skipped += 1;
            return;
        }
        self.inspection.skipped.push(SkippedExport { export: shown(export), reason: reason.into() });
    }

    /// One exported function; `export` is what a manifest calls it. An error is about the component.
    fn function(
        &mut self,
        interface: Option<&str>,
        name: &str,
        export: String,
        func: &ComponentFunc,
    ) -> Result<(), InspectError> {
        self.functions += 1;
        if self.functions > limits::MAX_EXPORTED_FUNCTIONS {
            return Err(too_many(
                limits::MAX_EXPORTED_FUNCTIONS,
                "exported functions",
                "MAX_EXPORTED_FUNCTIONS",
            ));
        }
        match leftover(interface, name) {
            Some(reason) => self.skip(&export, reason),
            None if export.len() > limits::MAX_EXTERN_NAME_BYTES => {
                let most = limits::MAX_EXTERN_NAME_BYTES;
                self.skip(&export, format!("has a name of more than {most} bytes (MAX_EXTERN_NAME_BYTES)"));
            }
            None => self.tool(interface, name, export, func),
        }
        if self.inspection.tools.len() > limits::MAX_TOOLS_PER_COMPONENT {
            return Err(too_many(limits::MAX_TOOLS_PER_COMPONENT, "tools", "MAX_TOOLS_PER_COMPONENT"));
        }
        if self.room.is_used_up() {
            return Err(InspectError::Unsupported(format!(
                "the schemas of the functions that the component exports take more than {} bytes together \
                 (MAX_SCHEMAS_BYTES): use smaller types, or split it into several components",
                limits::MAX_SCHEMAS_BYTES
            )));
        }
        Ok(())
    }

    fn tool(&mut self, interface: Option<&str>, name: &str, export: String, func: &ComponentFunc) {
        if let Some(what) = self.asynchronous.get(&(interface, name)) {
            return self.skip(&export, what.reason());
        }
        let schemas = input_schema(func, &mut self.room)
            .and_then(|input| Ok((input, output_schema(func, &mut self.room)?)))
            .map_err(|error| error.to_string())
            .and_then(|(input, output)| {
                // The catalog would refuse the whole component for it.
                let usable = Schema::of_arguments(&input).and(Schema::compile(&output));
                usable.map_err(|error| format!("has no usable schema: {error}"))?;
                Ok((input, output))
            });
        let (input, output) = match schemas {
            Ok(schemas) => schemas,
            Err(reason) => return self.skip(&export, reason),
        };
        let description = match interface {
            Some(interface) => format!("The function {name} of {}.", unversioned(interface)),
            None => format!("The function {name}."),
        };
        let definition = ToolDefinition {
            output_schema: Some(output),
            ..ToolDefinition::new(snake(name), description, input)
        };
        let binding = Binding::Export { interface: interface.map(str::to_owned), function: name.to_owned() };
        let tool = InspectedTool { definition, binding: binding.to_string(), export: Some(export) };
        self.inspection.tools.push(tool);
    }

    /// The `run` of a plain program is a tool where there is no other.
    fn finish(mut self) -> Inspection {
        match self.command.take() {
            Some(interface) if self.inspection.tools.is_empty() => {
                let schema = json!({ "type": "object", "properties": {}, "additionalProperties": false });
                let description = "Runs the program; its result is what it prints.";
                self.inspection.tools.push(InspectedTool {
                    definition: ToolDefinition::new("", description, schema),
                    binding: Binding::Command { interface }.to_string(),
                    export: None,
                });
            }
            Some(interface) => self.skip(&interface, "is an interface of WASI"),
            None => {}
        }
        if self.more_skipped > 0 {
            let export = format!("(and {} more)", self.more_skipped);
            self.inspection.skipped.push(SkippedExport { export, reason: "are not named".to_owned() });
        }
        self.inspection
    }
}

/// The beginning of a name that may be long.
fn shown(name: &str) -> String {
    match name.floor_char_boundary(limits::MAX_FUNCTION_NAME_SHOWN_BYTES) {
        whole if whole == name.len() => name.to_owned(),
        cut => format!("{}…", &name[..cut]),
    }
}

fn too_many(most: usize, what: &str, bound: &str) -> InspectError {
    InspectError::Unsupported(format!(
        "the component has more than {most} {what} ({bound}): split it into several components"
    ))
}

fn tool_of(described: SelfDescribed) -> Result<InspectedTool, InspectError> {
    let SelfDescribed { name, title, description, input_schema, output_schema, annotations, reply, .. } =
        described;
    if !is_tool_name(&name) {
        let shown: String = name.chars().take(80).collect();
        return Err(InspectError::BadDefinition(format!(
            "the component calls a tool {shown:?}: a name takes 1 to 64 of A-Z, a-z, 0-9, '_' and '-'"
        )));
    }
    let parsed = |part: &str, text: &str| -> Result<Value, InspectError> {
        if text.len() > MAX_DEFINITION_BYTES {
            let bytes = text.len();
            return Err(InspectError::BadDefinition(format!(
                "the {part} schema of tool '{name}' has {bytes} bytes, {MAX_DEFINITION_BYTES} at most"
            )));
        }
        serde_json::from_str(text).map_err(|error| {
            InspectError::BadDefinition(format!("the {part} schema of tool '{name}' is not JSON: {error}"))
        })
    };
    let input_schema = parsed("input", &input_schema)?;
    let output_schema = output_schema.map(|text| parsed("output", &text)).transpose()?;
    let binding = Binding::Tool { name: name.clone() };
    let definition = ToolDefinition {
        title,
        output_schema,
        annotations,
        reply,
        inline_wait_seconds: described.inline_wait_seconds.map(u64::from),
        ..ToolDefinition::new(name, description, input_schema)
    };
    Ok(InspectedTool { definition, binding: binding.to_string(), export: None })
}

/// Why a function is no tool whatever its types are.
fn leftover(interface: Option<&str>, name: &str) -> Option<String> {
    if let Some((_, resource)) = name.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        let resource = resource.split('.').next().unwrap_or(resource);
        return Some(format!("belongs to the resource {resource}"));
    }
    match (interface, name) {
        (Some("exports"), "init") => Some("is what componentize-py leaves behind".to_owned()),
        (None, "init") => Some("is what the QuickJS toolchain leaves behind".to_owned()),
        _ => None,
    }
}

fn unversioned(interface: &str) -> &str {
    interface.split_once('@').map_or(interface, |(bare, _)| bare)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{Tool, ToolEntry};
    use crate::sandbox::values::testing;
    use crate::task::ComponentId;

    fn inspected(exports: &str) -> Inspection {
        let text = format!(
            r#"(component
                (import "wasi:sockets/network@0.2.6" (instance))
                (import "wasi:cli/stdout@0.2.6" (instance))
                (import "longhaul:tool/progress@0.1.0" (instance))
                (core module $m
                    (memory (export "memory") 1)
                    (func (export "realloc") (param i32 i32 i32 i32) (result i32) unreachable)
                    (func (export "none"))
                    (func (export "get") (result i32) unreachable)
                    (func (export "put") (param i32))
                    (func (export "text") (param i32 i32) (result i32) unreachable))
                (core instance $i (instantiate $m))
                (alias core export $i "memory" (core memory $memory))
                (func $none (canon lift (core func $i "none")))
                (func $count (param "some-text" string) (result u32)
                    (canon lift (core func $i "text") (memory $memory) (realloc (func $i "realloc"))))
                {exports})"#
        );
        inspect(testing::engine(), &testing::component(&text), Vec::new(), &[]).unwrap()
    }

    /// Name, export and binding of each tool, which the catalog takes as they are.
    fn tools(inspection: &Inspection) -> Vec<(&str, &str, &str)> {
        let id = ComponentId::of_bytes(b"");
        for tool in &inspection.tools {
            ToolEntry::new(Tool::new(tool.definition.clone(), id.clone(), "test")).unwrap();
        }
        let tools = inspection.tools.iter();
        tools
            .map(|tool| (&*tool.definition.name, tool.export.as_deref().unwrap_or(""), &*tool.binding))
            .collect()
    }

    fn skipped(inspection: &Inspection) -> Vec<String> {
        inspection.skipped.iter().map(|skipped| format!("{} {}", skipped.export, skipped.reason)).collect()
    }

    #[test]
    fn each_exported_function_is_a_tool() {
        let found = inspected(
            r#"(instance $stats (export "word-count" (func $count)))
               (export "example:text/stats@1.0.0" (instance $stats))
               (export "inline" (instance $stats))
               (export "do-nothing" (func $none))"#,
        );
        assert_eq!(
            tools(&found),
            [
                ("word_count", "example:text/stats#word-count", "export:example:text/stats@1.0.0#word-count"),
                ("word_count", "inline#word-count", "export:inline#word-count"),
                ("do_nothing", "do-nothing", "export:#do-nothing"),
            ]
        );
        let definition = &found.tools[0].definition;
        assert_eq!(definition.description, "The function word-count of example:text/stats.");
        assert_eq!(definition.input_schema["properties"]["some_text"], json!({ "type": "string" }));
        assert_eq!(definition.output_schema.as_ref().unwrap()["required"], json!(["result"]));
        assert_eq!(found.skipped, []);
        assert_eq!(
            found.imports,
            ["wasi:sockets/network@0.2.6", "wasi:cli/stdout@0.2.6", "longhaul:tool/progress@0.1.0"]
        );
        assert_eq!(found.denied_imports, ["wasi:sockets/network@0.2.6"]);
    }

    #[test]
    fn two_versions_of_an_interface_are_told_apart() {
        let found = inspected(
            r#"(instance $stats (export "count" (func $count)))
               (export "example:text/stats@1.0.0" (instance $stats))
               (export "example:text/stats@2.0.0" (instance $stats))"#,
        );
        let exports: Vec<&str> = tools(&found).iter().map(|(_, export, _)| *export).collect();
        assert_eq!(exports, ["example:text/stats@1.0.0#count", "example:text/stats@2.0.0#count"]);
    }

    #[test]
    fn what_cannot_be_a_tool_is_told_with_the_reason() {
        let deep = (0..70).fold("u8".to_owned(), |inner, _| format!("(tuple {inner})"));
        let longs = "u64 ".repeat(200);
        let found = inspected(&format!(
            r#"(type $thing' (resource (rep i32)))
               (export $thing "thing" (type $thing'))
               (core func $new (canon resource.new $thing'))
               (func (export "[constructor]thing") (result (own $thing)) (canon lift (core func $i "get")))
               (func (export "take") (param "thing" (own $thing)) (canon lift (core func $i "put")))
               (type $deep' {deep})
               (export $deep "deep" (type $deep'))
               (func (export "deeper") (result $deep) (canon lift (core func $i "get")))
               (type $longs' (tuple {longs}))
               (export $longs "longs" (type $longs'))
               (func (export "many") (result $longs) (canon lift (core func $i "get") (memory $memory)))
               (export "init" (func $none))
               (instance $python (export "init" (func $none)))
               (export "exports" (instance $python))
               (export "good" (func $none))
               (instance $cli (export "run" (func $none)))
               (export "wasi:cli/run@0.2.6" (instance $cli))"#
        ));
        assert_eq!(tools(&found), [("good", "good", "export:#good")]);
        assert_eq!(
            skipped(&found),
            [
                "init is what the QuickJS toolchain leaves behind",
                "exports#init is what componentize-py leaves behind",
                "[constructor]thing belongs to the resource thing",
                "take uses a resource, which JSON cannot carry",
                "deeper uses a type that is nested deeper than 64 levels",
                "many has no usable schema: it has 200 regular expressions, 128 at most",
                "wasi:cli/run@0.2.6 is an interface of WASI",
            ]
        );
    }

    #[test]
    fn a_plain_program_is_one_tool_without_a_name() {
        let found = inspected(
            r#"(func $run (result (result)) (canon lift (core func $i "get")))
               (instance $cli (export "run" (func $run)))
               (export "wasi:cli/run@0.2.6" (instance $cli))"#,
        );
        let [tool] = found.tools.as_slice() else { panic!("{found:?}") };
        assert_eq!((&*tool.definition.name, &*tool.binding), ("", "command:wasi:cli/run@0.2.6"));
        assert_eq!(tool.definition.output_schema, None);
        assert_eq!(tool.definition.input_schema["additionalProperties"], json!(false));
        assert_eq!(found.skipped, []);
    }

    #[test]
    fn other_worlds_offer_nothing_and_say_so() {
        let found = inspected(
            r#"(instance $handler (export "handle" (func $none)))
               (export "wasi:http/incoming-handler@0.2.6" (instance $handler))"#,
        );
        assert_eq!(found.tools, []);
        assert_eq!(skipped(&found), ["wasi:http/incoming-handler@0.2.6 is an interface of WASI"]);
    }

    fn described_tool() -> SelfDescribed {
        SelfDescribed {
            name: "book-trip".to_owned(),
            title: Some("Book".to_owned()),
            description: "Books a trip.".to_owned(),
            input_schema: r#"{"type": "object", "$defs": {"z": {}, "a": {}}, "properties": {}}"#.to_owned(),
            output_schema: Some(r#"{"type":"object"}"#.to_owned()),
            annotations: Annotations { read_only: Some(false), ..Annotations::default() },
            reply: Reply::Inline,
            inline_wait_seconds: Some(0),
        }
    }

    const WORLD: &str = r#"(component
        (core module $m (func (export "none")))
        (core instance $i (instantiate $m))
        (func $none (canon lift (core func $i "none")))
        (instance $tools (export "call" (func $none)))
        (export "longhaul:tool/tools@0.1.0" (instance $tools)))"#;

    #[test]
    fn what_a_component_tells_is_taken_verbatim() {
        let component = testing::component(WORLD);
        assert!(describes_itself(testing::engine(), &component));
        let found = inspect(testing::engine(), &component, vec![described_tool()], &[]).unwrap();
        assert_eq!(tools(&found), [("book-trip", "", "tool:book-trip")]);
        let definition = &found.tools[0].definition;
        assert_eq!(
            definition.input_schema.to_string(),
            r#"{"type":"object","$defs":{"z":{},"a":{}},"properties":{}}"#
        );
        assert_eq!((definition.reply, definition.inline_wait_seconds), (Reply::Inline, Some(0)));
        assert_eq!(definition.annotations.read_only, Some(false));
        assert_eq!(definition.title.as_deref(), Some("Book"));
    }

    #[test]
    fn what_a_component_tells_wrongly_is_refused_with_the_tools_name() {
        let component = testing::component(WORLD);
        let refused = |change: fn(&mut SelfDescribed)| {
            let mut described = described_tool();
            change(&mut described);
            match inspect(testing::engine(), &component, vec![described], &[]) {
                Err(InspectError::BadDefinition(message)) => message,
                other => panic!("{other:?}"),
            }
        };
        assert!(refused(|described| described.name = "a\u{202e}b".into()).contains(r#"a tool "a\u{202e}b""#));
        assert!(refused(|described| described.name = String::new()).contains("1 to 64"));
        assert!(
            refused(|described| described.input_schema = "{".into())
                .starts_with("the input schema of tool 'book-trip' is not JSON: EOF")
        );
        assert!(refused(|described| described.output_schema = Some("x".into())).contains("output schema"));
        assert!(refused(|described| described.input_schema = " ".repeat(300_000)).contains("300000 bytes"));
    }

    #[test]
    fn another_version_of_our_world_is_refused_by_name() {
        let component = testing::component(&WORLD.replace("@0.1.0", "@0.2.0"));
        assert!(!describes_itself(testing::engine(), &component));
        let error = inspect(testing::engine(), &component, Vec::new(), &[]).unwrap_err();
        assert!(
            matches!(&error, InspectError::Unsupported(text) if text.contains("longhaul:tool/tools@0.2.0")),
            "{error}"
        );
    }
    /// Functions of many parameters with long names.
    fn wide(functions: usize) -> String {
        let case = format!("case-{}", "a".repeat(60));
        let params: String = (0..900).map(|number| format!(r#"(param "{case}-{number}" bool) "#)).collect();
        let lifted = format!(
            r#"(core module $w (memory (export "m") 1) (func (export "w") (param i32))
                (func (export "r") (param i32 i32 i32 i32) (result i32) unreachable))
            (core instance $w (instantiate $w))
            (func $f {params} (canon lift (core func $w "w") (memory $w "m") (realloc (func $w "r"))))"#
        );
        let exports: String =
            (0..functions).map(|number| format!(r#"(export "f{number}" (func $f))"#)).collect();
        format!("(component {lifted} {exports})")
    }

    fn found(wat: &str) -> Result<Inspection, InspectError> {
        inspect(testing::engine(), &testing::component(wat), Vec::new(), &[])
    }

    #[test]
    fn what_the_exports_of_a_component_cost_is_bounded_by_name() {
        let refused = |wat: &str| match found(wat) {
            Err(InspectError::Unsupported(words)) => words,
            other => panic!("{other:?}"),
        };
        let plain = |count: usize| {
            let exports: String =
                (0..count).map(|number| format!(r#"(export "f{number}" (func $f))"#)).collect();
            format!(
                r#"(component (core module $m (func (export "none"))) (core instance $i (instantiate $m))
                    (func $f (canon lift (core func $i "none"))) {exports})"#
            )
        };
        assert_eq!(
            found(&plain(limits::MAX_TOOLS_PER_COMPONENT)).map(|found| found.tools.len()),
            Ok(limits::MAX_TOOLS_PER_COMPONENT)
        );
        let seen = refused(&plain(limits::MAX_TOOLS_PER_COMPONENT + 1));
        assert!(seen.contains("MAX_TOOLS_PER_COMPONENT"), "{seen}");
        assert_eq!(found(&wide(2)).map(|found| found.tools.len()), Ok(2));
        let seen = refused(&wide(200));
        assert!(seen.contains("MAX_SCHEMAS_BYTES"), "{seen}");
        let many: Vec<SelfDescribed> = vec![described_tool(); limits::MAX_TOOLS_PER_COMPONENT + 1];
        let seen = inspect(testing::engine(), &testing::component(WORLD), many, &[]).map(drop);
        assert!(seen.expect_err("too many").to_string().contains("MAX_TOOLS_PER_COMPONENT"));
    }

    #[test]
    fn of_exports_that_are_no_tools_a_few_are_named_and_all_are_counted() {
        let methods = |count: usize| {
            let methods: String =
                (0..count).map(|number| format!(r#"(export "[static]thing.f{number}" (func $f))"#)).collect();
            format!(
                r#"(component
                    (core module $m (func (export "none"))) (core instance $i (instantiate $m))
                    (type $r' (resource (rep i32))) (func $f (canon lift (core func $i "none")))
                    (export $r "thing" (type $r')) {methods})"#
            )
        };
        let few = found(&methods(limits::MAX_SKIPPED_EXPORTS)).expect("an inspection");
        assert_eq!(few.skipped.len(), limits::MAX_SKIPPED_EXPORTS);
        let more = found(&methods(limits::MAX_SKIPPED_EXPORTS + 40)).expect("an inspection");
        assert_eq!(more.skipped.len(), limits::MAX_SKIPPED_EXPORTS + 1);
        assert!(more.skipped.last().is_some_and(|last| last.export == "(and 40 more)"), "{more:?}");
        let seen = found(&methods(limits::MAX_EXPORTED_FUNCTIONS + 1)).map(drop);
        assert!(seen.expect_err("too many").to_string().contains("MAX_EXPORTED_FUNCTIONS"));
    }
}
