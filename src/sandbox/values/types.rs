//! Types of the component model: their names, and what is asked of them.

use wasmtime::component::Type;

/// A value is not of the type that it is said to have. Values that wasmtime lifted always are, so this is a
/// mistake of the host.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the host met a value that is no {expected}, where its type says so")]
pub struct Mismatch {
    pub expected: &'static str,
}

/// How a tool, a parameter or a record's field is called in JSON: kebab case becomes snake case.
pub fn snake(kebab: &str) -> String {
    kebab.replace('-', "_").to_ascii_lowercase()
}

/// Whether values of the type hold `list<u8>`.
pub fn has_bytes(ty: &Type) -> bool {
    match ty {
        Type::List(list) => matches!(list.ty(), Type::U8) || has_bytes(&list.ty()),
        Type::FixedLengthList(list) => has_bytes(&list.ty()),
        Type::Map(map) => has_bytes(&map.value()),
        Type::Record(record) => record.fields().any(|field| has_bytes(&field.ty)),
        Type::Tuple(tuple) => tuple.types().any(|ty| has_bytes(&ty)),
        Type::Variant(variant) => variant.cases().filter_map(|case| case.ty).any(|ty| has_bytes(&ty)),
        Type::Option(option) => has_bytes(&option.ty()),
        Type::Result(result) => [result.ok(), result.err()].into_iter().flatten().any(|ty| has_bytes(&ty)),
        _ => false,
    }
}

/// What the type is called in WIT.
pub(super) fn describe(ty: &Type) -> &'static str {
    match ty {
        Type::Bool => "bool",
        Type::S8 => "s8",
        Type::U8 => "u8",
        Type::S16 => "s16",
        Type::U16 => "u16",
        Type::S32 => "s32",
        Type::U32 => "u32",
        Type::S64 => "s64",
        Type::U64 => "u64",
        Type::Float32 => "f32",
        Type::Float64 => "f64",
        Type::Char => "char",
        Type::String => "string",
        Type::List(_) => "list",
        Type::FixedLengthList(_) => "list of fixed length",
        Type::Map(_) => "map",
        Type::Record(_) => "record",
        Type::Tuple(_) => "tuple",
        Type::Variant(_) => "variant",
        Type::Enum(_) => "enum",
        Type::Option(_) => "option",
        Type::Result(_) => "result",
        Type::Flags(_) => "flags",
        Type::Own(_) | Type::Borrow(_) => "resource",
        Type::Future(_) => "future",
        Type::Stream(_) => "stream",
        Type::ErrorContext => "error-context",
    }
}
