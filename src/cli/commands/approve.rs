//! `longhaul tool approve`

use std::io::{self, BufRead, IsTerminal};
use std::path::PathBuf;
use std::sync::Arc;

use super::{bind, lock_file, update};
use crate::api::{
    ApprovalsListed, ApprovedDocument, ToolApprovals, ToolApprove, ToolRevoke, UnapprovedDocument,
};
use crate::authority::{NamedCapability, Selector};
use crate::catalog::{Bindable, Bindings, Selection};
use crate::cli::args::ServerArgs;
use crate::cli::client::access::Access;
use crate::cli::client::hand;
use crate::cli::context::Context;
use crate::cli::exit::{CliError, Result};
use crate::cli::server::{catalog, open};
use crate::cli::show::render::{Table, escape, escape_text};
use crate::limits;

/// What is to be approved, and as what.
pub struct Asked {
    pub name: String,
    pub only: Vec<String>,
    pub without: Vec<String>,
    pub expires: Option<String>,
    /// As they were written, `SLOT=PATH` and `NAME=SOURCE`.
    pub bind: Vec<String>,
    pub secret: Vec<String>,
    pub digest: Option<String>,
}

/// Lists what waits and what is approved, or shows one component and approves it.
pub async fn run(
    asked: Option<Asked>,
    tools: Vec<PathBuf>,
    server: &ServerArgs,
    context: &Context,
) -> Result<()> {
    let mut access = Access::open_or_make(server.url(), context).await?;
    let done = match look_at_files(&access, tools, context).await {
        Ok(()) => with(&mut access, asked, server, context).await,
        Err(error) => Err(error),
    };
    access.close().await;
    done
}

/// Where no server runs, what waits is known once the files have been looked at as a start looks at them.
pub(super) async fn look_at_files(access: &Access, tools: Vec<PathBuf>, context: &Context) -> Result<()> {
    let Access::Store(engine) = access else { return Ok(()) };
    let settings = &context.settings;
    let paths = if tools.is_empty() { settings.tool_paths.clone() } else { tools };
    if paths.is_empty() {
        return Err(CliError::usage("no server runs, and no tools are named")
            .next("name them with --tools PATH, as the server is started"));
    }
    let sandbox = open::sandbox(context)?;
    let catalog = catalog::of_files(engine, sandbox.as_ref(), paths, settings).await?;
    engine.set_catalog(Arc::new(catalog));
    Ok(())
}

/// Takes an approval back.
pub async fn revoke(name: String, server: &ServerArgs, context: &Context) -> Result<()> {
    let mut access = Access::open(server.url(), context).await?;
    let done = access.run(ToolRevoke { name }).await;
    access.close().await;
    let revoked = done?;
    lock_file::note_revoked(&revoked.name, server, context)?;
    if context.output.json {
        return context.output.json(&revoked);
    }
    eprintln!(
        "{}: it is not served any more, and its tasks have lost what they were granted, until it is approved again",
        escape(&revoked.name)
    );
    Ok(())
}

async fn with(
    access: &mut Access,
    asked: Option<Asked>,
    server: &ServerArgs,
    context: &Context,
) -> Result<()> {
    let listed = access.run(ToolApprovals {}).await?;
    let Some(asked) = asked else { return list(&listed, context) };
    let seen = Seen::find(listed, &asked.name).ok_or_else(|| {
        CliError::not_found(format_args!(
            "no component '{}' waits for approval, or is served by one",
            escape(&asked.name)
        ))
        .next("longhaul tool approve, for a list of them")
    })?;
    hand::may_approve(hand::is_person(&context.settings))?;
    lock_file::check(server, context)?;
    // The folders of another machine cannot be looked at from here.
    let is_here = server.url().is_none();
    let bindings = bind::parse(&asked.bind, &asked.secret, is_here)?;
    bindings.check_among(&seen.bindable).map_err(CliError::refused)?;
    if is_here {
        bind::check_apart(&bindings, &seen.bindable, context)?;
    }
    seen.show();
    seen.show_given(&asked, &bindings)?;
    if seen.is_waiting {
        show_trials(access, &seen.name).await;
    }
    let digest = match &asked.digest {
        Some(digest) => digest.clone(),
        None => confirmed(&seen, &asked)?,
    };
    let written = if is_here { bind::let_open(&bindings, &seen.bindable, context)? } else { None };
    let Asked { name, only, without, expires, .. } = asked;
    let (bind, secret) = bindings.to_pairs();
    let approving = ToolApprove { name, digest, only, without, expires, bind, secret };
    let approved = match access.run(approving).await {
        Ok(approved) => approved,
        Err(error) => {
            if let Some(written) = written {
                bind::take_out(written);
            }
            return Err(error);
        }
    };
    // From here on another command may write it.
    drop(written);
    lock_file::note_approved(&approved, server, context)?;
    if context.output.json {
        return context.output.json(&approved);
    }
    let when = if access.runs_nothing() { "it is served from the next start on" } else { "it is served" };
    let until = approved.expires_at.as_deref().map(|at| format!(", until {at}")).unwrap_or_default();
    eprintln!("{}: approved; {when}{until}", escape(&approved.name));
    Ok(())
}

/// What becomes of the tasks that have another version. Where that cannot be said, the approval goes on without it.
async fn show_trials(access: &mut Access, name: &str) {
    match update::trials(access, name, None, limits::MAX_TRIALS_AT_APPROVAL).await {
        Ok(trials) if trials.tasks.is_empty() => {}
        Ok(trials) => {
            let more = if trials.has_more() { ", of those that were tried" } else { "" };
            eprintln!(
                "  its open tasks stay on the version that they have; with this one: {}{more}",
                trials.summary()
            );
            let name = escape(name);
            eprintln!(
                "  which, and why: longhaul tool update {name} --try; then --move-tasks moves those that fit"
            );
        }
        Err(error) => eprintln!("  its open tasks were not tried with it: {}", escape_text(&error.message)),
    }
}

fn list(listed: &ApprovalsListed, context: &Context) -> Result<()> {
    if context.output.json {
        return context.output.json(listed);
    }
    let mut table = Table::new(&["NAME", "STANDS", "MAY USE", "TOOLS", "DIGEST"]);
    listed.waiting.iter().for_each(|it| {
        let offered = in_words(&it.offered, "nothing");
        let stands = format!("waits: {}", it.since.words());
        table.row([&it.name, &stands, &format!("asks for {offered}"), &it.tools.join(" "), &it.digest]);
    });
    listed.approved.iter().for_each(|it| {
        let stands =
            it.expires_at.as_deref().map_or("approved".to_owned(), |at| format!("approved until {at}"));
        table.row([
            &it.name,
            &stands,
            &in_words(&it.capabilities, "nothing"),
            &it.tools.join(" "),
            &it.digest,
        ]);
    });
    context.output.table(&table)
}

fn in_words(capabilities: &[NamedCapability], none: &str) -> String {
    let words: Vec<String> = capabilities.iter().map(ToString::to_string).collect();
    if words.is_empty() { none.to_owned() } else { words.join(" ") }
}

/// What a person is shown before they approve it.
struct Seen {
    name: String,
    digest: String,
    words: Vec<String>,
    tools: Vec<String>,
    offered: Vec<NamedCapability>,
    bindable: Vec<Bindable>,
    is_waiting: bool,
}

impl Seen {
    fn find(listed: ApprovalsListed, name: &str) -> Option<Self> {
        let waiting = listed.waiting.into_iter().find(|waiting| waiting.name == name);
        waiting
            .map(Self::from)
            .or_else(|| listed.approved.into_iter().find(|approved| approved.name == name).map(Self::from))
    }

    /// All that the approval is of, as far as it is no plain tool.
    fn show(&self) {
        let mut words = self.words.iter();
        let first = words.next().map(|word| escape_text(word)).unwrap_or_default();
        eprintln!("{}: {first}", escape(&self.name));
        words.for_each(|reason| eprintln!("  {}", escape_text(reason)));
        let tools: Vec<_> = self.tools.iter().map(|tool| escape(tool)).collect();
        eprintln!("  its tools: {}", tools.join(", "));
        eprintln!("  {}", self.digest);
    }

    /// What the approval would give, which the server works out again.
    fn show_given(&self, asked: &Asked, bindings: &Bindings) -> Result<()> {
        let parsed = |texts: &[String]| -> Result<Vec<Selector>> {
            texts.iter().map(|text| Selector::parse(text).map_err(CliError::usage)).collect()
        };
        let selection = Selection { only: parsed(&asked.only)?, without: parsed(&asked.without)? };
        let offered = self.offered_with(bindings);
        let given = selection.of(&offered).map_err(CliError::usage)?;
        eprintln!("  approved, it may use: {}", escape(&in_words(&given, "nothing")));
        let bound = bindings.folders.iter().chain(&bindings.secrets);
        bound.for_each(|(name, to)| eprintln!("  bound: {} to {}", escape(name), escape(to)));
        for (kept, to) in self.bindable.iter().filter_map(|one| Some((one, one.to.as_deref()?))) {
            if given.contains(&kept.capability) && !is_bound_by(bindings, &kept.capability) {
                eprintln!("  bound as before: {} to {}", escape(&kept.capability.to_string()), escape(to));
            }
        }
        let left: Vec<_> = offered.iter().filter(|one| !given.contains(one)).cloned().collect();
        if !left.is_empty() {
            eprintln!("  and not: {}", escape(&in_words(&left, "nothing")));
        }
        for unbound in self.bindable.iter().filter(|one| !offered.contains(&one.capability)) {
            let (capability, option) = (unbound.capability.to_string(), unbound.option());
            eprintln!("  and not: {}, without {}", escape(&capability), escape(&option));
        }
        if let Some(expires) = &asked.expires {
            eprintln!("  until: {}", escape(expires));
        }
        Ok(())
    }

    fn offered_with(&self, bindings: &Bindings) -> Vec<NamedCapability> {
        let is_bound = |one: &&Bindable| is_bound_by(bindings, &one.capability);
        let bound = self.bindable.iter().filter(is_bound).map(|one| one.capability.clone());
        let mut offered: Vec<_> = self.offered.iter().cloned().chain(bound).collect();
        offered.sort_by_cached_key(ToString::to_string);
        offered.dedup();
        offered
    }
}

fn is_bound_by(bindings: &Bindings, capability: &NamedCapability) -> bool {
    match capability {
        NamedCapability::Files(slot) => bindings.folders.contains_key(slot),
        NamedCapability::Secrets(name) => bindings.secrets.contains_key(name),
        _ => false,
    }
}

impl From<UnapprovedDocument> for Seen {
    fn from(waiting: UnapprovedDocument) -> Self {
        let UnapprovedDocument { name, digest, tools, since, reasons, offered, bindable } = waiting;
        let words = std::iter::once(since.words().to_owned()).chain(reasons).collect();
        Self { name, digest, words, tools, offered, bindable, is_waiting: true }
    }
}

impl From<ApprovedDocument> for Seen {
    fn from(approved: ApprovedDocument) -> Self {
        let ApprovedDocument { name, digest, tools, capabilities, offered, expires_at, bindable, .. } =
            approved;
        let until = expires_at.map(|at| format!(" until {at}")).unwrap_or_default();
        let words =
            vec![format!("it is approved{until}, and may use: {}", in_words(&capabilities, "nothing"))];
        Self { name, digest, words, tools, offered, bindable, is_waiting: false }
    }
}

/// What was shown, where the person says so.
fn confirmed(waiting: &Seen, asked: &Asked) -> Result<String> {
    if !io::stdin().is_terminal() {
        let options = [
            ("--only", &asked.only),
            ("--without", &asked.without),
            ("--bind", &asked.bind),
            ("--secret", &asked.secret),
        ];
        let named = options.iter().flat_map(|(option, texts)| texts.iter().map(move |text| (*option, text)));
        let all = named.chain(asked.expires.iter().map(|text| ("--expires", text)));
        let same: String = all.map(|(option, text)| format!(" {option} '{}'", escape(text))).collect();
        return Err(CliError::usage("stdin is no terminal, so the question cannot be asked").next(format!(
            "longhaul tool approve {}{same} --digest {}",
            escape(&waiting.name),
            waiting.digest
        )));
    }
    eprint!("Serve it? Type yes: ");
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line).map_err(CliError::failed)?;
    if line.trim().eq_ignore_ascii_case("yes") {
        return Ok(waiting.digest.clone());
    }
    Err(CliError::refused(format_args!("{} is not approved", escape(&waiting.name))))
}
