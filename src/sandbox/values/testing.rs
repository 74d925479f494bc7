//! Types, values and JSON documents for property tests.

use std::fmt::Write as _;
use std::sync::OnceLock;

use proptest::prelude::*;
use serde_json::{Map, Value, json};
use wasmtime::component::types::{ComponentFunc, ComponentItem};
use wasmtime::component::{Component, Type, Val};
use wasmtime::{Config, Engine};

/// A type as a test writes it. Fields and cases are named by their number.
#[derive(Clone, Debug)]
pub enum Ty {
    Simple(&'static str),
    List(Box<Ty>),
    Fixed(Box<Ty>, u32),
    Map(&'static str, Box<Ty>),
    Tuple(Vec<Ty>),
    Record(Vec<Ty>),
    Variant(Vec<Option<Ty>>),
    Enum(usize),
    Flags(usize),
    Option(Box<Ty>),
    Result(Option<Box<Ty>>, Option<Box<Ty>>),
}

const KEYS: [&str; 11] = ["bool", "s8", "u8", "s16", "u16", "s32", "u32", "s64", "u64", "char", "string"];
const SIMPLE: [&str; 13] =
    ["bool", "s8", "u8", "s16", "u16", "s32", "u32", "s64", "u64", "f32", "f64", "char", "string"];

pub fn any_ty() -> impl Strategy<Value = Ty> {
    let leaf = prop_oneof![
        6 => prop::sample::select(&SIMPLE[..]).prop_map(Ty::Simple),
        1 => (1..12usize).prop_map(Ty::Enum),
        1 => (1..20usize).prop_map(Ty::Flags),
    ];
    leaf.prop_recursive(5, 24, 4, |inner| {
        let boxed = inner.clone().prop_map(Box::new);
        let maybe = prop::option::of(boxed.clone());
        prop_oneof![
            boxed.clone().prop_map(Ty::List),
            (boxed.clone(), 1..4u32).prop_map(|(ty, len)| Ty::Fixed(ty, len)),
            (prop::sample::select(&KEYS[..]), boxed.clone()).prop_map(|(key, ty)| Ty::Map(key, ty)),
            prop::collection::vec(inner.clone(), 1..4).prop_map(Ty::Tuple),
            prop::collection::vec(inner.clone(), 1..4).prop_map(Ty::Record),
            prop::collection::vec(prop::option::of(inner), 1..4).prop_map(Ty::Variant),
            boxed.prop_map(Ty::Option),
            (maybe.clone(), maybe).prop_map(|(ok, err)| Ty::Result(ok, err)),
        ]
    })
}

/// As the reflection of a component shows it.
pub fn reflect(ty: &Ty) -> Type {
    let mut text = String::from("(component ");
    let top = declare(ty, &mut 0, &mut text);
    let top = if top.starts_with('$') { top } else { format!("(type $top {top}) $top") };
    let (definition, top) = top.rsplit_once(' ').unwrap_or(("", &top));
    write!(text, "{definition} (export \"top\" (type {top})))").unwrap();
    exported_type(&component(&text))
}

/// The type that a component exports as `top`.
pub fn exported_type(component: &Component) -> Type {
    match component.component_type().get_export(engine(), "top").unwrap().ty {
        ComponentItem::Type(ty) => ty,
        other => panic!("{other:?}"),
    }
}

pub fn engine() -> &'static Engine {
    static ENGINE: OnceLock<Engine> = OnceLock::new();
    ENGINE.get_or_init(|| {
        let mut config = Config::new();
        config.wasm_component_model_map(true).wasm_component_model_fixed_length_lists(true);
        config.concurrency_support(false);
        Engine::new(&config).unwrap()
    })
}

pub fn component(text: &str) -> Component {
    Component::new(engine(), wat::parse_str(text).unwrap_or_else(|error| panic!("{error}\n{text}")))
        .unwrap_or_else(|error| panic!("{error:?}\n{text}"))
}

/// An exported function of the world itself.
pub fn func(component: &Component, name: &str) -> ComponentFunc {
    match component.component_type().get_export(engine(), name).unwrap().ty {
        ComponentItem::ComponentFunc(func) => func,
        other => panic!("{other:?}"),
    }
}

/// Appends the declarations that the type needs; gives the text that refers to it.
fn declare(ty: &Ty, count: &mut usize, text: &mut String) -> String {
    let mut inner = |ty: &Ty| declare(ty, count, text);
    let definition = match ty {
        Ty::Simple(name) => return (*name).to_owned(),
        Ty::List(ty) => format!("(list {})", inner(ty)),
        Ty::Fixed(ty, len) => format!("(list {} {len})", inner(ty)),
        Ty::Map(key, ty) => format!("(map {key} {})", inner(ty)),
        Ty::Tuple(types) => {
            let types: Vec<_> = types.iter().map(inner).collect();
            format!("(tuple {})", types.join(" "))
        }
        Ty::Record(types) => {
            let fields = types.iter().enumerate().map(|(i, ty)| format!("(field \"f-{i}\" {})", inner(ty)));
            format!("(record {})", fields.collect::<Vec<_>>().join(" "))
        }
        Ty::Variant(types) => {
            let mut payload = |ty: &Option<Ty>| ty.as_ref().map(&mut inner).unwrap_or_default();
            let cases = types.iter().enumerate().map(|(i, ty)| format!("(case \"c-{i}\" {})", payload(ty)));
            format!("(variant {})", cases.collect::<Vec<_>>().join(" "))
        }
        Ty::Enum(len) => format!("(enum {})", names("e", *len)),
        Ty::Flags(len) => format!("(flags {})", names("g", *len)),
        Ty::Option(ty) => format!("(option {})", inner(ty)),
        Ty::Result(ok, err) => {
            let ok = ok.as_ref().map(|ty| inner(ty)).unwrap_or_default();
            let err = err.as_ref().map(|ty| format!("(error {})", inner(ty))).unwrap_or_default();
            format!("(result {ok} {err})")
        }
    };
    *count += 1;
    let n = *count;
    write!(text, "(type $t{n} {definition}) (export $x{n} \"t{n}\" (type $t{n})) ").unwrap();
    format!("$x{n}")
}

fn names(prefix: &str, len: usize) -> String {
    (0..len).map(|i| format!("\"{prefix}-{i}\"")).collect::<Vec<_>>().join(" ")
}

/// Deterministic choices, from a seed that proptest prints (splitmix64).
pub struct Dice(pub u64);

impl Dice {
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        x ^ (x >> 31)
    }

    pub fn below(&mut self, n: usize) -> usize {
        (self.bits() % n as u64) as usize
    }

    pub fn pick<T: Clone>(&mut self, items: &[T]) -> T {
        items[self.below(items.len())].clone()
    }

    /// Often an edge, else anything.
    fn number(&mut self) -> u64 {
        let any = self.bits();
        let small = any % 300;
        self.pick(&[
            0,
            1,
            127,
            128,
            255,
            1 << 15,
            u64::MAX,
            1 << 63,
            (1 << 63) - 1,
            (1 << 53) - 1,
            1 << 53,
            small,
            any,
        ])
    }

    fn char(&mut self) -> char {
        let any = char::from_u32(self.bits() as u32 % 0x11_0000).unwrap_or('x');
        self.pick(&['a', '\0', '"', '\\', 'é', '\u{ffff}', '\u{10ffff}', any])
    }

    fn string(&mut self) -> String {
        let len = self.below(6);
        (0..len).map(|_| self.char()).collect()
    }
}

/// Some value of the type.
pub fn val(ty: &Type, dice: &mut Dice) -> Val {
    fn boxed(ty: Option<Type>, dice: &mut Dice) -> Option<Box<Val>> {
        ty.map(|ty| Box::new(val(&ty, dice)))
    }
    let x = dice.number();
    match ty {
        Type::Bool => Val::Bool(x & 1 == 1),
        Type::S8 => Val::S8(x as i8),
        Type::U8 => Val::U8(x as u8),
        Type::S16 => Val::S16(x as i16),
        Type::U16 => Val::U16(x as u16),
        Type::S32 => Val::S32(x as i32),
        Type::U32 => Val::U32(x as u32),
        Type::S64 => Val::S64(x as i64),
        Type::U64 => Val::U64(x),
        Type::Float32 => {
            let any = f32::from_bits(dice.bits() as u32);
            Val::Float32(dice.pick(&[
                0.0,
                -0.0,
                0.1,
                1.0,
                f32::NAN,
                f32::INFINITY,
                f32::NEG_INFINITY,
                f32::MAX,
                any,
            ]))
        }
        Type::Float64 => {
            let any = f64::from_bits(dice.bits());
            Val::Float64(dice.pick(&[
                0.0,
                -0.0,
                0.1,
                1e300,
                f64::NAN,
                f64::INFINITY,
                f64::NEG_INFINITY,
                f64::MAX,
                any,
            ]))
        }
        Type::Char => Val::Char(dice.char()),
        Type::String => Val::String(dice.string()),
        Type::List(list) => Val::List((0..dice.below(4)).map(|_| val(&list.ty(), dice)).collect()),
        Type::FixedLengthList(list) => {
            Val::FixedLengthList((0..list.len()).map(|_| val(&list.ty(), dice)).collect())
        }
        Type::Map(map) => {
            let mut entries: Vec<(Val, Val)> = Vec::new();
            for _ in 0..dice.below(4) {
                let key = val(&map.key(), dice);
                if entries.iter().all(|(other, _)| *other != key) {
                    entries.push((key, val(&map.value(), dice)));
                }
            }
            Val::Map(entries)
        }
        Type::Tuple(tuple) => Val::Tuple(tuple.types().map(|ty| val(&ty, dice)).collect()),
        Type::Record(record) => {
            Val::Record(record.fields().map(|field| (field.name.to_owned(), val(&field.ty, dice))).collect())
        }
        Type::Variant(variant) => {
            let at = dice.below(variant.cases().len());
            let case = variant.cases().nth(at).unwrap();
            Val::Variant(case.name.to_owned(), boxed(case.ty, dice))
        }
        Type::Enum(names) => {
            Val::Enum(names.names().nth(dice.below(names.names().len())).unwrap().to_owned())
        }
        Type::Flags(flags) => {
            Val::Flags(flags.names().filter(|_| dice.bits() & 1 == 1).map(str::to_owned).collect())
        }
        Type::Option(option) => Val::Option((x & 3 != 0).then(|| Box::new(val(&option.ty(), dice)))),
        Type::Result(result) => Val::Result(match x & 1 {
            0 => Ok(boxed(result.ok(), dice)),
            _ => Err(boxed(result.err(), dice)),
        }),
        other => panic!("{other:?}"),
    }
}

/// Some document that the schema allows; knows no more than the schema.
pub fn document(schema: &Value, dice: &mut Dice) -> Value {
    if let Some(any_of) = schema.get("anyOf").and_then(Value::as_array) {
        return document(&dice.pick(any_of), dice);
    }
    if let Some(names) = schema.get("enum").and_then(Value::as_array) {
        return dice.pick(names);
    }
    let kind = match &schema["type"] {
        Value::Array(kinds) => dice.pick(kinds),
        kind => kind.clone(),
    };
    let int = |key: &str, default: u64| schema.get(key).map_or(default, |x| x.as_u64().unwrap()) as usize;
    match kind.as_str().unwrap() {
        "null" => Value::Null,
        "boolean" => json!(dice.bits() & 1 == 1),
        "integer" => {
            let (min, max) = (&schema["minimum"], &schema["maximum"]);
            let any = dice.number();
            let candidates = [min.clone(), max.clone(), json!(1), json!(any), json!(any as i64), json!(7.0)];
            let fits = |x: &Value| {
                let x = x.as_f64().unwrap();
                x > min.as_f64().unwrap() && x < max.as_f64().unwrap()
            };
            Some(dice.pick(&candidates)).filter(fits).unwrap_or(min.clone())
        }
        "number" => {
            dice.pick(&[json!(0), json!(-1.5), json!(1e10), json!(16777217), json!(u64::MAX), json!(3.4e38)])
        }
        "string" => match schema.get("pattern").and_then(Value::as_str) {
            None if schema.get("maxLength").is_some() => json!(dice.char()),
            None => json!(dice.string()),
            Some(pattern) if pattern.contains("A-Z") => {
                json!(dice.pick(&["", "QQ==", "QR==", "+/8=", "AAAA"]))
            }
            Some(pattern) if pattern.contains('-') && pattern.contains("-?") => {
                json!(dice.pick(&["-9223372036854775808", "007", "-0"]))
            }
            Some(_) => json!(dice.pick(&["18446744073709551615", "0", "00000000000000000012"])),
        },
        "array" => match schema.get("prefixItems").and_then(Value::as_array) {
            Some(items) => items.iter().map(|item| document(item, dice)).collect(),
            None => {
                let (min, max) = (int("minItems", 0), int("maxItems", 3));
                let len = min + dice.below(max - min + 1);
                let mut items: Vec<Value> = (0..len).map(|_| document(&schema["items"], dice)).collect();
                if schema.get("uniqueItems").is_some() {
                    let mut unique: Vec<Value> = Vec::new();
                    items.retain(|item| {
                        !unique.contains(item) && {
                            unique.push(item.clone());
                            true
                        }
                    });
                }
                Value::Array(items)
            }
        },
        "object" => {
            let mut object = Map::new();
            if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
                let empty = Vec::new();
                let required = schema.get("required").and_then(Value::as_array).unwrap_or(&empty);
                for (name, schema) in properties {
                    if required.contains(&json!(name)) || dice.bits() & 1 == 1 {
                        object.insert(name.clone(), document(schema, dice));
                    }
                }
            } else {
                for _ in 0..dice.below(3) {
                    object.insert(dice.string(), document(&schema["additionalProperties"], dice));
                }
            }
            Value::Object(object)
        }
        other => panic!("{other}"),
    }
}

/// Changes one place of the document, so that it may or may not fit any more.
pub fn mutate(json: &mut Value, dice: &mut Dice) {
    let inside = dice.below(3) > 0;
    match json {
        Value::Array(items) if inside && !items.is_empty() => match dice.below(4) {
            0 => drop(items.pop()),
            1 => items.push(items[0].clone()),
            _ => {
                let at = dice.below(items.len());
                mutate(&mut items[at], dice);
            }
        },
        Value::Object(object) if inside && !object.is_empty() => {
            let keys: Vec<String> = object.keys().cloned().collect();
            let key = dice.pick(&keys);
            match dice.below(4) {
                0 => drop(object.shift_remove(&key)),
                1 => drop(object.insert("stray".to_owned(), json!(1))),
                _ => mutate(&mut object[&key], dice),
            }
        }
        json => {
            *json = dice.pick(&[
                json!(null),
                json!(true),
                json!(0),
                json!(-1),
                json!(255),
                json!(256),
                json!(1.5),
                json!(3.0),
                json!(1e40),
                json!(18446744073709551616.0),
                json!(9223372036854775808u64),
                json!(""),
                json!("a"),
                json!("ab"),
                json!("12"),
                json!("+1"),
                json!("QQ="),
                json!("NaN"),
                json!([]),
                json!([1]),
                json!({}),
                json!("c-0"),
                json!({"c-0": 1}),
                json!("ok"),
                json!({"some": null}),
                json!("e-0"),
                json!(["g-0"]),
            ]);
        }
    }
}
