//! Cursors of lists. A cursor says where the next page begins, and is bound to its list: what is listed, for whom, and by
//! which filters. One that another list gave, or none, is refused instead of being taken for an end or a beginning. It
//! holds no secret and grants nothing: a caller that makes one sees what the list shows them anyway.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::engine::error::EngineError;
use crate::limits;

const TAG_BYTES: usize = 8;

/// `list` names what is listed, for whom, and every filter.
pub fn seal_cursor(list: &[&str], place: &str) -> String {
    URL_SAFE_NO_PAD.encode([&tag(list, place)[..], place.as_bytes()].concat())
}

/// The place at which the page begins.
pub fn open_cursor(list: &[&str], cursor: &str) -> Result<String, EngineError> {
    unseal(list, cursor).ok_or(EngineError::BadCursor)
}

fn unseal(list: &[&str], cursor: &str) -> Option<String> {
    if cursor.len() > limits::MAX_CURSOR_BYTES {
        return None;
    }
    let bytes = URL_SAFE_NO_PAD.decode(cursor).ok()?;
    let (seal, place) = bytes.split_at_checked(TAG_BYTES)?;
    let place = std::str::from_utf8(place).ok()?;
    (seal == tag(list, place)).then(|| place.to_owned())
}

fn tag(list: &[&str], place: &str) -> [u8; TAG_BYTES] {
    let mut hasher = blake3::Hasher::new_derive_key("longhaul 2026-11 cursor of a list");
    for part in list.iter().chain([&place]) {
        hasher.update(&(part.len() as u64).to_le_bytes()).update(part.as_bytes());
    }
    let mut tag = [0; TAG_BYTES];
    hasher.finalize_xof().fill(&mut tag);
    tag
}

/// A filter as part of a list's name; none is another one than an empty text.
pub fn filter(text: Option<&str>) -> String {
    text.map_or_else(String::new, |text| format!("={text}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_opens_for_its_own_list_alone() {
        let cursor = seal_cursor(&["tasks", "ann", "=done"], "17");
        assert_eq!(open_cursor(&["tasks", "ann", "=done"], &cursor).ok().as_deref(), Some("17"));
        for other in [
            &["tasks", "bob", "=done"][..],
            &["tasks", "ann", ""],
            &["tasks", "ann"],
            &["state", "ann", "=done"],
            &["tasks", "ann=", "done"],
        ] {
            assert!(open_cursor(other, &cursor).is_err(), "{other:?}");
        }
        let long = "A".repeat(limits::MAX_CURSOR_BYTES + 1);
        for none in ["", "null", "17", "no-page-gave-this", &cursor[1..], &long, "%", &format!("{cursor}A")] {
            assert!(open_cursor(&["tasks", "ann", "=done"], none).is_err(), "{none:?}");
        }
        assert_ne!(filter(None), filter(Some("")));
    }

    #[test]
    fn the_longest_key_fits() {
        let key = "\u{1F600}".repeat(limits::MAX_STATE_KEY_BYTES / 4);
        let cursor = seal_cursor(&["state"], &key);
        assert_eq!(open_cursor(&["state"], &cursor).ok(), Some(key));
    }
}
