//! What the configuration says.

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
pub fn models(context: &Context) -> Check {
    const WHAT: &str = "models";
    let found = |(name, model): (&String, &ModelSettings)| {
        let key = match &model.key {
            None => "no key".to_owned(),
            Some(source) => match read_here(source) {
                Ok(_) => format!("key from {source}"),
                Err(_) => return Err(format!("{name}: its key is not there: {source}")),
            },
        };
        Ok(format!("{name} ({}, {key})", model.model.escape_debug()))
    };
    let found: Result<Vec<String>, String> = context.settings.models.iter().map(found).collect();
    match found {
        Ok(models) if models.is_empty() => Check::ok(WHAT, "none"),
        Ok(models) => Check::ok(WHAT, models.join(", ")),
        Err(missing) => Check::warn(
            WHAT,
            missing,
            "what asks that model is answered that it is unavailable; what a server was started with, this command \
             does not see",
        ),
    }
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
