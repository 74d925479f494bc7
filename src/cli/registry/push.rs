//! A component into a registry, in the form that `wkg` reads too.

use std::sync::Arc;

use bytes::Bytes;
use reqwest::Method;
use reqwest::header::CONTENT_TYPE;

use super::error::{RegistryError, shown};
use super::form::{self, BOUNDS, Carried, MANIFEST_TYPE};
use super::link::{Purpose, Registry, taken};
use super::pull::said_digest;
use super::reference::{Digest, Version};
use crate::limits;

/// What is pushed.
#[derive(Debug)]
pub struct Artifact<'a> {
    pub bytes: Arc<[u8]>,
    pub carried: &'a Carried,
    /// Names that the component imports and exports, for those who look through a registry.
    pub imports: &'a [String],
    pub exports: &'a [String],
}

/// What became of it.
#[derive(Debug, PartialEq, Eq)]
pub struct Pushed {
    pub digest: Digest,
    /// What the tag stood for before, where it stood for anything else.
    pub before: Option<Digest>,
}

impl Registry {
    /// Pushes the component, then lets the tag stand for it. By a digest it goes only where it has that digest.
    pub async fn push(
        &mut self,
        version: Version<'_>,
        artifact: Artifact<'_>,
    ) -> Result<Pushed, RegistryError> {
        let Artifact { bytes, carried, imports, exports } = artifact;
        bounded("the component", bytes.len(), BOUNDS.component)?;
        let length = |text: &Option<String>| text.as_deref().map_or(0, str::len);
        bounded("its manifest", length(&carried.manifest), BOUNDS.manifest)?;
        bounded("its signature", length(&carried.signature), BOUNDS.signature)?;
        let url = self.url("")?;
        let unwritable =
            |error: serde_json::Error| RegistryError::Form { url: shown(&url), why: error.to_string() };
        let layer = Digest::of(&bytes);
        let config = form::config(layer, imports, exports).map_err(unwritable)?;
        let text = form::manifest(&config, (layer, bytes.len()), carried).map_err(unwritable)?;
        bounded("what names it in a registry", text.len(), limits::MAX_REGISTRY_MANIFEST_BYTES)?;
        let digest = Digest::of(&text);
        let name = match version {
            Version::Tag(tag) => tag.to_owned(),
            Version::Digest(wanted) if wanted == digest => digest.to_string(),
            Version::Digest(wanted) => {
                return Err(RegistryError::Digest { url: shown(&url), wanted, found: digest });
            }
        };
        let before = self.digest_of(version).await?.filter(|before| *before != digest);
        self.push_blob(layer, Bytes::from_owner(bytes)).await?;
        self.push_blob(Digest::of(&config), Bytes::from(config)).await?;
        let url = self.url(&format!("manifests/{name}"))?;
        let answer = self
            .send(Purpose::Push, Method::PUT, &url, |request| {
                request.header(CONTENT_TYPE, MANIFEST_TYPE).body(text.clone())
            })
            .await?;
        let answer = taken(&url, answer).await?;
        if let Some(found) = said_digest(&answer).filter(|said| *said != digest) {
            return Err(RegistryError::Digest { url: shown(&url), wanted: digest, found });
        }
        Ok(Pushed { digest, before })
    }

    /// Unless the registry has it.
    async fn push_blob(&mut self, digest: Digest, bytes: Bytes) -> Result<(), RegistryError> {
        let url = self.url(&format!("blobs/{digest}"))?;
        let there = self.send(Purpose::Push, Method::HEAD, &url, |request| request).await?;
        if there.status().is_success() {
            return Ok(());
        }
        let url = self.url("blobs/uploads/")?;
        let begun =
            self.send(Purpose::Push, Method::POST, &url, |request| request.body(Bytes::new())).await?;
        let begun = taken(&url, begun).await?;
        let mut upload = self.own_location(&url, begun.headers())?;
        upload.query_pairs_mut().append_pair("digest", &digest.to_string());
        let done = self
            .send(Purpose::Push, Method::PUT, &upload, |request| {
                request.header(CONTENT_TYPE, "application/octet-stream").body(bytes.clone())
            })
            .await?;
        taken(&upload, done).await?;
        Ok(())
    }
}

fn bounded(what: &'static str, length: usize, limit: usize) -> Result<(), RegistryError> {
    if length > limit { Err(RegistryError::PushTooLarge { what, limit }) } else { Ok(()) }
}
