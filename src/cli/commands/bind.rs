//! What `--bind` and `--secret` of `longhaul tool approve` say, and what they let be opened on this machine.

use std::path::{Path, PathBuf};

use crate::authority::Access;
use crate::catalog::{Bindable, Bindings};
use crate::cli::config::bindings::{Added, add};
use crate::cli::context::Context;
use crate::cli::exit::{CliError, Result};
use crate::cli::programs;
use crate::cli::show::render::escape;
use crate::secrets::SecretSource;

/// `is_here` says that the server is one of this machine, so that its folders can be looked at.
pub fn parse(bind: &[String], secret: &[String], is_here: bool) -> Result<Bindings> {
    let mut bindings = Bindings::of_pairs(bind, secret).map_err(CliError::usage)?;
    if is_here {
        bindings
            .folders
            .iter_mut()
            .try_for_each(|(slot, path)| folder(slot, path).map(|whole| *path = whole))?;
    }
    for (name, source) in &mut bindings.secrets {
        *source = whole_source(name, source, is_here)?;
    }
    Ok(bindings)
}

/// Its whole path, without a link on the way, as it is held.
fn folder(slot: &str, path: &str) -> Result<String> {
    let refused = |why: &str| {
        CliError::usage(format_args!("--bind: '{}' for the slot '{}' {why}", escape(path), escape(slot)))
            .next("name a folder that is there")
    };
    let whole =
        Path::new(path).canonicalize().map_err(|error| refused(&format!("cannot be bound: {error}")))?;
    match whole.is_dir() {
        true => whole.into_os_string().into_string().map_err(|_| refused("has a name that is no text")),
        false => Err(refused("is no folder")),
    }
}

/// A file of this machine may be named from the working folder.
fn whole_source(name: &str, source: &str, is_here: bool) -> Result<String> {
    let relative = source.strip_prefix("file:").filter(|path| is_here && !path.is_empty());
    let whole = relative.and_then(|path| std::path::absolute(path).ok());
    let source = whole.map_or(source.to_owned(), |path| format!("file:{}", path.display()));
    let parsed = source.parse::<SecretSource>();
    parsed.map(|source| source.to_string()).map_err(|error| {
        CliError::usage(format_args!("--secret {}: {error}", escape(name)))
            .next("such as --secret key=env:API_KEY")
    })
}

/// Whether each folder for a slot that is requested is one that may be held at all, wherever that is stated.
pub fn check_apart(bindings: &Bindings, bindable: &[Bindable], context: &Context) -> Result<()> {
    let may_hold = programs::may_hold(&context.settings);
    let is_requested = |slot: &String| bindable.iter().any(|one| one.slot() == Some(slot));
    let mut requested = bindings.folders.iter().filter(|(slot, _)| is_requested(slot));
    requested.try_for_each(|(_, path)| {
        may_hold
            .check_apart(Path::new(path))
            .map_err(|why| CliError::refused(format_args!("{} cannot be held: {why}", escape(path))))
    })
}

/// Writes down what the processes outside of the server's walls may open for it. What is new, where any is.
pub fn let_open(bindings: &Bindings, bindable: &[Bindable], context: &Context) -> Result<Option<Added>> {
    let folder = |(slot, path): (&String, &String)| {
        let asked = bindable.iter().find(|one| one.slot() == Some(slot))?;
        Some((PathBuf::from(path), asked.access.unwrap_or(Access::Read)))
    };
    let folders: Vec<_> = bindings.folders.iter().filter_map(folder).collect();
    let sources = bindings.secrets.values().filter_map(|source| source.parse().ok());
    // A server has its own environment within its walls.
    let secrets: Vec<_> = sources.filter(|source| !matches!(source, SecretSource::Env(_))).collect();
    if folders.is_empty() && secrets.is_empty() {
        return Ok(None);
    }
    let file = context.settings.bindings.as_deref().ok_or_else(|| {
        CliError::failed("there is no folder for this user's configuration, where bindings are kept")
            .next("set XDG_CONFIG_HOME or HOME, or bind it in [grants.NAME] of longhaul.toml")
    })?;
    let written = add(file, context.data(), &folders, &secrets).map_err(|error| {
        CliError::failed(format_args!("{} cannot be written: {error}", file.display()))
            .next("mend that, or bind it in [grants.NAME] of longhaul.toml")
    })?;
    if written.is_some() {
        eprintln!("written: {}", file.display());
    }
    Ok(written)
}

/// What was bound for an approval that came to nothing is taken out again.
pub fn take_out(added: Added) {
    let file = added.path().display().to_string();
    match added.undo() {
        Ok(()) => eprintln!("what was bound for it is taken out of {file} again"),
        Err(error) => {
            eprintln!("it was bound in {file} before that ({error}): take it out there, or approve it again")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_bound_by_their_whole_path_and_sources_are_never_repeated() {
        let base = tempfile::tempdir().expect("a folder");
        let base = base.path().canonicalize().expect("a path");
        std::fs::create_dir(base.join("docs")).expect("made");
        std::fs::write(base.join("file"), "").expect("written");
        std::os::unix::fs::symlink(base.join("docs"), base.join("link")).expect("linked");
        let at = |slot: &str, name: &str| format!("{slot}={}", base.join(name).display());
        let bound = parse(&[at("docs", "link")], &["key=env:KEY".to_owned()], true).expect("bound");
        assert_eq!(bound.folders["docs"], base.join("docs").to_string_lossy());
        assert_eq!(bound.secrets["key"], "env:KEY");
        let there = parse(&[], &["key=file:Cargo.toml".to_owned()], true).expect("bound");
        assert!(there.secrets["key"].starts_with("file:/"), "{there:?}");
        for (bind, secret, why) in [
            (Some("docs".to_owned()), None, "bound as SLOT=PATH"),
            (Some("=/srv".to_owned()), None, "bound as SLOT=PATH"),
            (Some(at("docs", "file")), None, "is no folder"),
            (Some(at("docs", "none")), None, "cannot be bound"),
            (None, Some("key=sk-canary"), "a secret comes from"),
            (None, Some("sk-canary"), "bound as NAME=SOURCE"),
        ] {
            let secrets: Vec<String> = secret.into_iter().map(str::to_owned).collect();
            let error = parse(&Vec::from_iter(bind), &secrets, true).expect_err(why).message;
            assert!(error.contains(why) && !error.contains("canary"), "{error}");
        }
        let twice = ["key=env:A".to_owned(), "key=env:B".to_owned()];
        assert!(parse(&[], &twice, true).expect_err("refused").message.contains("twice"));
    }
}
