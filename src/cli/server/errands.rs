//! What a server within its walls has done outside of them, each by a process of this program with fixed words: building
//! the guests of its workspaces, and reading component files that lie where it may not look.

use std::ffi::OsStr;
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::guests::{self, BuiltGuest};
use crate::catalog::{ComponentFile, RequestText};
use crate::cli::exit::{CliError, Exit, Result};
use crate::engine::{BoxFuture, Reader};
use crate::launch::{Launch, Role, Started};
use crate::limits;

/// How a component begins, and a module: nothing else is read for a server.
const WASM: &[u8] = b"\0asm";

/// What was done, or why not.
pub(super) type Answer<T> = std::result::Result<T, Refused>;

#[derive(Serialize, Deserialize)]
pub(super) struct Refused {
    is_usage: bool,
    message: String,
    next: Option<String>,
}

impl From<CliError> for Refused {
    fn from(error: CliError) -> Self {
        Self { is_usage: error.exit == Exit::Usage, message: error.message, next: error.next }
    }
}

impl From<Refused> for CliError {
    fn from(refused: Refused) -> Self {
        let error =
            if refused.is_usage { Self::usage(refused.message) } else { Self::failed(refused.message) };
        Self { next: refused.next, ..error }
    }
}

/// The process that builds; cargo speaks on stderr.
pub fn build(folder: &Path) -> ExitCode {
    let built = guests::build(folder, &[], &|line| eprintln!("{line}"));
    tell(&built.map_err(|error| Refused::from(CliError::from(error))))
}

/// The process that reads.
pub fn read() -> ExitCode {
    let mut path = Vec::new();
    let most = limits::MAX_COMPONENT_PATH_BYTES;
    match io::stdin().lock().take(most).read_to_end(&mut path) {
        Ok(_) => tell(&parts(Path::new(OsStr::from_bytes(&path))).map_err(Refused::from)),
        Err(error) => tell::<()>(&Err(CliError::failed(error).into())),
    }
}

/// Of a component alone, by its ending and its first bytes: a server that asks for something else is not itself any more.
fn parts(path: &Path) -> Result<(Vec<u8>, RequestText)> {
    let is_component =
        path.is_absolute() && path.extension().is_some_and(|it| it.eq_ignore_ascii_case("wasm"));
    let file = ComponentFile::at(path);
    let bytes = match is_component {
        true => file.bytes().map_err(CliError::failed)?,
        false => return Err(CliError::failed(format_args!("{} is no .wasm file", path.display()))),
    };
    if !bytes.starts_with(WASM) {
        return Err(CliError::failed(format_args!("{} does not begin as WebAssembly does", path.display())));
    }
    Ok((bytes.to_vec(), file.requests().map_err(CliError::usage)?))
}

pub(super) fn tell<T: Serialize>(answer: &Answer<T>) -> ExitCode {
    let said = postcard::to_stdvec(answer).map_err(io::Error::other);
    match said.and_then(|bytes| io::stdout().lock().write_all(&bytes)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// The workspace's guests, built now, by another process.
pub async fn built(launch: &Launch, workspace: &Path) -> Result<Vec<ComponentFile>> {
    eprintln!("{}", guests::what_is_built(workspace));
    let role = Role::Build(workspace.as_os_str().to_owned());
    let built: Vec<BuiltGuest> = done(launch, &role, &[], "building").await?;
    Ok(built.into_iter().map(ComponentFile::from).collect())
}

/// What is in a component's files, read by another process.
pub async fn read_outside(launch: &Launch, path: &Path) -> Result<(Arc<[u8]>, RequestText)> {
    let (bytes, requests): (Vec<u8>, RequestText) =
        done(launch, &Role::Reader, path.as_os_str().as_bytes(), "reading").await?;
    Ok((bytes.into(), requests))
}

/// For the engine, where a server cannot read everything itself.
pub fn reader(launch: &Launch) -> Option<Reader> {
    launch.launcher_pid()?;
    let launch = launch.clone();
    Some(Arc::new(move |path: PathBuf| {
        let launch = launch.clone();
        let read = async move { read_outside(&launch, &path).await.map_err(|error| error.message) };
        Box::pin(read) as BoxFuture<_>
    }))
}

pub(super) async fn done<T: for<'a> Deserialize<'a>>(
    launch: &Launch,
    role: &Role,
    input: &[u8],
    what: &str,
) -> Result<T> {
    let failed = |why: &dyn std::fmt::Display| CliError::failed(format_args!("{what} failed: {why}"));
    let Started { mut stdin, stdout, mut running, .. } = launch.start(role).await.map_err(|e| failed(&e))?;
    // One that ends early says why.
    let _ = stdin.write_all(input).await;
    drop(stdin);
    let mut said = Vec::new();
    let most = limits::MAX_COMPONENT_BYTES as u64 + limits::MAX_CONFIG_BYTES + limits::MAX_ERRAND_WORDS_BYTES;
    stdout.take(most).read_to_end(&mut said).await.map_err(|e| failed(&e))?;
    let end = running.ended().await.map_err(|e| failed(&e))?;
    if !end.is_success() {
        return Err(failed(&end));
    }
    let answer: Answer<T> = postcard::from_bytes(&said).map_err(|e| failed(&e))?;
    answer.map_err(CliError::from)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::launch::{Environment, Program, Stderr};

    #[test]
    fn a_server_is_read_components_and_nothing_that_only_is_named_like_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        fs::write(at("a.wasm"), b"\0asm and more").expect("written");
        fs::write(at("a.toml"), "name = \"a\"").expect("written");
        fs::write(at("secret"), "sesame").expect("written");
        std::os::unix::fs::symlink(at("secret"), at("named.wasm")).expect("linked");
        let (bytes, requests) = parts(&at("a.wasm")).expect("read");
        assert_eq!((&bytes[..], requests.text.as_str()), (&b"\0asm and more"[..], "name = \"a\""));
        for (path, why) in [
            (at("secret"), "is no .wasm file"),
            (at("named.wasm"), "does not begin as WebAssembly does"),
            (PathBuf::from("a.wasm"), "is no .wasm file"),
            (at("none.wasm"), "none.wasm"),
        ] {
            let refused = parts(&path).expect_err("refused").message;
            assert!(refused.contains(why) && !refused.contains("sesame"), "{refused}");
        }
    }

    #[tokio::test]
    async fn what_is_done_outside_is_told_with_its_reason() {
        let said = |answer: &Answer<Vec<BuiltGuest>>| {
            let folder = tempfile::tempdir().expect("a folder");
            fs::write(folder.path().join("said"), postcard::to_stdvec(answer).expect("encoded"))
                .expect("written");
            folder
        };
        let guest = BuiltGuest { name: "a".into(), component: "/x/a.wasm".into(), manifest: None };
        let refusal = || CliError::usage("no guest").next("make one");
        for (answer, expected) in [
            (Ok(vec![guest.clone()]), Ok(vec![ComponentFile::from(guest.clone())])),
            (Err(refusal().into()), Err(refusal())),
        ] {
            let folder = said(&answer);
            let workspace = Path::new("/w");
            let program = Program {
                program: "cat".into(),
                arguments: vec![folder.path().join("said").into()],
                environment: Environment::ours(),
                folder: None,
                stderr: Stderr::Inherited,
            };
            let launch = Launch::here([(Role::Build("/w".into()), program)].into());
            assert_eq!(built(&launch, workspace).await, expected);
            let other = built(&launch, Path::new("/other")).await.expect_err("refused").message;
            assert!(other.contains("building failed") && other.contains("no program was stated"), "{other}");
        }
    }
}
