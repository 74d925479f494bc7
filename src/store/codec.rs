//! Versioned rows: one byte of version, then postcard. What a row means is known to the upper rooms.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::error::StoreError;
use super::space::Space;

pub fn encode<T: Serialize + ?Sized>(version: u8, row: &T) -> Result<Vec<u8>, StoreError> {
    // Most rows fit, that of where a task stands among them.
    let mut out = Vec::with_capacity(256);
    out.push(version);
    postcard::to_extend(row, out).map_err(|error| StoreError::Encode(error.to_string().into()))
}

/// The version byte of a row, for readers of more than one version.
pub fn version(space: Space, key: &[u8], bytes: &[u8]) -> Result<u8, StoreError> {
    bytes.first().copied().ok_or_else(|| StoreError::damaged_row(space, key, "the row is empty"))
}

/// Reads a row of exactly this version, to its last byte; `space` and `key` are for the error's words.
pub fn decode<T: DeserializeOwned>(
    version: u8,
    space: Space,
    key: &[u8],
    bytes: &[u8],
) -> Result<T, StoreError> {
    let found = self::version(space, key, bytes)?;
    if found != version {
        let why = format!("the row has version {found} where {version} was expected");
        return Err(StoreError::damaged_row(space, key, why));
    }
    match postcard::take_from_bytes(&bytes[1..]) {
        Ok((row, [])) => Ok(row),
        Ok(_) => Err(StoreError::damaged_row(space, key, "the row goes on behind its end")),
        Err(error) => Err(StoreError::damaged_row(space, key, error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_of_another_version_or_shape_is_damaged() {
        let bytes = encode(3, &(7u64, "words")).unwrap();
        let read = |version, bytes: &[u8]| {
            decode::<(u64, String)>(version, Space::Setting, b"k", bytes).map_err(|error| error.to_string())
        };
        assert_eq!(read(3, &bytes), Ok((7, "words".to_string())));
        assert!(read(2, &bytes).unwrap_err().contains("space setting, key 6b"));
        assert!(read(3, &bytes[..3]).is_err());
        assert!(read(3, &[]).is_err());
        let mut longer = bytes.clone();
        longer.push(0);
        assert!(read(3, &longer).is_err());
    }
}
