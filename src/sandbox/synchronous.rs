//! A component as it is without its asynchronous parts. The engine has them switched off, so that nothing in a task hangs
//! on the order in which its parts are scheduled; their neighbours need not be refused for that. What is asynchronous
//! keeps its place in the component and traps when it is called, and the engine validates what comes out.

use std::collections::HashMap;
use std::convert::Infallible;
use std::vec;

use wasm_encoder::reencode::{Error, Reencode, ReencodeComponent, RoundtripReencoder, component_utils};
use wasm_encoder::{
    Alias, CanonicalFunctionSection, CodeSection, Component, ComponentAliasSection,
    ComponentDefinedTypeEncoder, ComponentFuncTypeEncoder, ComponentSectionId, ComponentValType, ExportKind,
    ExportSection, Function, FunctionSection, InstanceSection, Module, ModuleArg, ModuleSection, NameMap,
    NameSection, NestedComponentSection, PrimitiveValType, RawSection, TypeSection,
};
use wasmparser::{
    CanonicalFunction, ComponentCanonicalSectionReader, ComponentDefinedType, ComponentFuncType, Encoding,
    FuncType, Parser, Payload, Validator, WasmFeatures,
};

use super::asynchronous;
use crate::limits;

/// How the functions that stand in for asynchronous ones are called in backtraces; the kind follows.
pub(super) const STAND_IN: &str = "asynchronous: ";

/// What is written in the place of a stream, a future or an error context: of the same shape in core code.
const HANDLE: PrimitiveValType = PrimitiveValType::U32;

/// The component with stand-ins. The error says why there is none.
pub(super) fn of(bytes: &[u8]) -> Result<Vec<u8>, String> {
    let plans = plans(bytes)?;
    let mut rewriter = Rewriter { plans: plans.into_iter(), open: Vec::new() };
    let mut component = rewriter.begin().map_err(|error| error.to_string())?;
    component_utils::parse_component(&mut rewriter, &mut component, Parser::new(0), bytes, bytes)
        .map_err(|error| error.to_string())?;
    Ok(component.finish())
}

/// What becomes of one entry of a canonical section.
#[derive(Clone, Copy)]
enum Fate {
    Stays,
    /// It is the stand-in with this number.
    StandsIn(usize),
    /// A lifted function, which is lifted from the first core function, a stand-in.
    Lifted,
}

/// The stand-ins of one component, and what becomes of its canonical entries in their order.
#[derive(Default)]
struct Plan {
    numbers: HashMap<(&'static str, FuncType), usize>,
    fates: Vec<Fate>,
    lifts: bool,
}

impl Plan {
    fn number(&mut self, kind: &'static str, ty: FuncType) -> usize {
        let next = self.numbers.len();
        *self.numbers.entry((kind, ty)).or_insert(next)
    }

    /// `types` are those behind the section, `core` is the index of the core function that the entry makes, if any.
    fn add(&mut self, types: wasmparser::types::TypesRef<'_>, canon: &CanonicalFunction, core: u32) {
        let stand_in = match canon {
            CanonicalFunction::Lift { type_index, .. } => {
                let wasmparser::component_types::ComponentAnyTypeId::Func(id) =
                    types.component_any_type_at(*type_index)
                else {
                    return self.fates.push(Fate::Stays);
                };
                let is_async = types[id].async_;
                self.lifts |= is_async;
                return self.fates.push(if is_async { Fate::Lifted } else { Fate::Stays });
            }
            CanonicalFunction::Lower { func_index, .. } => {
                types[types.component_function_at(*func_index)].async_.then_some("async")
            }
            other => asynchronous::builtin(other),
        };
        let fate = match stand_in {
            Some(kind) => {
                Fate::StandsIn(self.number(kind, types[types.core_function_at(core)].unwrap_func().clone()))
            }
            None => Fate::Stays,
        };
        self.fates.push(fate);
    }

    fn is_empty(&self) -> bool {
        self.numbers.is_empty() && !self.lifts
    }
}

/// One plan for each component, in the order in which they begin. Bodies of functions are for the engine to validate.
fn plans(bytes: &[u8]) -> Result<Vec<Plan>, String> {
    let mut validator = Validator::new_with_features(WasmFeatures::all());
    let (mut plans, mut open): (Vec<Plan>, Vec<Option<usize>>) = (Vec::new(), Vec::new());
    for payload in Parser::new(0).parse_all(bytes) {
        let payload = payload.map_err(|error| error.to_string())?;
        let functions = validator.types(0).map_or(0, |types| types.function_count());
        validator.payload(&payload).map_err(|error| error.to_string())?;
        match payload {
            Payload::Version { encoding, .. } => {
                if open.len() >= limits::MAX_NESTED_COMPONENTS {
                    return Err(format!(
                        "its parts are nested deeper than {} levels (MAX_NESTED_COMPONENTS)",
                        limits::MAX_NESTED_COMPONENTS
                    ));
                }
                open.push((encoding == Encoding::Component).then_some(plans.len()));
                if encoding == Encoding::Component {
                    plans.push(Plan::default());
                }
            }
            Payload::End(_) => drop(open.pop()),
            Payload::ComponentCanonicalSection(section) => {
                let plan = open.last().copied().flatten().and_then(|at| plans.get_mut(at));
                let (Some(plan), Some(types)) = (plan, validator.types(0)) else { continue };
                let mut core = functions;
                for canon in section {
                    let canon = canon.map_err(|error| error.to_string())?;
                    plan.add(types, &canon, core);
                    core += u32::from(!matches!(canon, CanonicalFunction::Lift { .. }));
                }
            }
            _ => {}
        }
    }
    Ok(plans)
}

/// A component that is being written.
struct Open {
    fates: vec::IntoIter<Fate>,
    /// By how much the indices of core modules and core instances have grown, and those of core functions.
    modules: u32,
    functions: u32,
}

struct Rewriter {
    plans: vec::IntoIter<Plan>,
    open: Vec<Open>,
}

type Outcome<T = ()> = Result<T, Error<Infallible>>;

impl Rewriter {
    /// The beginning of the next component: the stand-ins that it needs.
    fn begin(&mut self) -> Outcome<Component> {
        let plan = self.plans.next().unwrap_or_default();
        let mut component = Component::new();
        let mut open = Open { fates: Vec::new().into_iter(), modules: 0, functions: 0 };
        if !plan.is_empty() {
            component.section(&ModuleSection(&stand_ins(&plan)?));
            let mut instances = InstanceSection::new();
            instances.instantiate::<_, &str>(0, [] as [(&str, ModuleArg); 0]);
            component.section(&instances);
            open.modules = 1;
        }
        if plan.lifts {
            alias_stand_in(&mut component, LIFTED);
            open.functions = 1;
        }
        open.fates = plan.fates.into_iter();
        self.open.push(open);
        Ok(component)
    }

    fn canonicals(
        &mut self,
        component: &mut Component,
        section: ComponentCanonicalSectionReader<'_>,
    ) -> Outcome {
        let mut kept = CanonicalFunctionSection::new();
        for canon in section {
            let canon = canon?;
            let fate = self.open.last_mut().and_then(|open| open.fates.next()).unwrap_or(Fate::Stays);
            match (fate, canon) {
                (Fate::Lifted, CanonicalFunction::Lift { type_index, .. }) => {
                    kept.lift(0, type_index, []);
                }
                (Fate::StandsIn(number), _) => {
                    component.section(&std::mem::take(&mut kept));
                    alias_stand_in(component, &number.to_string());
                }
                (_, canon) => self.parse_component_canonical(&mut kept, canon)?,
            }
        }
        component.section(&kept);
        Ok(())
    }

    fn shift(&self, levels: u32, of: fn(&Open) -> u32) -> u32 {
        self.open.iter().nth_back(levels as usize).map_or(0, of)
    }
}

/// The name of the stand-in without parameters or results.
const LIFTED: &str = "lifted";

/// A core module whose functions trap, called by their numbers.
fn stand_ins(plan: &Plan) -> Outcome<Module> {
    let mut numbered: Vec<_> = plan.numbers.iter().collect();
    numbered.sort_by_key(|(_, number)| **number);
    let lifted = (("function", FuncType::new([], [])), LIFTED.to_owned());
    let functions = numbered
        .into_iter()
        .map(|((kind, ty), number)| ((*kind, ty.clone()), number.to_string()))
        .chain(plan.lifts.then_some(lifted));

    let (mut types, mut declared, mut exports) =
        (TypeSection::new(), FunctionSection::new(), ExportSection::new());
    let (mut code, mut names) = (CodeSection::new(), NameMap::new());
    for (index, ((kind, ty), name)) in (0u32..).zip(functions) {
        let values = |values: &[wasmparser::ValType]| {
            values.iter().map(|ty| RoundtripReencoder.val_type(*ty)).collect::<Outcome<Vec<_>>>()
        };
        types.ty().function(values(ty.params())?, values(ty.results())?);
        declared.function(index);
        exports.export(&name, ExportKind::Func, index);
        let mut body = Function::new([]);
        body.instructions().unreachable().end();
        code.function(&body);
        names.append(index, &format!("{STAND_IN}{kind}"));
    }
    let mut named = NameSection::new();
    named.functions(&names);
    let mut module = Module::new();
    module.section(&types).section(&declared).section(&exports).section(&code).section(&named);
    Ok(module)
}

/// A core function more: that of the stand-ins, which are the first core instance.
fn alias_stand_in(component: &mut Component, name: &str) {
    let mut aliases = ComponentAliasSection::new();
    aliases.alias(Alias::CoreInstanceExport { instance: 0, kind: ExportKind::Func, name });
    component.section(&aliases);
}

impl Reencode for Rewriter {
    type Error = Infallible;

    fn function_index(&mut self, function: u32) -> Outcome<u32> {
        Ok(function + self.shift(0, |open| open.functions))
    }
}

impl ReencodeComponent for Rewriter {
    fn module_index(&mut self, module: u32) -> u32 {
        module + self.shift(0, |open| open.modules)
    }

    fn outer_module_index(&mut self, count: u32, module: u32) -> u32 {
        module + self.shift(count, |open| open.modules)
    }

    fn instance_index(&mut self, instance: u32) -> u32 {
        instance + self.shift(0, |open| open.modules)
    }

    fn parse_component_payload(
        &mut self,
        component: &mut Component,
        payload: Payload<'_>,
        whole: &[u8],
    ) -> Outcome {
        match payload {
            Payload::ComponentCanonicalSection(section) => self.canonicals(component, section),
            payload => component_utils::parse_component_payload(self, component, payload, whole),
        }
    }

    /// Core modules stay as they are, byte for byte.
    fn parse_component_submodule(
        &mut self,
        component: &mut Component,
        _parser: Parser,
        module: &[u8],
    ) -> Outcome {
        component.section(&RawSection { id: ComponentSectionId::CoreModule.into(), data: module });
        Ok(())
    }

    fn parse_component_subcomponent(
        &mut self,
        component: &mut Component,
        parser: Parser,
        nested: &[u8],
        whole: &[u8],
    ) -> Outcome {
        let mut inner = self.begin()?;
        component_utils::parse_component(self, &mut inner, parser, nested, whole)?;
        self.open.pop();
        component.section(&NestedComponentSection(&inner));
        Ok(())
    }

    /// All async functions have one type: without parameters or results, as what stands in for them.
    fn parse_component_func_type(
        &mut self,
        mut encoder: ComponentFuncTypeEncoder<'_>,
        ty: ComponentFuncType<'_>,
    ) -> Outcome {
        if !ty.async_ {
            return component_utils::parse_component_func_type(self, encoder, ty);
        }
        encoder.async_(false).params([] as [(&str, ComponentValType); 0]).result(None);
        Ok(())
    }

    fn parse_component_defined_type(
        &mut self,
        encoder: ComponentDefinedTypeEncoder<'_>,
        ty: ComponentDefinedType<'_>,
    ) -> Outcome {
        if let ComponentDefinedType::Stream(_) | ComponentDefinedType::Future(_) = ty {
            encoder.primitive(HANDLE);
            return Ok(());
        }
        component_utils::parse_component_defined_type(self, encoder, ty)
    }

    fn component_primitive_val_type(&mut self, ty: wasmparser::PrimitiveValType) -> PrimitiveValType {
        match ty {
            wasmparser::PrimitiveValType::ErrorContext => HANDLE,
            ty => component_utils::component_primitive_val_type(self, ty),
        }
    }

    fn component_val_type(&mut self, ty: wasmparser::ComponentValType) -> ComponentValType {
        match ty {
            wasmparser::ComponentValType::Primitive(ty) => {
                ComponentValType::Primitive(self.component_primitive_val_type(ty))
            }
            ty => component_utils::component_val_type(self, ty),
        }
    }
}
