//! What of a component's bytes belongs to the asynchronous part of the component model, which the engine does not
//! validate: an author learns the names of the functions, not the offset at which parsing ended. See `synchronous.rs` for
//! what becomes of it.

use std::collections::{BTreeSet, HashSet};

use wasmparser::component_types::{
    ComponentDefinedType, ComponentDefinedTypeId, ComponentEntityType, ComponentFuncType, ComponentValType,
};
use wasmparser::types::{Types, TypesRef};
use wasmparser::{
    CanonicalFunction, CanonicalOption, Parser, Payload, PrimitiveValType, ValidPayload, Validator,
    WasmFeatures,
};

use crate::catalog::show_hidden;
use crate::limits;

/// The asynchronous constructs of one component.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Asynchronous {
    pub exports: Vec<Use>,
    pub imports: Vec<Use>,
    /// Kinds of built-ins: `task`, `waitable-set`.
    pub builtins: BTreeSet<&'static str>,
}

/// A function whose type cannot do without.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Use {
    /// `None` where the world itself has the function.
    pub interface: Option<String>,
    pub function: String,
    pub what: What,
}

/// The first asynchronous thing in a function's type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    Async,
    Stream,
    Future,
    ErrorContext,
}

impl What {
    fn words(self) -> &'static str {
        match self {
            Self::Async => "is async",
            Self::Stream => "uses a stream",
            Self::Future => "uses a future",
            Self::ErrorContext => "uses an error-context",
        }
    }

    /// Why such a function is no tool, and what there may be in its place.
    pub fn reason(self) -> String {
        let then = match self {
            Self::Async => ": a plain function may wait as long as it likes",
            Self::Stream => ", which JSON cannot carry: a list<u8> or a string can be in its place",
            Self::Future => ", which JSON cannot carry: the value itself can be in its place",
            Self::ErrorContext => ", which JSON cannot carry: a string can be in its place",
        };
        format!("{}{then}", self.words())
    }
}

impl Use {
    fn is_in(&self, namespace: &str) -> bool {
        self.interface.as_deref().is_some_and(|interface| interface.starts_with(namespace))
    }

    /// `tail-log uses a stream`.
    fn shown(&self) -> String {
        let name = match &self.interface {
            Some(interface) => format!("{interface}#{}", self.function),
            None => self.function.clone(),
        };
        let end = name.floor_char_boundary(limits::MAX_FUNCTION_NAME_SHOWN_BYTES);
        format!("{} {}", show_hidden(&name[..end]), self.what.words())
    }
}

impl Asynchronous {
    /// Reads all types of the component, and no code. Of bytes that no validator takes, only the built-ins.
    pub fn of(bytes: &[u8]) -> Self {
        let names = Names::of(bytes);
        let mut found = Self { builtins: names.builtins, ..Self::default() };
        let Some(types) = types(bytes) else { return found };
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

    /// Whether the component needs what it has of these, so that it cannot be taken without them: from outside, in a
    /// world that is not its own, or as threads.
    pub fn is_needed(&self) -> bool {
        !self.imports.is_empty()
            || self.builtins.contains(THREAD)
            || self.exports.iter().any(|export| export.is_in("wasi:") || export.is_in("longhaul:tool/"))
    }

    /// What was found; `None` where nothing was.
    pub fn describe(&self) -> Option<Described> {
        let mut parts = Vec::new();
        for (what, uses) in [("exported", &self.exports), ("imported", &self.imports)] {
            let shown: Vec<String> = uses.iter().take(limits::MAX_NAMED_FUNCTIONS).map(Use::shown).collect();
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

/// The kind of the built-ins that make threads or switch between them.
const THREAD: &str = "thread";

/// The types of the outermost component.
fn types(bytes: &[u8]) -> Option<Types> {
    let mut validator = Validator::new_with_features(WasmFeatures::all());
    let mut last = None;
    for payload in Parser::new(0).parse_all(bytes) {
        if let ValidPayload::End(types) = validator.payload(&payload.ok()?).ok()? {
            last = Some(types);
        }
    }
    last
}

/// The kind of an asynchronous built-in.
pub(super) fn builtin(canon: &CanonicalFunction) -> Option<&'static str> {
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
        F::ThreadYield { .. } => "yield",
        _ => THREAD,
    })
}

fn item_uses(types: TypesRef<'_>, name: &str, item: &ComponentEntityType, found: &mut Vec<Use>) {
    let mut add = |interface: Option<&str>, function: &str, ty: &ComponentEntityType| {
        let ComponentEntityType::Func(id) = ty else { return };
        if let Some(what) = function_uses(types, &types[*id]) {
            let interface = interface.map(str::to_owned);
            found.push(Use { interface, function: function.to_owned(), what });
        }
    };
    match item {
        ComponentEntityType::Instance(id) => {
            types[*id].exports.iter().for_each(|(inner, item)| add(Some(name), inner, &item.ty));
        }
        ty => add(None, name, ty),
    }
}

fn function_uses(types: TypesRef<'_>, function: &ComponentFuncType) -> Option<What> {
    if function.async_ {
        return Some(What::Async);
    }
    let mut seen = HashSet::new();
    let mut values = function.params.iter().map(|(_, ty)| *ty).chain(function.result);
    values.find_map(|ty| value_uses(types, ty, &mut seen))
}

/// Types form a graph without circles, of which each is looked at once.
fn value_uses(
    types: TypesRef<'_>,
    ty: ComponentValType,
    seen: &mut HashSet<ComponentDefinedTypeId>,
) -> Option<What> {
    let id = match ty {
        ComponentValType::Primitive(PrimitiveValType::ErrorContext) => return Some(What::ErrorContext),
        ComponentValType::Primitive(_) => return None,
        ComponentValType::Type(id) => id,
    };
    if !seen.insert(id) {
        return None;
    }
    let inner: Vec<ComponentValType> = match &types[id] {
        ComponentDefinedType::Stream { .. } => return Some(What::Stream),
        ComponentDefinedType::Future { .. } => return Some(What::Future),
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
