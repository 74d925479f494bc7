//! From the component files of the settings to what is served of them, and what waits for a person's approval.

use std::path::PathBuf;

use super::load::{self, Loaded};
use crate::api;
use crate::authority::Principal;
use crate::catalog::{Admission, Catalog, FirstSight, Reasons, Statement, Unapproved, flags};
use crate::cli::config::Settings;
use crate::cli::exit::{CliError, Result};
use crate::cli::show::render::{escape, escape_text};
use crate::engine::{Approvals, Runner, TaskEngine};

/// Says on stderr what becomes of each. One that cannot be served keeps no other from it; it is an error where none is left.
pub async fn of_files(
    engine: &TaskEngine,
    runner: &dyn Runner,
    paths: Vec<PathBuf>,
    settings: &Settings,
) -> Result<Catalog> {
    let (mut all, mut first_error) = (Vec::new(), None);
    for file in load::find(paths).await? {
        match load::load(file, runner, &settings.operator, settings.trust).await {
            Ok(loaded) if is_kept(engine, &loaded).await? => all.push(loaded),
            Ok(_) => {}
            Err(error) => {
                say_left_out(&error);
                first_error.get_or_insert(error);
            }
        }
    }
    let mut approvals = engine.approvals().await?;
    let mut catalog = Catalog::reserving(api::names());
    for loaded in &all {
        load::summary(&loaded.component).iter().for_each(|line| eprintln!("{}", escape(line)));
        let component = loaded.component.clone();
        let Some((statement, reasons)) = waits(&mut approvals, loaded, &all) else {
            match catalog.with(component).map_err(CliError::usage) {
                Ok(with) => catalog = with,
                Err(error) => {
                    say_left_out(&error);
                    first_error.get_or_insert(error);
                }
            }
            continue;
        };
        say_waiting(&component.name, &reasons);
        catalog = catalog.with_unapproved(Unapproved { component, statement: statement.clone(), reasons });
    }
    engine.pin_components(&Principal::local(), approvals).await?;
    match first_error {
        Some(error) if catalog.tools().len() == 0 && catalog.unapproved().len() == 0 => Err(error),
        _ => Ok(catalog),
    }
}

fn say_left_out(error: &CliError) {
    eprintln!("left out: {}", escape_text(&error.to_string()));
}

/// Whether the store has the component's bytes, without which its tasks could not go on.
async fn is_kept(engine: &TaskEngine, loaded: &Loaded) -> Result<bool> {
    match engine.store_component(loaded.bytes.clone(), &loaded.component.name).await {
        Err(error) if error.passes() => {
            eprintln!(
                "{} is not served: the disk has no room to keep it; make some and start again",
                escape(&loaded.component.name)
            );
            Ok(false)
        }
        stored => Ok(stored.map(|_| true)?),
    }
}

/// What a person has to see first, where they have to.
fn waits<'a>(
    approvals: &mut Approvals,
    loaded: &'a Loaded,
    all: &[Loaded],
) -> Option<(&'a Statement, Reasons)> {
    let statement = loaded.statement.as_ref()?;
    let name = &loaded.component.name;
    let others = all.iter().filter(|other| other.component.name != *name);
    let others = others.flat_map(|other| &other.component.tools);
    let flags = flags(statement, others.map(|entry| entry.tool.definition.name.as_str()));
    match approvals.admit(name, statement, &flags) {
        Admission::Approved | Admission::Pinned(FirstSight::AsksForNothing) => None,
        Admission::Pinned(FirstSight::GrantedBefore) => {
            eprintln!(
                "  what {} is now counts as approved, with what it is granted; any change of either waits for a person",
                escape(name)
            );
            None
        }
        Admission::Waits(reasons) => Some((statement, reasons)),
    }
}

fn say_waiting(name: &str, reasons: &Reasons) {
    let name = escape(name);
    eprintln!("  {name} is not served: {}", reasons.summary());
    reasons.lines.iter().for_each(|line| eprintln!("    {}", escape(line)));
    eprintln!("  to look at it and serve it: longhaul tool approve {name}");
}
