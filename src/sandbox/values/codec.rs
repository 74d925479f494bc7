//! The bytes of a value in the journal. The type is known on both sides, so nothing of it is written:
//!
//! - `bool`, `s8`, `u8`: one byte; wider integers: LEB128, signed ones in zigzag; floats: their bits, little-endian
//! - `char`, `string` length, `list` length, number of a case or enum value: LEB128
//! - `list<u8>`: length and bytes; lists of fixed length, tuples, records: their parts, no length
//! - `option`: 0 or 1; `result`: 0 for ok, 1 for err; then the payload, if the type has one
//! - `flags`: one bit each, in the order of the type, first in the lowest bit, in as few bytes as hold them
//!
//! There is one encoding of each value, and reading accepts no other.

use wasmtime::component::{Type, Val};

use super::{Mismatch, describe, json};

/// Bytes that are no value of the type.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("bytes of a recorded value are damaged: at offset {at} of {len}, {what}")]
pub struct DecodeError {
    pub at: usize,
    pub len: usize,
    pub what: &'static str,
}

/// Append one value.
pub fn encode(ty: &Type, val: &Val, out: &mut Vec<u8>) -> Result<(), Mismatch> {
    match (ty, val) {
        (Type::Bool, Val::Bool(x)) => out.push(u8::from(*x)),
        (Type::S8, Val::S8(x)) => out.extend(x.to_le_bytes()),
        (Type::U8, Val::U8(x)) => out.push(*x),
        (Type::S16, Val::S16(x)) => put(zigzag(i64::from(*x)), out),
        (Type::U16, Val::U16(x)) => put(u64::from(*x), out),
        (Type::S32, Val::S32(x)) => put(zigzag(i64::from(*x)), out),
        (Type::U32, Val::U32(x)) => put(u64::from(*x), out),
        (Type::S64, Val::S64(x)) => put(zigzag(*x), out),
        (Type::U64, Val::U64(x)) => put(*x, out),
        (Type::Float32, Val::Float32(x)) => out.extend(x.to_bits().to_le_bytes()),
        (Type::Float64, Val::Float64(x)) => out.extend(x.to_bits().to_le_bytes()),
        (Type::Char, Val::Char(x)) => put(u64::from(u32::from(*x)), out),
        (Type::String, Val::String(x)) => {
            put_len(x.len(), out);
            out.extend_from_slice(x.as_bytes());
        }
        (Type::List(list), Val::List(items)) => {
            put_len(items.len(), out);
            match list.ty() {
                Type::U8 => out.extend(json::bytes(items)?),
                element => items.iter().try_for_each(|val| encode(&element, val, out))?,
            }
        }
        (Type::FixedLengthList(list), Val::FixedLengthList(items)) if list.len() as usize == items.len() => {
            let element = list.ty();
            items.iter().try_for_each(|val| encode(&element, val, out))?;
        }
        (Type::Map(map), Val::Map(entries)) => {
            put_len(entries.len(), out);
            let (key_ty, value_ty) = (map.key(), map.value());
            for (key, val) in entries {
                encode(&key_ty, key, out)?;
                encode(&value_ty, val, out)?;
            }
        }
        (Type::Tuple(tuple), Val::Tuple(items)) if tuple.types().len() == items.len() => {
            tuple.types().zip(items).try_for_each(|(ty, val)| encode(&ty, val, out))?;
        }
        (Type::Record(record), Val::Record(values)) if record.fields().len() == values.len() => {
            for (field, (name, val)) in record.fields().zip(values) {
                if field.name != name {
                    return Err(Mismatch { expected: "record" });
                }
                encode(&field.ty, val, out)?;
            }
        }
        (Type::Variant(variant), Val::Variant(name, payload)) => {
            let case = variant.cases().enumerate().find(|(_, case)| case.name == name);
            let (at, case) = case.ok_or(Mismatch { expected: "variant" })?;
            put_len(at, out);
            encode_payload(case.ty.as_ref(), payload.as_deref(), out)?;
        }
        (Type::Enum(names), Val::Enum(name)) => {
            let at = names.names().position(|known| known == name);
            put_len(at.ok_or(Mismatch { expected: "enum" })?, out);
        }
        (Type::Option(_), Val::Option(None)) => out.push(0),
        (Type::Option(option), Val::Option(Some(val))) => {
            out.push(1);
            encode(&option.ty(), val, out)?;
        }
        (Type::Result(result), Val::Result(Ok(payload))) => {
            out.push(0);
            encode_payload(result.ok().as_ref(), payload.as_deref(), out)?;
        }
        (Type::Result(result), Val::Result(Err(payload))) => {
            out.push(1);
            encode_payload(result.err().as_ref(), payload.as_deref(), out)?;
        }
        (Type::Flags(flags), Val::Flags(names)) => {
            let mut bits = vec![0u8; flags.names().len().div_ceil(8)];
            for name in names {
                let at = flags.names().position(|known| known == name);
                let at = at.ok_or(Mismatch { expected: "flags" })?;
                bits[at / 8] |= 1 << (at % 8);
            }
            out.extend(bits);
        }
        (ty, _) => return Err(Mismatch { expected: describe(ty) }),
    }
    Ok(())
}

/// Append several values, such as the parameters of a call.
pub fn encode_all(
    types: impl IntoIterator<Item = Type>,
    vals: &[Val],
    out: &mut Vec<u8>,
) -> Result<(), Mismatch> {
    let mut vals = vals.iter();
    for ty in types {
        encode(&ty, vals.next().ok_or(Mismatch { expected: describe(&ty) })?, out)?;
    }
    match vals.next() {
        None => Ok(()),
        Some(_) => Err(Mismatch { expected: "value at all" }),
    }
}

/// The one value that the bytes hold.
pub fn decode(ty: &Type, bytes: &[u8]) -> Result<Val, DecodeError> {
    let mut reader = Reader { bytes, at: 0 };
    let val = reader.value(ty)?;
    reader.end()?;
    Ok(val)
}

pub fn decode_all(types: impl IntoIterator<Item = Type>, bytes: &[u8]) -> Result<Vec<Val>, DecodeError> {
    let mut reader = Reader { bytes, at: 0 };
    let vals = types.into_iter().map(|ty| reader.value(&ty)).collect::<Result<_, _>>()?;
    reader.end()?;
    Ok(vals)
}

fn encode_payload(ty: Option<&Type>, val: Option<&Val>, out: &mut Vec<u8>) -> Result<(), Mismatch> {
    match (ty, val) {
        (None, None) => Ok(()),
        (Some(ty), Some(val)) => encode(ty, val, out),
        _ => Err(Mismatch { expected: "payload of a case" }),
    }
}

fn put_len(len: usize, out: &mut Vec<u8>) {
    put(len as u64, out);
}

fn put(mut x: u64, out: &mut Vec<u8>) {
    while x >= 0x80 {
        out.push(x as u8 | 0x80);
        x >>= 7;
    }
    out.push(x as u8);
}

fn zigzag(x: i64) -> u64 {
    ((x << 1) ^ (x >> 63)) as u64
}

fn unzigzag(x: u64) -> i64 {
    (x >> 1) as i64 ^ -((x & 1) as i64)
}

/// Recursion follows the type, whose depth wasmtime's validation bounds (at 100), not the bytes.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn value(&mut self, ty: &Type) -> Result<Val, DecodeError> {
        Ok(match ty {
            Type::Bool => Val::Bool(self.bit()?),
            Type::S8 => Val::S8(i8::from_le_bytes(self.array()?)),
            Type::U8 => Val::U8(self.byte()?),
            Type::S16 => Val::S16(self.signed()?),
            Type::U16 => Val::U16(self.unsigned()?),
            Type::S32 => Val::S32(self.signed()?),
            Type::U32 => Val::U32(self.unsigned()?),
            Type::S64 => Val::S64(self.signed()?),
            Type::U64 => Val::U64(self.varint()?),
            Type::Float32 => Val::Float32(f32::from_le_bytes(self.array()?)),
            Type::Float64 => Val::Float64(f64::from_le_bytes(self.array()?)),
            Type::Char => {
                let x = self.unsigned()?;
                Val::Char(char::from_u32(x).ok_or_else(|| self.error("this is no character"))?)
            }
            Type::String => {
                let len = self.len()?;
                let text = std::str::from_utf8(self.take(len)?);
                Val::String(text.map_err(|_| self.error("the string before is not UTF-8"))?.to_owned())
            }
            Type::List(list) => {
                let len = self.len()?;
                match list.ty() {
                    Type::U8 => Val::List(self.take(len)?.iter().map(|x| Val::U8(*x)).collect()),
                    element => Val::List(self.values(&element, len)?),
                }
            }
            Type::FixedLengthList(list) => {
                let len = list.len() as usize;
                Val::FixedLengthList(self.values(&list.ty(), len)?)
            }
            Type::Map(map) => {
                let (key_ty, value_ty) = (map.key(), map.value());
                let len = self.len()?;
                let entries = (0..len).map(|_| Ok((self.value(&key_ty)?, self.value(&value_ty)?)));
                Val::Map(entries.collect::<Result<_, _>>()?)
            }
            Type::Tuple(tuple) => {
                Val::Tuple(tuple.types().map(|ty| self.value(&ty)).collect::<Result<_, _>>()?)
            }
            Type::Record(record) => {
                let fields = record.fields().map(|field| Ok((field.name.to_owned(), self.value(&field.ty)?)));
                Val::Record(fields.collect::<Result<_, _>>()?)
            }
            Type::Variant(variant) => {
                let at = self.unsigned::<u32>()? as usize;
                let case = variant.cases().nth(at);
                let case = case.ok_or_else(|| self.error("there is no case of that number"))?;
                Val::Variant(case.name.to_owned(), self.payload(case.ty.as_ref())?)
            }
            Type::Enum(names) => {
                let at = self.unsigned::<u32>()? as usize;
                let name = names.names().nth(at);
                Val::Enum(name.ok_or_else(|| self.error("there is no enum value of that number"))?.to_owned())
            }
            Type::Option(option) => Val::Option(match self.bit()? {
                false => None,
                true => Some(Box::new(self.value(&option.ty())?)),
            }),
            Type::Result(result) => Val::Result(match self.bit()? {
                false => Ok(self.payload(result.ok().as_ref())?),
                true => Err(self.payload(result.err().as_ref())?),
            }),
            Type::Flags(flags) => {
                let count = flags.names().len();
                let bits = self.take(count.div_ceil(8))?;
                let is_set = |at: usize| bits[at / 8] & (1 << (at % 8)) != 0;
                if (count..bits.len() * 8).any(is_set) {
                    return Err(self.error("there are more flags than the type has"));
                }
                let names = flags.names().enumerate().filter(|(at, _)| is_set(*at));
                Val::Flags(names.map(|(_, name)| name.to_owned()).collect())
            }
            Type::Own(_) | Type::Borrow(_) | Type::Future(_) | Type::Stream(_) | Type::ErrorContext => {
                return Err(self.error("the type has no values that could be recorded"));
            }
        })
    }

    fn values(&mut self, ty: &Type, len: usize) -> Result<Vec<Val>, DecodeError> {
        // Each value takes a byte at least, so the bytes that are left bound what is allocated.
        if len > self.bytes.len() - self.at {
            return Err(self.error("the list is longer than the bytes that are left"));
        }
        (0..len).map(|_| self.value(ty)).collect()
    }

    fn payload(&mut self, ty: Option<&Type>) -> Result<Option<Box<Val>>, DecodeError> {
        ty.map(|ty| self.value(ty).map(Box::new)).transpose()
    }

    fn len(&mut self) -> Result<usize, DecodeError> {
        let len = usize::try_from(self.varint()?).ok().filter(|len| *len <= self.bytes.len() - self.at);
        len.ok_or_else(|| self.error("the length before is more than the bytes that are left"))
    }

    fn signed<T: TryFrom<i64>>(&mut self) -> Result<T, DecodeError> {
        let x = unzigzag(self.varint()?);
        T::try_from(x).map_err(|_| self.error("the number before is out of range"))
    }

    fn unsigned<T: TryFrom<u64>>(&mut self) -> Result<T, DecodeError> {
        let x = self.varint()?;
        T::try_from(x).map_err(|_| self.error("the number before is out of range"))
    }

    fn varint(&mut self) -> Result<u64, DecodeError> {
        let mut x = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7F);
            if bits << shift >> shift != bits {
                return Err(self.error("the number before has more than 64 bits"));
            }
            x |= bits << shift;
            if byte & 0x80 == 0 {
                return match byte {
                    0 if shift > 0 => Err(self.error("the number before is longer than it has to be")),
                    _ => Ok(x),
                };
            }
        }
        Err(self.error("the number before has more than 64 bits"))
    }

    fn bit(&mut self) -> Result<bool, DecodeError> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(self.error("the byte before is neither 0 nor 1")),
        }
    }

    fn byte(&mut self) -> Result<u8, DecodeError> {
        self.array().map(|[byte]| byte)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let bytes = self.bytes[self.at..].first_chunk().copied();
        let bytes = bytes.ok_or_else(|| self.error("the bytes end too early"))?;
        self.at += N;
        Ok(bytes)
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], DecodeError> {
        let bytes = self.bytes[self.at..].get(..len);
        let bytes = bytes.ok_or_else(|| self.error("the bytes end too early"))?;
        self.at += len;
        Ok(bytes)
    }

    fn end(&self) -> Result<(), DecodeError> {
        if self.at == self.bytes.len() { Ok(()) } else { Err(self.error("there is more than the value")) }
    }

    fn error(&self, what: &'static str) -> DecodeError {
        DecodeError { at: self.at, len: self.bytes.len(), what }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::{Dice, Ty, any_ty, reflect, val};
    use super::*;

    fn encoded(ty: &Type, val: &Val) -> Vec<u8> {
        let mut bytes = Vec::new();
        encode(ty, val, &mut bytes).unwrap();
        bytes
    }

    proptest! {
        #[test]
        fn a_value_comes_back_from_its_bytes(ty in any_ty(), seed: u64) {
            let ty = reflect(&ty);
            let mut dice = Dice(seed);
            for _ in 0..20 {
                let val = val(&ty, &mut dice);
                let bytes = encoded(&ty, &val);
                let back = decode(&ty, &bytes).unwrap();
                prop_assert_eq!(&back, &val);
                // NaNs are equal as values; their bits must be too.
                prop_assert_eq!(encoded(&ty, &back), bytes);
            }
        }

        /// Whatever the bytes are, they are refused, or they are the one encoding of a value.
        #[test]
        fn any_bytes_are_refused_or_are_the_encoding(ty in any_ty(), seed: u64, noise: Vec<u8>) {
            let ty = reflect(&ty);
            let mut dice = Dice(seed);
            let mut candidates = vec![noise];
            for _ in 0..20 {
                let mut bytes = encoded(&ty, &val(&ty, &mut dice));
                match dice.below(3) {
                    0 => bytes.truncate(dice.below(bytes.len() + 1)),
                    1 => bytes.push(dice.bits() as u8),
                    _ => {
                        let at = dice.below(bytes.len());
                        bytes[at] ^= 1 << dice.below(8);
                    }
                }
                candidates.push(bytes);
            }
            for bytes in candidates {
                if let Ok(val) = decode(&ty, &bytes) {
                    prop_assert_eq!(encoded(&ty, &val), bytes);
                }
            }
        }
    }

    #[test]
    fn bytes_are_few_and_stay_as_they_are() {
        let ty = Ty::Record(vec![
            Ty::List(Box::new(Ty::Simple("u8"))),
            Ty::Option(Box::new(Ty::Simple("s32"))),
            Ty::Variant(vec![None, Some(Ty::Simple("string"))]),
            Ty::Flags(9),
            Ty::Simple("u64"),
        ]);
        let val = Val::Record(vec![
            ("f-0".to_owned(), Val::List(vec![Val::U8(7), Val::U8(255)])),
            ("f-1".to_owned(), Val::Option(Some(Box::new(Val::S32(-3))))),
            ("f-2".to_owned(), Val::Variant("c-1".to_owned(), Some(Box::new(Val::String("hi".to_owned()))))),
            ("f-3".to_owned(), Val::Flags(vec!["g-8".to_owned(), "g-0".to_owned()])),
            ("f-4".to_owned(), Val::U64(300)),
        ]);
        let bytes = encoded(&reflect(&ty), &val);
        assert_eq!(bytes, [2, 7, 255, 1, 5, 1, 2, b'h', b'i', 1, 1, 0xAC, 2]);
    }

    #[test]
    fn damage_is_named_with_its_place() {
        let list = reflect(&Ty::List(Box::new(Ty::Simple("string"))));
        let cases: [(&[u8], &str); 5] = [
            (&[], "at offset 0 of 0, the bytes end too early"),
            (&[9, 0], "at offset 1 of 2, the length before is more than the bytes that are left"),
            (&[1, 1, 0xFF], "at offset 3 of 3, the string before is not UTF-8"),
            (&[0x80, 0], "at offset 2 of 2, the number before is longer than it has to be"),
            (&[0, 0], "at offset 1 of 2, there is more than the value"),
        ];
        for (bytes, message) in cases {
            let error = decode(&list, bytes).unwrap_err().to_string();
            assert!(error.ends_with(message), "{error}");
        }
        // A length that lies allocates nothing.
        assert!(decode(&list, &[0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F]).is_err());
        let huge = reflect(&Ty::Fixed(Box::new(Ty::Simple("bool")), 1_000_000));
        assert!(decode(&huge, &[1; 10]).is_err());
    }

    #[test]
    fn a_value_of_another_type_is_not_written() {
        let ty = reflect(&Ty::Simple("u8"));
        let error = encode(&ty, &Val::U16(1), &mut Vec::new()).unwrap_err();
        assert_eq!(error.expected, "u8");
        assert!(encode_all([ty.clone()], &[], &mut Vec::new()).is_err());
        assert!(encode_all([ty.clone()], &[Val::U8(1), Val::U8(2)], &mut Vec::new()).is_err());
        let mut bytes = Vec::new();
        encode_all([ty.clone(), ty.clone()], &[Val::U8(1), Val::U8(2)], &mut bytes).unwrap();
        assert_eq!(decode_all([ty.clone(), ty], &bytes).unwrap(), [Val::U8(1), Val::U8(2)]);
    }
}
