//! From component files to a catalog: read, inspect, assemble.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{errands, guests, tools};
use crate::authority::Grant;
use crate::catalog::{
    Candidate, Component, ComponentFile, Operator, RefusedBound, RequestText, Requests, Statement,
    bound_lines,
};
use crate::cli::exit::{CliError, Result};
use crate::cli::show::render::{self, escape};
use crate::engine::{InspectError, Runner};
use crate::launch::Launch;
use crate::limits;
use crate::task::ComponentId;

/// A component with its bytes, as it would be served.
pub struct Loaded {
    pub file: ComponentFile,
    pub bytes: Arc<[u8]>,
    pub component: Component,
    /// What an approval of it is of; none of one that needs no approval.
    pub statement: Option<Statement>,
}

/// As [`tools::find`], away from the threads that must not block. Cargo and we speak on stderr.
pub async fn find(paths: Vec<PathBuf>) -> Result<Vec<ComponentFile>> {
    let found = tokio::task::spawn_blocking(move || tools::find(&paths, &|line| eprintln!("{line}"))).await;
    found.map_err(CliError::failed)?
}

/// The same in a server, which has workspaces built by another process.
pub async fn find_in_server(paths: &[PathBuf], launch: &Launch) -> Result<Vec<ComponentFile>> {
    let mut found: Vec<ComponentFile> = Vec::new();
    for path in paths {
        let of_path = if guests::is_workspace(path) {
            errands::built(launch, path).await?
        } else {
            find(vec![path.clone()]).await?
        };
        for file in of_path {
            if !found.iter().any(|there| there.path == file.path) {
                found.push(file);
            }
        }
    }
    Ok(found)
}

/// Reads a component, and does as [`inspect`] with it.
pub async fn load(
    file: ComponentFile,
    runner: &dyn Runner,
    operator: &Operator,
    trust: bool,
) -> Result<Loaded> {
    let (bytes, requests) = read(&file)?;
    inspect(file, (bytes, &requests), runner, operator, trust).await
}

/// What is in a component's files.
pub fn read(file: &ComponentFile) -> Result<(Arc<[u8]>, RequestText)> {
    Ok((file.bytes().map_err(CliError::failed)?, file.requests().map_err(CliError::usage)?))
}

/// The same where this process may not be let look: then another one does.
pub async fn read_by(file: &ComponentFile, launch: &Launch) -> Result<(Arc<[u8]>, RequestText)> {
    match read(file) {
        Err(_) if launch.launcher_pid().is_some() => errands::read_outside(launch, &file.path).await,
        read => read,
    }
}

/// Looks into a component without running it, and applies what it requests and the operator's word.
pub async fn inspect(
    file: ComponentFile,
    (bytes, requests): (Arc<[u8]>, &RequestText),
    runner: &dyn Runner,
    operator: &Operator,
    trust: bool,
) -> Result<Loaded> {
    let Requests { manifest, words } = requests.parse().map_err(CliError::usage)?;
    words.iter().for_each(|line| eprintln!("{}: {}", escape(&file.name), escape(line)));
    let place = file.path.display().to_string();
    // Before it is compiled.
    let signed = match file.own {
        true => None,
        false => {
            let version = manifest.version.as_deref();
            let checked = operator.signers.check(&file.name, &bytes, requests, version);
            checked.map_err(|error| CliError::usage(format_args!("{place}: {error}")))?
        }
    };
    let what = format!("{} ({})", escape(&file.name), render::bytes(bytes.len() as u64));
    let looked =
        told_when_slow(&what, SLOW, &|line| eprintln!("{line}"), runner.inspect(bytes.clone())).await;
    let inspection = looked.map_err(|error| match error {
        InspectError::HostFault(_) => CliError::failed(format_args!("{place}: {error}")),
        // What is refused of a component stands in the error, with what to do about it.
        InspectError::Unsupported(_) | InspectError::BadDefinition(_) => {
            CliError::failed(format_args!("{place}: {error}"))
                .next("leave it out, or build it again without what is refused; a damaged file is built or copied again")
        }
        InspectError::NotAComponent(_) => CliError::failed(format_args!("{place}: {error}")).next(
            "leave it out, or build it as a component: longhaul tool build DIR does that for a Rust workspace",
        ),
    })?;
    let candidate = Candidate {
        name: file.name.clone(),
        id: ComponentId::of_bytes(&bytes),
        manifest,
        inspection,
        trusted: trust || file.own,
        signed,
    };
    let refused = |error| CliError::usage(format_args!("{place}: {error}"));
    let statement = (!candidate.trusted).then(|| Statement::of(candidate.clone(), operator));
    let mut component = Component::assemble(candidate, operator).map_err(refused)?;
    component.holdings.notes.extend(words);
    Ok(Loaded { file, bytes, component, statement: statement.transpose().map_err(refused)? })
}

/// A component that is not compiled by then is spoken of.
const SLOW: Duration = Duration::from_millis(limits::SLOW_COMPILE_MS);

/// Says that a component is being compiled, where that takes longer than `slow`, and how long it took.
async fn told_when_slow<T>(
    what: &str,
    slow: Duration,
    say: &dyn Fn(&str),
    work: impl Future<Output = T>,
) -> T {
    let began = Instant::now();
    let mut work = std::pin::pin!(work);
    if let Ok(done) = tokio::time::timeout(slow, work.as_mut()).await {
        return done;
    }
    say(&format!("{what}: compiling it for this machine; where the result is kept, the next start is quick"));
    let done = work.await;
    say(&format!("{what}: compiled in {:.1} s", began.elapsed().as_secs_f64()));
    done
}

/// What the start of a server says of a component, line by line.
pub fn summary(component: &Component) -> Vec<String> {
    let tools: Vec<String> =
        component.tools.iter().map(|entry| escape(&entry.tool.definition.name)).collect();
    let held = &component.holdings;
    let because =
        if held.trusted && !held.grant.is_empty() { " (trusted: as its manifest requests)" } else { "" };
    let mut lines = vec![format!("{}: tools {}", escape(&component.name), tools.join(", "))];
    lines.extend(powers(&held.grant).into_iter().map(|power| format!("  granted {power}{because}")));
    // What the configuration names is the last word; where it names nothing, an approval is.
    let is_by_approval = match &component.approval {
        Some(approval) => approval.statement.granted.is_empty(),
        None => held.grant.is_empty() && !held.trusted,
    };
    let name = escape(&component.name);
    let see = match is_by_approval {
        true => format!("longhaul tool approve {name}"),
        false => format!("[grants.{name}] in longhaul.toml"),
    };
    let denied = powers(&held.denied).into_iter();
    lines.extend(denied.map(|power| format!("  requested, not granted: {power} (see {see})")));
    if !held.refused.is_empty() {
        let refused: Vec<String> = held.refused.iter().map(RefusedBound::to_string).collect();
        lines.push(format!("  requested, not given: {}; to give it, in longhaul.toml:", refused.join(", ")));
        let given = bound_lines(&component.name, &held.refused);
        lines.extend(given.lines().map(|line| format!("    {line}")));
    }
    lines
}

/// A grant in words, one line a power.
pub fn powers(grant: &Grant) -> Vec<String> {
    grant.words().iter().map(|power| escape(power)).collect()
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    #[tokio::test]
    async fn what_takes_long_to_compile_is_spoken_of_and_nothing_else() {
        let said = RefCell::new(Vec::new());
        let say = |line: &str| said.borrow_mut().push(line.to_owned());
        let quick =
            told_when_slow("table (18 MiB)", Duration::from_secs(3600), &say, std::future::ready(7)).await;
        assert_eq!((quick, said.borrow().len()), (7, 0));
        // It ends once the first line was said.
        let slow = std::future::poll_fn(|context| {
            context.waker().wake_by_ref();
            if said.borrow().is_empty() { std::task::Poll::Pending } else { std::task::Poll::Ready(8) }
        });
        assert_eq!(told_when_slow("table (18 MiB)", Duration::ZERO, &say, slow).await, 8);
        let said = said.into_inner();
        assert!(said[0].starts_with("table (18 MiB): compiling"), "{said:?}");
        assert!(said[1].starts_with("table (18 MiB): compiled in "), "{said:?}");
        assert_eq!(said.len(), 2);
    }

    use crate::authority::{Access, FileGrant, HttpPattern, SecretGrant, StatePattern};

    #[test]
    fn a_grant_is_told_power_by_power() {
        let grant = Grant {
            http: vec![HttpPattern::parse("https://api.example.com").expect("a pattern")],
            files: vec![FileGrant {
                slot: "docs".into(),
                at: "/docs".into(),
                access: Access::Read,
                path: Some("/srv\n".into()),
            }],
            env: vec!["LANG".into()],
            secrets: vec![SecretGrant {
                name: "key".into(),
                host: "api.example.com".into(),
                header: "authorization".into(),
                from: Some("env:KEY".into()),
            }],
            state: vec![StatePattern::parse("trips:read").expect("a pattern")],
            tools: vec!["research_agent".into()],
            elicit: true,
            sample: true,
            models: vec!["fast".into()],
        };
        let seen = powers(&grant);
        assert_eq!(seen.len(), 9, "{seen:?}");
        assert_eq!(seen[1], "files docs at /docs (read) from /srv\\n");
        assert!(powers(&Grant::default()).is_empty());
    }
}
