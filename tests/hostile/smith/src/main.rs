//! `smith KIND FIRST COUNT` writes what comes of so many seeds, the same on every machine: for each its length as four
//! bytes, the lowest first, and the bytes of a component. Of a seed that makes nothing the length is 0.

use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

use arbitrary::Unstructured;
use wasm_encoder::{
    Alias, CanonicalFunctionSection, Component, ComponentAliasSection, ComponentExportKind,
    ComponentExportSection, ComponentSectionId, ComponentTypeSection, ComponentValType, ExportKind,
    InstanceSection, ModuleArg, PrimitiveValType, RawSection,
};
use wasm_smith::{Config, Module};

/// What each module exports; the component around it has tools of these names, with `m` and its seed before them.
const EXPORTS: &str = "abc";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let asked = match &words[..] {
        [kind, first, count] => first.parse().ok().zip(count.parse().ok()).map(|numbers| (kind, numbers)),
        _ => None,
    };
    let Some((kind, (first, count))) = asked else {
        eprintln!("smith module|component FIRST COUNT");
        return ExitCode::FAILURE;
    };
    match write(kind, first, count) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn write(kind: &str, first: u64, count: u64) -> io::Result<()> {
    let mut out = BufWriter::new(io::stdout().lock());
    for seed in first..first.saturating_add(count) {
        let mut dice = Dice::new(seed);
        let made = match kind {
            "module" => module(seed, &mut dice),
            "component" => component(&mut dice),
            other => return Err(io::Error::other(format!("there is no kind '{other}'"))),
        };
        let made = made.unwrap_or_default();
        out.write_all(&u32::try_from(made.len()).map_err(io::Error::other)?.to_le_bytes())?;
        out.write_all(&made)?;
    }
    out.flush()
}

/// A component around a random module.
fn module(seed: u64, dice: &mut Dice) -> Option<Vec<u8>> {
    let config = Config { exports: Some(exports()), max_imports: 0, ..config(dice) };
    let bytes = dice.bytes();
    let module = Module::new(config, &mut Unstructured::new(&bytes)).ok()?;
    Some(around(seed, &module.to_bytes()))
}

/// A random component, with imports that nothing offers and all else that there is.
fn component(dice: &mut Dice) -> Option<Vec<u8>> {
    let config = config(dice);
    let bytes = dice.bytes();
    let made = wasm_smith::Component::new(config, &mut Unstructured::new(&bytes)).ok()?;
    Some(made.to_bytes())
}

/// Mostly what is taken, so that it is compiled; now and then a proposal that is not.
fn config(dice: &mut Dice) -> Config {
    Config {
        max_funcs: 8,
        max_instructions: 60,
        max_memories: 2,
        max_tables: 2,
        max_table_elements: 10_000,
        max_memory32_bytes: 1 << 24,
        max_memory64_bytes: 1 << 24,
        gc_enabled: dice.is_one_in(16),
        exceptions_enabled: dice.is_one_in(16),
        threads_enabled: dice.is_one_in(16),
        memory64_enabled: dice.is_one_in(4),
        tail_call_enabled: dice.is_one_in(2),
        reference_types_enabled: dice.is_one_in(4),
        ..Config::default()
    }
}

fn exports() -> Vec<u8> {
    use wasm_encoder::{CodeSection, ExportSection, Function, FunctionSection, TypeSection, ValType};
    let mut types = TypeSection::new();
    types.ty().function([ValType::I32, ValType::I64], [ValType::I32]);
    types.ty().function([ValType::F64], [ValType::F64]);
    types.ty().function([], []);
    let (mut functions, mut exports, mut code) =
        (FunctionSection::new(), ExportSection::new(), CodeSection::new());
    for (name, number) in names() {
        functions.function(number);
        exports.export(&name, ExportKind::Func, number);
        let mut body = Function::new([]);
        body.instructions().unreachable().end();
        code.function(&body);
    }
    let mut module = wasm_encoder::Module::new();
    module.section(&types).section(&functions).section(&exports).section(&code);
    module.finish()
}

fn names() -> impl Iterator<Item = (String, u32)> {
    EXPORTS.chars().map(String::from).zip(0..)
}

/// The module's one instance, and its exports as the component's.
fn around(seed: u64, module: &[u8]) -> Vec<u8> {
    let of = ComponentValType::Primitive;
    let mut instances = InstanceSection::new();
    instances.instantiate(0, Vec::<(&str, ModuleArg)>::new());
    let mut types = ComponentTypeSection::new();
    let (u32, s64) = (of(PrimitiveValType::U32), of(PrimitiveValType::S64));
    types.function().params([("x", u32), ("y", s64)]).result(Some(of(PrimitiveValType::S32)));
    types.function().params([("x", of(PrimitiveValType::F64))]).result(Some(of(PrimitiveValType::F64)));
    types.function().params::<[(&str, ComponentValType); 0], _>([]).result(None);
    let (mut aliases, mut lifts, mut exports) =
        (ComponentAliasSection::new(), CanonicalFunctionSection::new(), ComponentExportSection::new());
    for (name, number) in names() {
        aliases.alias(Alias::CoreInstanceExport { instance: 0, kind: ExportKind::Func, name: &name });
        lifts.lift(number, number, []);
        exports.export(&*format!("m{seed}-{name}"), ComponentExportKind::Func, number, None);
    }
    let mut component = Component::new();
    component.section(&RawSection { id: ComponentSectionId::CoreModule.into(), data: module });
    component.section(&instances).section(&aliases).section(&types).section(&lifts).section(&exports);
    component.finish()
}

/// Small and seeded: splitmix64.
struct Dice(u64);

impl Dice {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0xd6e8_feb8_6659_fd93))
    }

    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn is_one_in(&mut self, sides: u64) -> bool {
        self.roll().is_multiple_of(sides)
    }

    /// What decides all of one component.
    fn bytes(&mut self) -> Vec<u8> {
        let length = 32 << (self.roll() % 5);
        (0..length).flat_map(|_| self.roll().to_le_bytes()).collect()
    }
}
