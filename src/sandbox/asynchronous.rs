//! What of a component's bytes belongs to the asynchronous part of the component model, which the engine does not
//! validate: an author learns the names of the functions, not the offset at which parsing ended.

use std::collections::{BTreeSet, HashSet};

use wasmparser::component_types::{
    ComponentDefinedType, ComponentDefinedTypeId, ComponentEntityType, ComponentFuncType, ComponentValType,
};
use wasmparser::{
    CanonicalFunction, CanonicalOption, Parser, Payload, PrimitiveValType, Validator, WasmFeatures,
};

use crate::catalog::show_hidden;
use crate::limits;

/// The asynchronous constructs of one component.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Asynchronous {
    /// Exported functions with what they use: `tail-log uses a stream`.
    pub exports: Vec<String>,
    /// The same of imported functions.
    pub imports: Vec<String>,
    /// Kinds of built-ins: `task`, `waitable-set`.
    pub builtins: BTreeSet<&'static str>,
}

impl Asynchronous {
    /// Reads the whole component: for one that was refused. Of bytes that no validator takes, only the built-ins.
    pub fn of(bytes: &[u8]) -> Self {
        let names = Names::of(bytes);
        let mut found = Self { builtins: names.builtins, ..Self::default() };
        let Ok(types) = Validator::new_with_features(WasmFeatures::all()).validate_all(bytes) else {
            return found;
        };
        let types = types.as_ref();
        for name in &names.exports {
            if let Some(item) = types.component_item_for_export(name) {
                item_uses(types, name, &item.ty, &mut found.exports);
            }
        }
        for name in &names.imports {
            if let Some(item) = types.component_item_for_import(name) {
                item_uses(types, name, &item.ty, &mut found.imports);
            }
        }
        found
    }

    /// What was found; `None` where nothing was.
    pub fn describe(&self) -> Option<Described> {
        let mut parts = Vec::new();
        for (what, uses) in [("exported", &self.exports), ("imported", &self.imports)] {
            let shown = uses.get(..limits::MAX_NAMED_FUNCTIONS).unwrap_or(uses);
            if !shown.is_empty() {
                let more = match uses.len() - shown.len() {
                    0 => String::new(),
                    more => format!(", and {more} more do the like"),
                };
                parts.push(format!("of its {what} functions {}{more}", shown.join(", ")));
            }
        }
        let is_of_builtins = parts.is_empty();
        if is_of_builtins && !self.builtins.is_empty() {
            let builtins: Vec<&str> = self.builtins.iter().copied().collect();
            parts.push(format!("it holds asynchronous built-ins ({})", builtins.join(", ")));
        }
        (!parts.is_empty()).then(|| Described { words: parts.join("; "), is_of_builtins })
    }
}

/// What is asynchronous in a component, as a clause.
pub(super) struct Described {
    pub words: String,
    /// No function says so by its type: the toolchain put them there.
    pub is_of_builtins: bool,
}

/// Names of the outermost component's imports and exports, and the built-ins of all of them.
#[derive(Default)]
struct Names<'a> {
    imports: Vec<&'a str>,
    exports: Vec<&'a str>,
    builtins: BTreeSet<&'static str>,
}

impl<'a> Names<'a> {
    fn of(bytes: &'a [u8]) -> Self {
        let mut names = Self::default();
        let mut depth = 0usize;
        for payload in Parser::new(0).parse_all(bytes) {
            match payload {
                Ok(Payload::ModuleSection { .. } | Payload::ComponentSection { .. }) => depth += 1,
                Ok(Payload::End(_)) => depth = depth.saturating_sub(1),
                Ok(Payload::ComponentImportSection(section)) if depth == 0 => {
                    names.imports.extend(section.into_iter().flatten().map(|import| import.name.name));
                }
                Ok(Payload::ComponentExportSection(section)) if depth == 0 => {
                    names.exports.extend(section.into_iter().flatten().map(|export| export.name.name));
                }
                Ok(Payload::ComponentCanonicalSection(section)) => {
                    names.builtins.extend(section.into_iter().flatten().filter_map(|canon| builtin(&canon)));
                }
                Ok(_) => {}
                Err(_) => break,
            }
        }
        names
    }
}

/// The kind of an asynchronous built-in.
fn builtin(canon: &CanonicalFunction) -> Option<&'static str> {
    use CanonicalFunction as F;
    Some(match canon {
        F::Lift { options, .. } | F::Lower { options, .. } => {
            return options.contains(&CanonicalOption::Async).then_some("async");
        }
        F::ResourceNew { .. } | F::ResourceDrop { .. } | F::ResourceRep { .. } => return None,
        F::BackpressureInc | F::BackpressureDec => "backpressure",
        F::TaskReturn { .. } | F::TaskCancel => "task",
        F::ContextGet { .. } | F::ContextSet { .. } => "context",
        F::SubtaskDrop | F::SubtaskCancel { .. } => "subtask",
        F::StreamNew { .. }
        | F::StreamRead { .. }
        | F::StreamWrite { .. }
        | F::StreamCancelRead { .. }
        | F::StreamCancelWrite { .. }
        | F::StreamDropReadable { .. }
        | F::StreamDropWritable { .. } => "stream",
        F::FutureNew { .. }
        | F::FutureRead { .. }
        | F::FutureWrite { .. }
        | F::FutureCancelRead { .. }
        | F::FutureCancelWrite { .. }
        | F::FutureDropReadable { .. }
        | F::FutureDropWritable { .. } => "future",
        F::ErrorContextNew { .. } | F::ErrorContextDebugMessage { .. } | F::ErrorContextDrop => {
            "error-context"
        }
        F::WaitableSetNew
        | F::WaitableSetWait { .. }
        | F::WaitableSetPoll { .. }
        | F::WaitableSetDrop
        | F::WaitableJoin => "waitable-set",
        _ => "thread",
    })
}

type Types<'a> = wasmparser::types::TypesRef<'a>;

fn item_uses(types: Types<'_>, name: &str, item: &ComponentEntityType, found: &mut Vec<String>) {
    match item {
        ComponentEntityType::Func(id) => {
            if let Some(uses) = function_uses(types, &types[*id]) {
                let end = name.floor_char_boundary(limits::MAX_FUNCTION_NAME_SHOWN_BYTES);
                found.push(format!("{} {uses}", show_hidden(&name[..end])));
            }
        }
        ComponentEntityType::Instance(id) => {
            for (inner, item) in &types[*id].exports {
                if matches!(item.ty, ComponentEntityType::Func(_)) {
                    item_uses(types, &format!("{name}#{inner}"), &item.ty, found);
                }
            }
        }
        _ => {}
    }
}

fn function_uses(types: Types<'_>, function: &ComponentFuncType) -> Option<&'static str> {
    if function.async_ {
        return Some("is async");
    }
    let mut seen = HashSet::new();
    let mut values = function.params.iter().map(|(_, ty)| *ty).chain(function.result);
    values.find_map(|ty| value_uses(types, ty, &mut seen))
}

/// Types form a graph without circles, of which each is looked at once.
fn value_uses(
    types: Types<'_>,
    ty: ComponentValType,
    seen: &mut HashSet<ComponentDefinedTypeId>,
) -> Option<&'static str> {
    let id = match ty {
        ComponentValType::Primitive(PrimitiveValType::ErrorContext) => return Some("uses an error-context"),
        ComponentValType::Primitive(_) => return None,
        ComponentValType::Type(id) => id,
    };
    if !seen.insert(id) {
        return None;
    }
    let inner: Vec<ComponentValType> = match &types[id] {
        ComponentDefinedType::Stream { .. } => return Some("uses a stream"),
        ComponentDefinedType::Future { .. } => return Some("uses a future"),
        ComponentDefinedType::Primitive(ty) => vec![ComponentValType::Primitive(*ty)],
        ComponentDefinedType::Record(record) => record.fields.values().copied().collect(),
        ComponentDefinedType::Variant(variant) => variant.cases.values().filter_map(|case| case.ty).collect(),
        ComponentDefinedType::Tuple(tuple) => tuple.types.to_vec(),
        ComponentDefinedType::List { element, .. }
        | ComponentDefinedType::FixedLengthList { element, .. } => {
            vec![*element]
        }
        ComponentDefinedType::Map { key, value, .. } => vec![*key, *value],
        ComponentDefinedType::Option { ty, .. } => vec![*ty],
        ComponentDefinedType::Result { ok, err, .. } => [*ok, *err].into_iter().flatten().collect(),
        ComponentDefinedType::Flags(_)
        | ComponentDefinedType::Enum(_)
        | ComponentDefinedType::Own(_)
        | ComponentDefinedType::Borrow(_) => Vec::new(),
    };
    inner.into_iter().find_map(|ty| value_uses(types, ty, seen))
}
