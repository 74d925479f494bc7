//! Components from and to a registry: `longhaul tool add oci://…`, `tool push`, and `tool update` of what came from one.
//!
//! All of it is done in this process. A server is given the file that was pulled, and where it is from.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::add;
use crate::api::{AddedDocument, CopyPiece, ToolAdd, ToolAdded, ToolCopy, ToolUpdate};
use crate::catalog::{
    ComponentFile, Manifest, RequestForm, RequestText, folded, is_component_name, read_text,
};
use crate::cli::args::{AddArgs, PushArgs, ServerArgs};
use crate::cli::client::access::Access;
use crate::cli::context::Context;
use crate::cli::exit::{CliError, Exit, Result};
use crate::cli::registry::{
    Artifact, Carried, Digest, Pulled, Reference, Registry, RegistryAccess, RegistryError, Version,
};
use crate::cli::scratch::Scratch;
use crate::cli::server::load;
use crate::cli::show::render::escape;
use crate::limits;
use crate::sandbox;
use crate::task::ComponentId;

/// A component that was pulled, as files that a server reads; gone when dropped.
struct Fetched {
    _folder: Scratch,
    path: PathBuf,
    /// With the digest that its tag stood for.
    pinned: Reference,
}

/// What is meant by a path that names a place in a registry.
pub fn named(path: &Path) -> Result<Option<Reference>> {
    let text = path.to_str().filter(|text| Reference::is_meant(text));
    text.map(|text| text.parse::<Reference>().map_err(CliError::usage)).transpose()
}

pub async fn add(reference: Reference, args: AddArgs, context: &Context) -> Result<Exit> {
    let AddArgs { manifest, server, .. } = args;
    let name = component_name(&reference)?;
    let manifest = manifest.as_deref().map(read_manifest).transpose()?;
    let fetched = fetch(&reference, &name, manifest, context).await?;
    let mut access = Access::open_or_make(server.url(), context).await?;
    let added = access.run(ToolAdd { path: fetched.path(), from: Some(fetched.pinned.to_string()) }).await;
    access.close().await;
    add::say(&added?, "added", context)?;
    Ok(Exit::Done)
}

/// Looks again at the tag that a component came from; `None` where it did not come from a registry.
pub async fn update(
    name: &str,
    manifest: Option<&Path>,
    server: &ServerArgs,
    context: &Context,
) -> Result<Option<Exit>> {
    let mut access = Access::open(server.url(), context).await?;
    let listed = access.run(ToolAdded {}).await;
    access.close().await;
    let listed = listed?;
    let Some(added) = listed.added.into_iter().find(|added| added.name == name) else { return Ok(None) };
    let Some(pinned) = named(Path::new(&added.from))? else { return Ok(None) };
    let Some(reference) = pinned.unpinned() else {
        return Err(CliError::usage(format_args!("{} came from {pinned}, which names no tag", escape(name)))
            .next(format!(
                "longhaul tool remove {}, then longhaul tool add oci://… as it is to be",
                escape(name)
            )));
    };
    let manifest = manifest.map(read_manifest).transpose()?;
    let has_manifest = manifest.is_some();
    // What stands there may be the same, and the manifest another one.
    let is_same = |digest: Digest| !has_manifest && pinned.version() == Version::Digest(digest);
    let fetched = fetch_unless(&reference, name, manifest, context, is_same).await.map_err(|error| {
        CliError { message: format!("{}; {} stays as it is", error.message, escape(name)), ..error }
    })?;
    let Some(fetched) = fetched else {
        eprintln!("{}: {reference} still stands for what is here, {pinned}", escape(name));
        if context.output.json {
            context.output.json(&added)?;
        }
        return Ok(Some(Exit::Done));
    };
    let mut access = Access::open(server.url(), context).await?;
    let update = ToolUpdate { what: fetched.path(), from: Some(fetched.pinned.to_string()) };
    let updated: Result<AddedDocument> = access.run(update).await;
    access.close().await;
    let updated = updated?;
    eprintln!("{}: was {pinned}", escape(name));
    eprintln!("{}: is  {}", escape(name), fetched.pinned);
    add::say(&updated, "updated", context)?;
    Ok(Some(Exit::Done))
}

pub async fn push(args: PushArgs, context: &Context) -> Result<Exit> {
    let PushArgs { what, to, server } = args;
    let reference = to.parse::<Reference>().map_err(CliError::usage)?;
    let (bytes, requests) = match is_component_name(&what) && !Path::new(&what).exists() {
        true => added(&what, &server, context).await?,
        false => load::read(&ComponentFile::at(&add::absolute(Path::new(&what))?))?,
    };
    if requests.form == RequestForm::Policy {
        return Err(CliError::refused(format_args!(
            "{} is a policy for Wassette, and a registry is given manifests alone",
            requests.path.display()
        ))
        .next(
            "write what it requests into a manifest next to the component; longhaul tool inspect shows that",
        ));
    }
    // An error in it is found here rather than by those who pull it.
    let manifest = requests.parse().map_err(CliError::usage)?.manifest;
    let name = component_name(&reference)?;
    if let Some(other) = manifest.name.filter(|other| folded(other) != folded(&name)) {
        return Err(named_otherwise(&reference, &name, &other).next(format!(
            "push it to a repository that ends with {}, or write name = \"{name}\" in the manifest",
            escape(&other)
        )));
    }
    let names = sandbox::extern_names(&bytes);
    let carried = Carried {
        manifest: Some(requests.text).filter(|text| !text.is_empty()),
        signature: requests.signature,
    };
    let artifact = Artifact { bytes, carried: &carried, imports: &names.imports, exports: &names.exports };
    let mut registry = open(&reference, context)?;
    let pushed = registry.push(reference.version(), artifact).await.map_err(failed)?;
    let pinned = reference.pinned(pushed.digest).to_string();
    let before = pushed.before.map(|digest| digest.to_string());
    if context.output.json {
        context.output.json(&serde_json::json!({ "pushed": pinned, "before": before }))?;
        return Ok(Exit::Done);
    }
    if let Some(before) = before {
        eprintln!("{reference}: the tag stood for {before}, and stands for that no more");
    }
    context.output.line(pinned)?;
    Ok(Exit::Done)
}

/// A component as it was added last, by the server or from the store itself.
async fn added(name: &str, server: &ServerArgs, context: &Context) -> Result<(Arc<[u8]>, RequestText)> {
    let mut access = Access::open_to_read(server.url(), context).await?;
    let copied = copy(&mut access, name).await;
    access.close().await;
    copied
}

async fn copy(access: &mut Access, name: &str) -> Result<(Arc<[u8]>, RequestText)> {
    let mut bytes = Vec::new();
    loop {
        let request = ToolCopy { name: name.to_owned(), offset: bytes.len() as u64 };
        let CopyPiece { base64, bytes: length, component, requests } = access.run(request).await?;
        let piece = BASE64.decode(&base64).map_err(CliError::failed)?;
        bytes.extend_from_slice(&piece);
        let is_whole = bytes.len() as u64 >= length;
        if !is_whole && !piece.is_empty() && bytes.len() <= limits::MAX_COMPONENT_BYTES {
            continue;
        }
        if component != ComponentId::of_bytes(&bytes).to_string() {
            let text = format!("{} was updated while it was copied", escape(name));
            return Err(CliError::failed(text).next("push it again"));
        }
        return Ok((bytes.into(), requests));
    }
}

/// A place with the digest that it has, short enough for a table.
pub fn in_short(from: &str) -> String {
    match from.split_once("@sha256:") {
        Some((place, digest)) => format!("{place}@sha256:{digest:.12}…"),
        None => from.to_owned(),
    }
}

/// As the configuration has it.
fn open(reference: &Reference, context: &Context) -> Result<Registry> {
    let table = context.settings.registries.get(&reference.authority()).cloned().unwrap_or_default();
    let access = RegistryAccess {
        credentials: table.credentials(reference)?,
        tls: table.tls,
        certificates: context.certificates.clone(),
        ..RegistryAccess::default()
    };
    Registry::open(reference, access).map_err(failed)
}

/// As a file of it is named.
fn component_name(reference: &Reference) -> Result<String> {
    let name = reference.component_name();
    if is_component_name(&name) {
        return Ok(name);
    }
    Err(CliError::usage(format_args!(
        "the last part of {reference} is no name of a component, which is up to 64 letters, digits and _"
    )))
}

fn read_manifest(path: &Path) -> Result<String> {
    read_text(path, limits::MAX_CARRIED_MANIFEST_BYTES as u64).map_err(CliError::usage)
}

async fn fetch(
    reference: &Reference,
    name: &str,
    manifest: Option<String>,
    context: &Context,
) -> Result<Fetched> {
    let fetched = fetch_unless(reference, name, manifest, context, |_| false).await?;
    fetched.ok_or_else(|| CliError::failed(format_args!("{reference}: nothing was pulled")))
}

/// Pulls what a reference stands for, unless its digest says that it is here.
async fn fetch_unless(
    reference: &Reference,
    name: &str,
    manifest: Option<String>,
    context: &Context,
    is_here: impl FnOnce(Digest) -> bool,
) -> Result<Option<Fetched>> {
    let mut registry = open(reference, context)?;
    let resolved = registry.resolve(reference.version()).await.map_err(failed)?;
    if is_here(resolved.digest) {
        return Ok(None);
    }
    let pinned = reference.pinned(resolved.digest);
    eprintln!("{pinned}");
    let mut pulled = registry.pull(resolved).await.map_err(failed)?;
    let is_its_own = manifest.is_none();
    match (manifest, &pulled.carried.manifest) {
        (Some(_), Some(_)) => {
            return Err(CliError::usage(format_args!("{pinned} has a manifest with it"))
                .next("leave out --manifest; what it may do is said by [grants] and by the approval"));
        }
        (Some(manifest), None) => pulled.carried.manifest = Some(manifest),
        (None, _) => {}
    }
    let says = pulled.carried.manifest.as_deref().and_then(named_by);
    if let Some(other) = says.filter(|other| folded(other) != folded(name)) {
        let next = match is_its_own {
            true => format!("its author can push it to a repository that ends with {}", escape(&other)),
            false => format!("write name = \"{name}\" in it"),
        };
        return Err(named_otherwise(&pinned, name, &other).next(next));
    }
    let folder = Scratch::new("pull").map_err(CliError::failed)?;
    let path = folder.path().join(format!("{name}.wasm"));
    write(&path, pulled).map_err(CliError::failed)?;
    Ok(Some(Fetched { _folder: folder, path, pinned }))
}

/// The name in a manifest; where it cannot be read, what reads it as a file says why.
fn named_by(manifest: &str) -> Option<String> {
    Manifest::parse(Path::new("manifest"), manifest).ok()?.name
}

fn named_otherwise(reference: &Reference, name: &str, other: &str) -> CliError {
    CliError::refused(format_args!(
        "what is added from {reference} is named {name}, as its repository ends, since grants go by that name; the \
         manifest says name = \"{}\"",
        escape(other)
    ))
}

fn write(path: &Path, pulled: Pulled) -> std::io::Result<()> {
    fs::write(path, &pulled.bytes)?;
    if let Some(manifest) = pulled.carried.manifest {
        fs::write(path.with_extension("toml"), manifest)?;
    }
    if let Some(signature) = pulled.carried.signature {
        fs::write(path.with_extension("wasm.minisig"), signature)?;
    }
    Ok(())
}

fn failed(error: RegistryError) -> CliError {
    match error {
        RegistryError::Missing { .. } => CliError::not_found(error),
        RegistryError::Digest { .. } | RegistryError::Form { .. } | RegistryError::Redirect { .. } => {
            CliError::refused(error)
        }
        _ => CliError::failed(error),
    }
}

impl Fetched {
    /// As an operation names it.
    fn path(&self) -> String {
        self.path.to_string_lossy().into_owned()
    }
}
