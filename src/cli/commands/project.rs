//! `longhaul tool new` and `longhaul tool build`

use serde_json::json;

use crate::catalog::ComponentFile;
use crate::cli::args::{BuildArgs, NewArgs};
use crate::cli::exit::{CliError, Result};
use crate::cli::projects;
use crate::cli::server::guests::{self, BuiltGuest};
use crate::cli::show::render::{Output, Table, bytes, shell_word};

pub fn new(args: &NewArgs, output: Output) -> Result<()> {
    let made = projects::create(&args.folder, args.lang)?;
    if output.json {
        return output.json(&json!({ "name": made.name, "folder": args.folder, "files": made.files }));
    }
    let folder = shell_word(args.folder.as_os_str());
    eprintln!("made {folder}; its README.md has the commands. The first ones:");
    let words = [Some(format!("cd {folder}")), made.install.map(str::to_owned), Some(BUILD.to_owned())];
    let lines: Vec<String> = words.into_iter().flatten().collect();
    output.raw(format!("{}\n", lines.join("\n")).as_bytes())
}

const BUILD: &str = "longhaul tool build .";

pub async fn build(args: BuildArgs, output: Output) -> Result<()> {
    let built = tokio::task::spawn_blocking(move || made_of(&args)).await.map_err(CliError::failed)??;
    if output.json {
        let guests: Vec<_> = built
            .iter()
            .map(|guest| json!({ "name": guest.name, "component": guest.component, "manifest": guest.manifest }))
            .collect();
        return output.json(&json!({ "components": guests }));
    }
    let mut table = Table::new(&["NAME", "COMPONENT", "SIZE"]);
    for guest in built.into_iter().map(ComponentFile::from) {
        let size = bytes(guest.bytes().map_err(CliError::failed)?.len() as u64);
        table.row([&guest.name, &guest.path.display().to_string(), &size]);
    }
    output.table(&table)
}

fn made_of(args: &BuildArgs) -> Result<Vec<BuiltGuest>> {
    let tell = |line: &str| eprintln!("{line}");
    let packages: Vec<&str> = args.package.iter().map(String::as_str).collect();
    if packages.is_empty() && !guests::is_workspace(&args.dir) {
        return Ok(vec![projects::build(&args.dir, &tell)?]);
    }
    Ok(guests::build(&args.dir, &packages, &tell)?)
}
