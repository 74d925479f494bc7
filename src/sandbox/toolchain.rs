//! What a component's bytes say of how it was made, and what follows from it for its tasks: a toolchain that takes a
//! snapshot of a running interpreter keeps in it what the script drew at the build.

use wasmparser::{KnownCustom, Name, Parser, Payload};

use crate::catalog::show_hidden;
use crate::limits;

/// Toolchains that run an interpreter at the build, and what its runtime is called in their output.
const PYTHON: (&str, &str) = ("componentize-py", "componentize_py_runtime.wasm");
const QUICKJS: (&str, &str) = ("componentize-qjs", "componentize_qjs_runtime.wasm");
const STARLING_MONKEY: &str = "ComponentizeJS";
/// What else leaves its name after a snapshot.
const SNAPSHOTS: [&str; 3] = ["component-init-transform", "component-init", "wizer"];

/// The tools that processed a component, as `NAME` or `NAME VERSION`, each once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Toolchain(Vec<String>);

impl Toolchain {
    /// From the producers of the component and of all that is nested in it, and from the names of modules. Bytes that
    /// cannot be parsed have none.
    pub fn of(bytes: &[u8]) -> Self {
        let mut found = Self::default();
        for payload in Parser::new(0).parse_all(bytes) {
            match payload {
                Ok(Payload::CustomSection(section)) => found.custom(&section.as_known()),
                Ok(Payload::ExportSection(section)) => {
                    section.into_iter().flatten().for_each(|export| found.runtime(export.name));
                }
                Ok(Payload::ImportSection(section)) => {
                    section.into_imports().flatten().for_each(|import| found.runtime(import.name));
                }
                Ok(_) => {}
                Err(_) => break,
            }
        }
        found
    }

    fn custom(&mut self, section: &KnownCustom<'_>) {
        match section {
            KnownCustom::Producers(fields) => {
                let fields =
                    fields.clone().into_iter().flatten().filter(|field| field.name == "processed-by");
                for tool in fields.flat_map(|field| field.values.into_iter().flatten()) {
                    self.add(tool.name, tool.version);
                }
            }
            KnownCustom::Name(names) => {
                for name in names.clone().flatten() {
                    if let Name::Module { name, .. } = name {
                        self.runtime(name);
                    }
                }
            }
            _ => {}
        }
    }

    /// Toolchains that do not write themselves into the producers.
    fn runtime(&mut self, name: &str) {
        for (tool, runtime) in [PYTHON, QUICKJS] {
            if name.starts_with(runtime) {
                self.add(tool, "");
            }
        }
    }

    fn add(&mut self, name: &str, version: &str) {
        // rustc's has its commit and date behind the number.
        let version = version.split_whitespace().next().unwrap_or_default();
        let tool = format!("{name} {version}");
        let tool = tool.trim();
        let shown =
            show_hidden(&tool[..tool.floor_char_boundary(limits::MAX_TOOLCHAIN_NAME_BYTES)]).into_owned();
        if self.0.len() < limits::MAX_TOOLCHAINS && !self.0.contains(&shown) {
            self.0.push(shown);
        }
    }

    fn has(&self, tool: &str) -> bool {
        self.0.iter().any(|shown| shown.split(' ').next() == Some(tool))
    }

    pub fn is_quickjs(&self) -> bool {
        self.has(QUICKJS.0)
    }

    /// How each of them gives a component for WASI 0.2, as far as the versions that were tried do.
    pub fn to_wasi_0_2(&self) -> &'static str {
        if self.has(PYTHON.0) {
            "build it with componentize-py 0.25.1, which gives WASI 0.2 (pip install componentize-py==0.25.1)"
        } else if self.is_quickjs() {
            "build it with componentize-qjs 0.4.5 and --sync (of jco, --backend-qjs-disable-async), which gives WASI 0.2"
        } else if self.has(STARLING_MONKEY) {
            "build it with @bytecodealliance/componentize-js 0.23.0, which gives WASI 0.2"
        } else {
            "build it for WASI 0.2 (target wasm32-wasip2)"
        }
    }

    pub fn into_names(self) -> Vec<String> {
        self.0
    }

    /// What the author of a component that was made like this should know; `imports` are its interfaces.
    pub fn notes(&self, imports: &[String]) -> Vec<String> {
        let draws = imports.iter().any(|import| import.starts_with("wasi:random/random@"));
        let frozen =
            "made by a snapshot of a running interpreter: what ran at its build is the same in every task";
        let made = |tool: &str, then: &str| vec![format!("{tool}: {frozen}. {then}")];
        if self.has(PYTHON.0) {
            return made(
                PYTHON.0,
                match draws {
                    true => {
                        "Python's generators and ids that are made while modules are imported (random.Random(), \
                         uuid.uuid4()) are fixed at the build: make them in the function. hash() of a string is the same \
                         there too, since its seed is drawn at the build: use hashlib or random"
                    }
                    false => {
                        "It imports no wasi:random/random (--stub-wasi): random numbers are fixed at the build or trap, and \
                         nothing reaches the log. Build it without --stub-wasi"
                    }
                },
            );
        }
        if self.is_quickjs() {
            return made(
                QUICKJS.0,
                match draws {
                    true => {
                        "Math.random() is seeded at the build, so that its random numbers are the same in every task: \
                         call get-random-u64 of wasi:random/random"
                    }
                    false => {
                        "Math.random() is seeded at the build, so that its random numbers are the same in every task: \
                         import wasi:random/random in the world and call get-random-u64"
                    }
                },
            );
        }
        if self.has(STARLING_MONKEY) {
            return made(
                STARLING_MONKEY,
                match draws {
                    true => "Math.random() and crypto draw anew in each task",
                    false => {
                        "It imports no wasi:random/random, so that its random numbers are fixed at the build: do not \
                         disable random"
                    }
                },
            );
        }
        match SNAPSHOTS.iter().find(|tool| self.has(tool)) {
            Some(tool) if draws => made(tool, "Seed generators in the function, not before"),
            Some(tool) => made(
                tool,
                "It imports no wasi:random/random, so that its random numbers are fixed at the build",
            ),
            None => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Toolchain {
        Toolchain::of(&wat::parse_str(text).unwrap())
    }

    const DRAWS: &str = "wasi:random/random@0.2.6";

    #[test]
    fn producers_are_found_wherever_they_are_nested() {
        let found = of(r#"(component
            (component (core module $m (@producers (processed-by "ComponentizeJS" "0.22.0")
                (processed-by "rustc" "1.96.0 (ac68faa20 2026-05-25)") (language "C11" ""))))
            (@producers (processed-by "wit-component" "0.258.0")))"#);
        assert_eq!(
            found.clone().into_names(),
            ["ComponentizeJS 0.22.0", "rustc 1.96.0", "wit-component 0.258.0"]
        );
        assert!(found.notes(&[DRAWS.to_owned()])[0].contains("draw anew"));
        assert!(found.notes(&[])[0].contains("fixed at the build"));
    }

    #[test]
    fn a_runtime_is_known_by_its_name_too() {
        let python = of(r#"(component (core module $componentize_py_runtime.wasm))"#);
        assert_eq!(python.clone().into_names(), ["componentize-py"]);
        assert!(python.notes(&[DRAWS.to_owned()])[0].contains("make them in the function"));
        assert!(python.notes(&["wasi:io/poll@0.2.6".to_owned()])[0].contains("--stub-wasi"));
        let quickjs = of(r#"(component (core module
            (import "env" "componentize_qjs_runtime.wasm:memory_base" (global i32))))"#);
        assert!(quickjs.is_quickjs());
        assert!(quickjs.notes(&[])[0].contains("Math.random()"), "{quickjs:?}");
        let other =
            of(r#"(component (core module (@producers (processed-by "component-init-transform" "0.2.0"))))"#);
        assert!(other.notes(&[])[0].starts_with("component-init-transform: made by a snapshot"));
    }

    #[test]
    fn the_way_back_to_wasi_0_2_is_that_of_the_toolchain() {
        let way = |text: &str| of(text).to_wasi_0_2();
        assert!(way("(component (core module $componentize_py_runtime.wasm))").contains("componentize-py=="));
        assert!(way("(component (core module $componentize_qjs_runtime.wasm))").contains("--sync"));
        let starling = r#"(component (core module (@producers (processed-by "ComponentizeJS" "0.30.0"))))"#;
        assert!(way(starling).contains("componentize-js 0.23.0"));
        let rust = r#"(component (core module (@producers (processed-by "rustc" "1.99.0"))))"#;
        assert!(way(rust).contains("wasm32-wasip2"));
    }

    #[test]
    fn compiled_code_has_no_notes_and_names_stay_within_their_bounds() {
        let rust = of(
            r#"(component (core module (@producers (processed-by "rustc" "1.96.0") (processed-by "clang" ""))))"#,
        );
        assert_eq!(rust.clone().into_names(), ["rustc 1.96.0", "clang"]);
        assert_eq!(rust.notes(&[]), [""; 0]);
        let many: String = (0..200)
            .map(|i| {
                format!(r#"(core module (@producers (processed-by "\1b[2J{}{i}" "")))"#, "x".repeat(500))
            })
            .chain((0..200).map(|i| format!(r#"(core module (@producers (processed-by "t{i}" "")))"#)))
            .collect();
        let names = of(&format!("(component {many})")).into_names();
        assert_eq!(names.len(), limits::MAX_TOOLCHAINS);
        assert!(
            names[0].starts_with("\\u{1b}[2Jxx") && names[0].len() < 2 * limits::MAX_TOOLCHAIN_NAME_BYTES
        );
        assert_eq!(Toolchain::of(b"\0asm"), Toolchain::default());
    }
}
