//! Bytes in one piece: serde takes them one by one otherwise, which is slow by the megabyte.

use std::fmt;

use serde::de::{Deserializer, Error, SeqAccess, Visitor};
use serde::ser::Serializer;

pub fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
    to.serialize_bytes(bytes)
}

pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
    struct Bytes;

    impl<'de> Visitor<'de> for Bytes {
        type Value = Vec<u8>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("bytes")
        }

        fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
            Ok(bytes.to_owned())
        }

        fn visit_byte_buf<E: Error>(self, bytes: Vec<u8>) -> Result<Vec<u8>, E> {
            Ok(bytes)
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut pieces: A) -> Result<Vec<u8>, A::Error> {
            let mut bytes = Vec::new();
            while let Some(byte) = pieces.next_element()? {
                bytes.push(byte);
            }
            Ok(bytes)
        }
    }

    from.deserialize_byte_buf(Bytes)
}

#[cfg(test)]
mod tests {
    use super::super::call::{Answer, Call, Named};

    #[test]
    fn bytes_go_over_the_pipe_as_they_are() {
        let file = Named { path: "a".to_owned(), identity: None };
        for bytes in [vec![], vec![7; 300]] {
            let call = Call::Append { file: file.clone(), bytes: bytes.clone() };
            let sent = postcard::to_stdvec(&call).expect("bytes");
            assert!(sent.ends_with(&bytes));
            assert_eq!(postcard::from_bytes::<Call>(&sent), Ok(call));
            let answer = Answer::Bytes(bytes);
            let sent = postcard::to_stdvec(&answer).expect("bytes");
            assert_eq!(postcard::from_bytes::<Answer>(&sent), Ok(answer));
        }
    }
}
