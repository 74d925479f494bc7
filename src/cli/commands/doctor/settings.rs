//! What the configuration says.

use std::collections::BTreeMap;

use super::check::Check;
use super::machine::{connections_of, limit_of_descriptors};
use crate::cli::config::{Isolation, ModelSettings};
use crate::cli::context::Context;
use crate::cli::programs::secret_sources;
use crate::cli::server::machine;
use crate::cli::show::render::bytes;
use crate::limits;
use crate::secrets::read_here;
use crate::shares::{Bound, Pool};

pub fn configuration(context: &Context) -> Check {
    match &context.settings.file {
        Some(file) => Check::ok("configuration", file.display().to_string()),
        None => match &context.settings.unread {
            Some(here) => Check::ok(
                "configuration",
                format!("none: the defaults hold ({} is not read without --config)", here.display()),
            ),
            None => Check::ok("configuration", "none: the defaults hold"),
        },
    }
}

/// As this command reads them, which has its own environment and not the server's.
pub fn secrets(context: &Context) -> Check {
    const WHAT: &str = "secrets";
    let sources = secret_sources(&context.settings);
    let missing: Vec<String> =
        sources.iter().filter_map(|source| read_here(source).err()).map(|error| error.to_string()).collect();
    match (sources.len(), missing.len()) {
        (0, _) => Check::ok(WHAT, "none"),
        (all, 0) => Check::ok(WHAT, format!("{all}, each of which can be read")),
        (all, _) => Check::warn(
            WHAT,
            format!("of {all} there are not: {}", missing.join("; ")),
            "requests that want them fail; what a server was started with, this command does not see",
        ),
    }
}

/// Which are configured, and whether their keys are there; no endpoint is asked.
pub fn models(models: &BTreeMap<String, ModelSettings>) -> Check {
    const WHAT: &str = "models";
    if models.is_empty() {
        return Check::ok(WHAT, "none");
    }
    let mut missing = Vec::new();
    let found: Vec<String> = models
        .iter()
        .map(|(name, model)| {
            let key = match &model.key {
                None => "no key".to_owned(),
                Some(source) if read_here(source).is_ok() => format!("key from {source}"),
                Some(source) => {
                    missing.push(name.as_str());
                    format!("its key is not there: {source}")
                }
            };
            format!("{name} ({}, {key})", model.model.escape_debug())
        })
        .collect();
    let found = found.join(", ");
    if missing.is_empty() {
        return Check::ok(WHAT, found);
    }
    let advice = format!(
        "what asks {} is answered that it is unavailable; what a server was started with, this command does not see",
        missing.join(", ")
    );
    Check::warn(WHAT, found, advice)
}

/// What there is of each thing, for all callers and for one principal with tokens.
pub fn shares(context: &Context) -> Check {
    let bounds = {
        let connections = connections_of(limit_of_descriptors(context.data()));
        machine::bounds(&context.settings, connections, context.data())
    };
    let each = Pool::ALL.iter().map(|pool| {
        let Bound { process, share, .. } = bounds[*pool];
        let amount = |count: u64| if pool.is_in_bytes() { bytes(count) } else { count.to_string() };
        match process {
            u64::MAX => format!("{} {}", pool.name(), amount(share)),
            _ => format!("{} {} of {}", pool.name(), amount(share), amount(process)),
        }
    });
    let each: Vec<String> = each.collect();
    Check::ok("shares", format!("of each principal: {}; [shares] sets others", each.join(", ")))
}

/// Where components run that are served by an approval or a grant.
pub fn isolation(context: &Context) -> Check {
    const WHAT: &str = "guests of strangers";
    match context.settings.engine.isolate {
        Isolation::Process => Check::ok(
            WHAT,
            format!("in worker processes, one for each component and at most {}", limits::MAX_WORKERS),
        ),
        Isolation::None => Check::ok(
            WHAT,
            "in the server's process; isolate = \"process\" under [engine] in longhaul.toml gives each a worker",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_model_is_shown_with_its_key() {
        let lines = "[a]\napi = \"openai-chat\"\nurl = \"http://127.0.0.1:1/v1\"\nmodel = \"one\"\nkey = \"env:NO_SUCH_KEY\"\n\
                     [b]\napi = \"anthropic\"\nurl = \"http://127.0.0.1:1/v1\"\nmodel = \"two\"\n\
                     [c]\napi = \"anthropic\"\nurl = \"http://127.0.0.1:1/v1\"\nmodel = \"three\"\nkey = \"env:PATH\"\n";
        let mut settings: BTreeMap<String, ModelSettings> = toml::from_str(lines).expect("settings");
        let check = models(&settings);
        let found =
            "a (one, its key is not there: env:NO_SUCH_KEY), b (two, no key), c (three, key from env:PATH)";
        assert_eq!((check.ok, check.found.as_str()), (false, found));
        assert!(check.advice.is_some_and(|advice| advice.starts_with("what asks a is")), "and no other");
        settings.remove("a");
        assert!(models(&settings).ok);
        assert_eq!(models(&BTreeMap::new()).found, "none");
    }
}
