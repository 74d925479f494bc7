//! Lives here: `tool check`: a component is run in a scratch engine, undisturbed and then interrupted at every record, with
//! players in the place of the world; what came out otherwise is reported.
//! May import: how components are loaded, the engine, the sandbox. Never here: a server, the data folder, a network.
//! Read first: this file, then `stage.rs`.

mod answers;
mod compare;
mod drive;
mod folders;
mod play;
mod report;
mod stage;

use std::path::PathBuf;
use std::sync::Arc;

use serde_json::Value;

use self::answers::Answers;
use self::compare::{At, Problem, differs, sent_again};
use self::drive::Run;
use self::folders::Folders;
use self::play::Switch;
use self::report::Report;
use self::stage::{Cut, Stage};
use super::args::CheckArgs;
use super::context::Context;
use super::exit::{CliError, Exit, Result};
use super::scratch::Scratch;
use super::server::load::{self, Loaded};
use super::server::open;
use super::show::render::escape;
use crate::catalog::Operator;
use crate::limits;
use crate::sandbox::Sandbox;

pub async fn run(args: CheckArgs, context: &Context) -> Result<Exit> {
    let arguments = arguments(args.args.as_deref())?;
    let answers = match &args.answers {
        Some(path) => Answers::read(path)?,
        None => Answers::default(),
    };
    let switch = Arc::new(Switch::new());
    let scratch = Scratch::new("check")
        .map_err(|error| CliError::failed(format_args!("cannot make a scratch folder: {error}")))?;
    let folders = Folders::below(scratch.path())?;
    let sandbox = open::played_sandbox(context, switch.clone(), folders.root())?;
    let (loaded, tool) = find(args.path, args.tool.as_deref(), &sandbox).await?;
    let folders = folders.bound(&loaded.component.holdings.requested.files, &args.bind)?;
    let stage =
        Stage::set((&loaded, &tool, arguments), (scratch, folders), answers, (sandbox, switch)).await?;
    let report = tokio::select! {
        report = check(&stage, &loaded, &tool) => report?,
        _ = tokio::signal::ctrl_c() => return Err(CliError::failed("interrupted; its scratch folder is gone")),
    };
    report.print(context.output)?;
    Ok(report.exit())
}

/// One undisturbed run, then one for each interruption.
async fn check(stage: &Stage, loaded: &Loaded, tool: &str) -> Result<Report> {
    let undisturbed = stage.run(Cut::Never).await?;
    let mut report = Report::new(&loaded.component, tool, &undisturbed);
    let (cuts, every_record) = cuts(&undisturbed);
    report.interruptions.every_record = every_record;
    for cut in cuts {
        let run = stage.run(cut).await?;
        // How many records there are depends a little on what is ready first.
        if !run.was_cut {
            continue;
        }
        report.interruptions.tried += 1;
        report.interruptions.resumed += u64::from(run.view.attempt > 1);
        report.interruptions.sent_again += sent_again(&undisturbed, &run) as u64;
        if let (Some(at), Some((kind, words))) = (At::of(cut, &undisturbed), differs(&undisturbed, &run)) {
            report.add(Problem { at, kind, words });
        }
    }
    Ok(report)
}

/// After every record, or after some where there are too many, and while each request is out.
fn cuts(undisturbed: &Run) -> (Vec<Cut>, bool) {
    let records = undisturbed.taken.records;
    let step = records.div_ceil(limits::MAX_CHECK_INTERRUPTIONS).max(1);
    let requests = undisturbed.requests.len();
    let most = usize::try_from(limits::MAX_CHECK_INTERRUPTIONS).unwrap_or(usize::MAX);
    let skip = requests.div_ceil(most).max(1);
    let of_records =
        (1..=records).rev().step_by(usize::try_from(step).unwrap_or(usize::MAX)).map(Cut::Record);
    let mut cuts: Vec<Cut> = of_records.collect();
    cuts.reverse();
    cuts.extend((1..=requests).step_by(skip).map(Cut::Request));
    (cuts, step == 1)
}

fn arguments(text: Option<&str>) -> Result<Value> {
    let value: Value = serde_json::from_str(text.unwrap_or("{}"))
        .map_err(|error| CliError::usage(format_args!("--args is no JSON: {error}")))?;
    match value {
        Value::Object(_) => Ok(value),
        _ => Err(CliError::usage("--args is no JSON object")),
    }
}

/// The component that has the tool, with what its manifest requests granted, and the operator's word left aside.
async fn find(path: PathBuf, tool: Option<&str>, sandbox: &Arc<Sandbox>) -> Result<(Loaded, String)> {
    let mut tools = Vec::new();
    let mut found = None;
    for file in load::find(vec![path]).await? {
        let loaded = load::load(file, sandbox.as_ref(), &Operator::default(), true).await?;
        let names: Vec<String> =
            loaded.component.tools.iter().map(|entry| entry.tool.definition.name.clone()).collect();
        let is_meant = tool.is_none_or(|tool| names.iter().any(|name| name == tool));
        tools.extend(names);
        if is_meant && found.is_none() {
            found = Some(loaded);
        }
    }
    let shown = tools.iter().map(|name| escape(name)).collect::<Vec<_>>().join(", ");
    match (found, tool, tools.as_slice()) {
        (Some(loaded), Some(tool), _) => Ok((loaded, tool.to_owned())),
        (Some(loaded), None, [only]) => Ok((loaded, only.clone())),
        (_, None, _) => {
            Err(CliError::usage(format_args!("there are several tools: {shown}")).next("--tool NAME"))
        }
        (None, Some(tool), _) => {
            Err(CliError::usage(format_args!("there is no tool {}: there are {shown}", escape(tool)))
                .next("--tool NAME"))
        }
    }
}
