//! The small TOML files that people write: reading them, saying exactly where one is wrong, and lines to put in.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer, Error as _};

use super::definition::is_tool_name;
use super::hidden::find_hidden;
use crate::authority::{HttpPattern, StatePattern};
use crate::limits;

/// A file that cannot be used: which, where in it, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{}: {message}", path.display(), place(.line_column, key))]
pub struct FileError {
    pub path: PathBuf,
    /// From 1.
    pub line_column: Option<(usize, usize)>,
    /// The table or key in which it is, dotted.
    pub key: Option<String>,
    pub message: String,
}

impl FileError {
    pub fn new(path: &Path, message: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line_column: None, key: None, message: message.into() }
    }
}

fn place(line_column: &Option<(usize, usize)>, key: &Option<String>) -> String {
    let mut text = String::new();
    if let Some((line, column)) = line_column {
        text.push_str(&format!(", line {line}, column {column}"));
    }
    if let Some(key) = key {
        text.push_str(&format!(", in `{key}`"));
    }
    text
}

/// The whole of a file, which must be a regular one of at most `limit` bytes.
pub fn read_file(path: &Path, limit: u64) -> Result<Vec<u8>, FileError> {
    let failed = |error: std::io::Error| FileError::new(path, format!("cannot be read: {error}"));
    let kind = std::fs::metadata(path).map_err(failed)?;
    if !kind.is_file() {
        return Err(FileError::new(path, "is no regular file"));
    }
    let too_large = || FileError::new(path, format!("is larger than {limit} bytes"));
    if kind.len() > limit {
        return Err(too_large());
    }
    let mut bytes = Vec::with_capacity(usize::try_from(kind.len()).unwrap_or_default());
    // It may have grown meanwhile.
    File::open(path).and_then(|file| file.take(limit + 1).read_to_end(&mut bytes)).map_err(failed)?;
    if bytes.len() as u64 > limit {
        return Err(too_large());
    }
    Ok(bytes)
}

/// The same, as text.
pub fn read_text(path: &Path, limit: u64) -> Result<String, FileError> {
    let bytes = read_file(path, limit)?;
    String::from_utf8(bytes).map_err(|error| {
        FileError::new(path, format!("is not UTF-8, at byte {}", error.utf8_error().valid_up_to()))
    })
}

/// What stands next to a component as minisign puts it; `None` where it is not signed.
pub fn read_signature(component: &Path) -> Result<Option<String>, FileError> {
    let mut path = component.as_os_str().to_owned();
    path.push(".minisig");
    let path = PathBuf::from(path);
    match path.symlink_metadata() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        _ => read_text(&path, limits::MAX_SIGNATURE_BYTES).map(Some),
    }
}

pub(super) fn has_ending(path: &Path, ending: &str) -> bool {
    path.extension().is_some_and(|there| there.eq_ignore_ascii_case(ending))
}

/// A TOML file of at most `MAX_CONFIG_BYTES`.
pub fn read_toml<T: DeserializeOwned>(path: &Path) -> Result<T, FileError> {
    parse_toml(path, &read_text(path, limits::MAX_CONFIG_BYTES)?)
}

pub fn parse_toml<T: DeserializeOwned>(path: &Path, text: &str) -> Result<T, FileError> {
    toml::from_str(text).map_err(|mut error| {
        let line_column = error.span().map(|span| position(text, span.start));
        let message = error.message().to_owned();
        // Without its input the error tells the key in place of the source line.
        error.set_input(None);
        let words = error.to_string();
        let key = words.trim_end().rsplit_once("\nin `").and_then(|(_, key)| key.strip_suffix('`'));
        FileError { path: path.to_owned(), line_column, key: key.map(str::to_owned), message }
    })
}

fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

/// A number from `MIN` to `MAX`.
pub fn within<'de, const MIN: u64, const MAX: u64, D: Deserializer<'de>>(
    input: D,
) -> Result<Option<u64>, D::Error> {
    let number = i64::deserialize(input)?;
    let fits = u64::try_from(number).ok().filter(|number| (MIN..=MAX).contains(number));
    fits.map(Some).ok_or_else(|| D::Error::custom(format!("{number} is not from {MIN} to {MAX}")))
}

/// A text of one or more lines, all of it visible.
pub fn visible<'de, D: Deserializer<'de>>(input: D) -> Result<Option<String>, D::Error> {
    let text = String::deserialize(input)?;
    match find_hidden(&text) {
        Some(hidden) => Err(D::Error::custom(format!("the text {hidden}"))),
        None => Ok(Some(text)),
    }
}

/// A text of one line, all of it visible.
pub fn visible_line<'de, D: Deserializer<'de>>(input: D) -> Result<Option<String>, D::Error> {
    let text = visible(input)?;
    match &text {
        Some(line) if line.contains('\n') => Err(D::Error::custom("the text is more than one line")),
        _ => Ok(text),
    }
}

pub fn http_patterns<'de, D: Deserializer<'de>>(input: D) -> Result<Vec<HttpPattern>, D::Error> {
    let texts = Vec::<String>::deserialize(input)?;
    texts.iter().map(|text| HttpPattern::parse(text).map_err(D::Error::custom)).collect()
}

pub fn state_patterns<'de, D: Deserializer<'de>>(input: D) -> Result<Vec<StatePattern>, D::Error> {
    let texts = Vec::<String>::deserialize(input)?;
    texts.iter().map(|text| StatePattern::parse(text).map_err(D::Error::custom)).collect()
}

/// Names of tools, or globs of them.
pub fn tool_globs<'de, D: Deserializer<'de>>(input: D) -> Result<Vec<String>, D::Error> {
    // `NAME/TOOL` is a tool of another server.
    let fits = |glob: &str| super::is_tool_name(&glob.replace(['*', '/', '.'], "_"));
    let globs = Vec::<String>::deserialize(input)?;
    match globs.iter().find(|glob| !fits(glob)) {
        Some(wrong) => Err(D::Error::custom(format!("'{wrong}' is no tool name ('*' stands for any text)"))),
        None => Ok(globs),
    }
}

/// Names of models, as `[models.NAME]` has them.
pub fn model_names<'de, D: Deserializer<'de>>(input: D) -> Result<Vec<String>, D::Error> {
    let names = Vec::<String>::deserialize(input)?;
    match names.iter().find(|name| !is_tool_name(name)) {
        Some(wrong) => {
            let wrong = wrong.escape_debug();
            Err(D::Error::custom(format!(
                "'{wrong}' is no name of a model: it takes 1 to 64 of A-Z, a-z, 0-9, '_', '-'"
            )))
        }
        None => Ok(names),
    }
}

pub fn env_names<'de, D: Deserializer<'de>>(input: D) -> Result<Vec<String>, D::Error> {
    let names = Vec::<String>::deserialize(input)?;
    match names.iter().find(|name| !is_env_name(name)) {
        Some(wrong) => Err(D::Error::custom(format!("'{wrong}' is no name of an environment variable"))),
        None => Ok(names),
    }
}

pub fn is_env_name(name: &str) -> bool {
    let start = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
    start && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// Names of components: as those of tools, and '.' inside.
pub fn is_component_name(name: &str) -> bool {
    !name.starts_with('.') && super::is_tool_name(&name.replace('.', "_"))
}

/// A text as a value.
pub(super) fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

/// A name as a part of a table's header.
pub(super) fn key(name: &str) -> String {
    if is_tool_name(name) { name.to_owned() } else { quoted(name) }
}
