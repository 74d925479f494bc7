//! Which bytes are taken as a component, and in what words the others are refused.

use super::asynchronous::{Asynchronous, Described};
use super::synchronous;
use super::toolchain::Toolchain;
use crate::engine::InspectError;
use crate::limits;
use wasmparser::{Parser, Payload};

const COMPONENT: [u8; 8] = [0, b'a', b's', b'm', 0x0d, 0, 1, 0];
const CORE_MODULE: [u8; 8] = [0, b'a', b's', b'm', 1, 0, 0, 0];

/// Checks what can be checked without work, then compiles. Takes seconds for a big component: not for threads that serve
/// others.
pub(super) fn compile<T>(
    bytes: &[u8],
    compile: impl Fn(&[u8]) -> wasmtime::Result<T>,
) -> Result<T, InspectError> {
    if bytes.len() > limits::MAX_COMPONENT_BYTES {
        return Err(InspectError::Unsupported(format!(
            "the component has {} bytes, more than the {} that are taken (MAX_COMPONENT_BYTES)",
            bytes.len(),
            limits::MAX_COMPONENT_BYTES
        )));
    }
    if bytes.starts_with(&CORE_MODULE) {
        return Err(InspectError::NotAComponent(core_module_advice(bytes)));
    }
    if !bytes.starts_with(&COMPONENT) {
        return Err(InspectError::NotAComponent(
            "this is no WebAssembly component: it does not begin as one".to_owned(),
        ));
    }
    refuse_bombs(bytes)?;
    // Before compiling: what the validator meets first of the proposals behind WASI 0.3 tells less.
    if let Some(name) = wasi_0_3_name(bytes) {
        return Err(InspectError::Unsupported(wasi_0_3_advice(&name, &Toolchain::of(bytes))));
    }
    compile(bytes).or_else(|error| without_asynchronous(bytes, &error, compile))
}

/// Why a component has no machine code, where that is its own fault.
pub(super) fn exceeds_a_bound(error: &wasmtime::Error) -> InspectError {
    InspectError::Unsupported(format!("the component is not valid, or exceeds a bound: {error:#}"))
}

/// A compilation that did not end.
pub(super) fn too_slow(seconds: u64) -> String {
    format!("compiling the component takes more than {seconds} s (MAX_COMPILE_SECONDS)")
}

/// What was refused may only have parts that nothing else in it needs: those that `Asynchronous` finds.
fn without_asynchronous<T>(
    bytes: &[u8],
    error: &wasmtime::Error,
    compile: impl Fn(&[u8]) -> wasmtime::Result<T>,
) -> Result<T, InspectError> {
    let asynchronous = Asynchronous::of(bytes);
    let Some(described) = asynchronous.describe() else {
        return Err(exceeds_a_bound(error));
    };
    if asynchronous.is_needed() {
        return Err(needs_asynchronous(&described, bytes));
    }
    // Another fault is the one to tell: what is asynchronous would have been no reason to refuse it.
    let still = |reason: String| {
        InspectError::Unsupported(format!(
            "the component is not valid, or exceeds a bound: {reason}; its asynchronous parts, which are put aside, are \
             not the reason: {}",
            described.words
        ))
    };
    let rest = synchronous::of(bytes).map_err(still)?;
    refuse_bombs(&rest)?;
    compile(&rest).map_err(|error| still(format!("{error:#}")))
}

/// What makes a component of a module. One that imports `wasi_snapshot_preview1` needs the adapter besides.
fn core_module_advice(bytes: &[u8]) -> String {
    const PREVIEW1: &str = "wasi_snapshot_preview1";
    let (mut is_preview1, mut is_command) = (false, false);
    for payload in Parser::new(0).parse_all(bytes) {
        match payload {
            Ok(Payload::ImportSection(section)) => {
                is_preview1 |= section.into_imports().flatten().any(|import| import.module == PREVIEW1);
            }
            Ok(Payload::ExportSection(section)) => {
                is_command |= section.into_iter().flatten().any(|export| export.name == "_start");
            }
            Ok(_) => {}
            Err(_) => break,
        }
    }
    let kind = if is_command { "command" } else { "reactor" };
    let adapted = if is_preview1 {
        format!(
            "; since it imports {PREVIEW1}, it also needs the adapter {PREVIEW1}.{kind}.wasm, which comes with each \
             release of wasmtime: `wasm-tools component new MODULE.wasm --adapt {PREVIEW1}.{kind}.wasm -o \
             COMPONENT.wasm`"
        )
    } else {
        "; `wasm-tools component new MODULE.wasm -o COMPONENT.wasm` does it for a module that wit-bindgen or \
         `wasm-tools component embed` prepared"
            .to_owned()
    };
    format!(
        "this is a core WebAssembly module, not a component: build it for the target wasm32-wasip2 (Rust, C and C++ \
         have it), or make it one{adapted}"
    )
}

/// The linker found no implementation for an import.
pub(super) fn missing_import(error: &wasmtime::Error) -> InspectError {
    InspectError::Unsupported(format!(
        "the component needs an interface that Longhaul does not offer; it offers WASI 0.2 and longhaul:tool@0.1: \
         {error:#}"
    ))
}

fn needs_asynchronous(asynchronous: &Described, bytes: &[u8]) -> InspectError {
    let next = if asynchronous.is_of_builtins && Toolchain::of(bytes).is_quickjs() {
        "build it with `jco componentize --backend quickjs --backend-qjs-disable-async`"
    } else if asynchronous.is_of_builtins {
        "build it without its toolchain's support for asynchronous functions"
    } else {
        "build it without them. In the place of a stream or a future a \
         function may return list<u8> or a string, in the place of an async function there may be a plain one, which \
         may wait as long as it likes"
    };
    InspectError::Unsupported(format!(
        "the component needs the asynchronous part of the component model, which is not supported yet: {}; {next}",
        asynchronous.words
    ))
}

/// What would take the compiler very long, or very much memory. Bytes that cannot be parsed pass: compiling
/// says why.
fn refuse_bombs(bytes: &[u8]) -> Result<(), InspectError> {
    let mut functions = 0usize;
    for payload in Parser::new(0).parse_all(bytes) {
        let Ok(Payload::CodeSectionEntry(body)) = payload else {
            if payload.is_err() {
                break;
            }
            continue;
        };
        functions += 1;
        let length = body.range().len();
        if functions > limits::MAX_COMPONENT_FUNCTIONS {
            return Err(InspectError::Unsupported(format!(
                "the component has more than {} functions (MAX_COMPONENT_FUNCTIONS)",
                limits::MAX_COMPONENT_FUNCTIONS
            )));
        }
        if length > limits::MAX_FUNCTION_BYTES {
            return Err(InspectError::Unsupported(format!(
                "a function of the component has {length} bytes, more than the {} that are compiled \
                 (MAX_FUNCTION_BYTES): build it without so much inlining",
                limits::MAX_FUNCTION_BYTES
            )));
        }
    }
    Ok(())
}

/// Names what made the component, and what gives one for WASI 0.2.
fn wasi_0_3_advice(name: &str, made_by: &Toolchain) -> String {
    let next = made_by.to_wasi_0_2();
    let tools = match made_by.clone().into_names() {
        tools if tools.is_empty() => String::new(),
        tools => format!(" (made by {})", tools.join(", ")),
    };
    format!("the component{tools} uses {name}; WASI 0.3 is not supported yet: {next}")
}

/// The first import or export of WASI 0.3. Bytes that cannot be parsed have none: compiling says why.
fn wasi_0_3_name(bytes: &[u8]) -> Option<String> {
    let is_wasi_0_3 = |name: &str| name.starts_with("wasi:") && name.contains("@0.3");
    for payload in Parser::new(0).parse_all(bytes) {
        let mut names: Vec<&str> = Vec::new();
        match payload.ok()? {
            Payload::ComponentImportSection(section) => {
                names.extend(section.into_iter().flatten().map(|import| import.name.name));
            }
            Payload::ComponentExportSection(section) => {
                names.extend(section.into_iter().flatten().map(|export| export.name.name));
            }
            _ => {}
        }
        if let Some(name) = names.into_iter().find(|name| is_wasi_0_3(name)) {
            return Some(name.to_owned());
        }
    }
    None
}
