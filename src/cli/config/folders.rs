//! `[folders]`: which folders tasks may have besides those that `[grants.NAME]` binds.

use std::path::{Component, Path, PathBuf};

use serde::Deserialize;
use serde::de::{Deserializer, Error as _};

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FoldersTable {
    #[serde(deserialize_with = "read_within")]
    pub within: Vec<PathBuf>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FoldersSettings {
    /// Whatever is in them may be bound. The file alone says so.
    pub within: Vec<PathBuf>,
    /// This program's folder among the user's configurations, whether it is there or not.
    pub config: Option<PathBuf>,
}

impl FoldersSettings {
    /// `config_home` is the XDG folder.
    pub fn new(within: Vec<PathBuf>, config_home: Option<&Path>) -> Self {
        Self { within, config: config_home.map(|home| home.join("longhaul")) }
    }
}

/// What is to be bound is judged by its path alone, so that these say a place and no more.
fn read_within<'de, D: Deserializer<'de>>(input: D) -> Result<Vec<PathBuf>, D::Error> {
    let within = Vec::<PathBuf>::deserialize(input)?;
    for path in &within {
        let has_name = path.components().any(|part| matches!(part, Component::Normal(_)));
        if !has_name || path.components().any(|part| part == Component::ParentDir) {
            let shown = path.display().to_string();
            return Err(D::Error::custom(format!(
                "'{}' is no folder to bind folders in; name one such as /srv, without '..'",
                shown.escape_debug()
            )));
        }
    }
    Ok(within)
}
