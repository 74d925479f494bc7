//! JavaScript, by componentize-js (StarlingMonkey) or componentize-qjs (QuickJS).

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde::Deserialize;

use super::project::Project;
use super::run::run;
use crate::cli::projects::error::ProjectError;
use crate::cli::projects::files::INSTALL_JAVASCRIPT;
use crate::launch::find_program;

/// What node does, in the project's folder.
const SCRIPT: &str = include_str!("../../../../kits/build.js");

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Package {
    #[serde(default)]
    longhaul: Settings,
    #[serde(default)]
    dependencies: BTreeMap<String, serde_json::Value>,
    #[serde(default)]
    dev_dependencies: BTreeMap<String, serde_json::Value>,
}

/// `"longhaul"` in `package.json`.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    engine: Option<Engine>,
    /// The tool calls `fetch`.
    #[serde(default)]
    fetch: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Engine {
    StarlingMonkey,
    QuickJs,
}

impl Engine {
    fn word(self) -> &'static str {
        match self {
            Self::StarlingMonkey => "starlingmonkey",
            Self::QuickJs => "quickjs",
        }
    }

    fn package(self) -> &'static str {
        match self {
            Self::StarlingMonkey => "@bytecodealliance/componentize-js",
            Self::QuickJs => "componentize-qjs",
        }
    }
}

pub fn build(project: &Project, out: &Path, tell: &dyn Fn(&str)) -> Result<(), ProjectError> {
    let path = project.folder.join("package.json");
    let package = read(&path)?;
    let engine = engine(&package, &path)?;
    if package.longhaul.fetch && engine == Engine::QuickJs {
        let wrong = "\"fetch\": true wants \"engine\": \"starlingmonkey\": QuickJS has no fetch".to_owned();
        return Err(ProjectError::Setting { path, wrong });
    }
    let source = project.source(".js", |name| {
        matches!(name, "longhaul.js" | "build.js")
            || name.ends_with(".test.js")
            || name.ends_with(".config.js")
    })?;
    // Packages are looked for above the folder too.
    if !project.folder.ancestors().any(|above| above.join("node_modules").join(engine.package()).is_dir()) {
        return Err(ProjectError::Missing {
            what: engine.package().to_owned(),
            folder: project.folder.clone(),
            install: INSTALL_JAVASCRIPT.to_owned(),
        });
    }
    let node = find_program("node", std::env::var_os("PATH").as_deref()).ok_or(ProjectError::NoNode)?;
    tell(&format!("building {} ({}, {source})", project.folder.display(), engine.package()));
    let mut command = Command::new(node);
    command.current_dir(&project.folder).args(["--input-type=module", "-", engine.word(), &source]);
    command.arg(out).arg(package.longhaul.fetch.to_string());
    run(&mut command, &project.folder, SCRIPT)
}

fn read(path: &Path) -> Result<Package, ProjectError> {
    let text = fs::read(path).map_err(ProjectError::file(path))?;
    serde_json::from_slice(&text)
        .map_err(|error| ProjectError::Setting { path: path.to_owned(), wrong: error.to_string() })
}

/// As the settings have it, else the one that is among the dependencies.
fn engine(package: &Package, path: &Path) -> Result<Engine, ProjectError> {
    let has = |engine: &Engine| {
        [&package.dependencies, &package.dev_dependencies]
            .iter()
            .any(|packages| packages.contains_key(engine.package()))
    };
    let found =
        package.longhaul.engine.or_else(|| [Engine::StarlingMonkey, Engine::QuickJs].into_iter().find(has));
    found.ok_or_else(|| ProjectError::Setting {
        path: path.to_owned(),
        wrong: "neither @bytecodealliance/componentize-js nor componentize-qjs is among the dependencies: \
                `npm install --save-dev @bytecodealliance/componentize-js` adds the first"
            .to_owned(),
    })
}
