//! A component out of a registry: a tag is looked at once, and what it stood for is what is pulled.

use std::sync::Arc;

use reqwest::header::ACCEPT;
use reqwest::{Method, Response, Url};
use sha2::{Digest as _, Sha256};

use super::error::{RegistryError, shown};
use super::form::{self, BOUNDS, Carried, Component, MANIFEST_TYPE};
use super::link::{Purpose, Registry, body, each_piece, successful};
use super::reference::{Digest, Version};
use crate::limits;

/// What a tag stands for, or a digest names: nothing of the component is here yet.
#[derive(Debug)]
pub struct Resolved {
    /// Of the manifest, which names the component's bytes by theirs.
    pub digest: Digest,
    component: Component,
}

/// A component that has the digests that it was asked for by.
#[derive(Debug)]
pub struct Pulled {
    pub bytes: Arc<[u8]>,
    pub carried: Carried,
}

impl Registry {
    /// Looks at a tag or a digest.
    pub async fn resolve(&mut self, version: Version<'_>) -> Result<Resolved, RegistryError> {
        let (url, bytes, said) = self.manifest(version, Purpose::Pull).await?;
        let digest = Digest::of(&bytes);
        // One that was asked for by its digest is that or nothing; one that was asked for by a tag is at least what
        // the registry says that it gives.
        let wanted = match version {
            Version::Digest(wanted) => Some(wanted),
            Version::Tag(_) => said,
        };
        if let Some(wanted) = wanted.filter(|wanted| *wanted != digest) {
            return Err(RegistryError::Digest { url: shown(&url), wanted, found: digest });
        }
        let component = form::component_of(&bytes, &BOUNDS)
            .map_err(|why| RegistryError::Form { url: shown(&url), why })?;
        Ok(Resolved { digest, component })
    }

    /// What a tag stands for now, without a look at what that is; none where there is no such tag.
    pub(super) async fn digest_of(&mut self, version: Version<'_>) -> Result<Option<Digest>, RegistryError> {
        // The token is for what is to come.
        match self.manifest(version, Purpose::Push).await {
            Ok((_, bytes, _)) => Ok(Some(Digest::of(&bytes))),
            Err(RegistryError::Missing { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn manifest(
        &mut self,
        version: Version<'_>,
        purpose: Purpose,
    ) -> Result<(Url, Vec<u8>, Option<Digest>), RegistryError> {
        let url = match version {
            Version::Tag(tag) => self.url(&format!("manifests/{tag}"))?,
            Version::Digest(digest) => self.url(&format!("manifests/{digest}"))?,
        };
        let answer =
            self.send(purpose, Method::GET, &url, |request| request.header(ACCEPT, MANIFEST_TYPE)).await?;
        let answer = successful(&url, answer).await?;
        let said = said_digest(&answer);
        let bytes = body(&url, answer, limits::MAX_REGISTRY_MANIFEST_BYTES).await?;
        Ok((url, bytes, said))
    }

    /// Gets the component itself.
    pub async fn pull(&mut self, resolved: Resolved) -> Result<Pulled, RegistryError> {
        let Component { layer, size, carried } = resolved.component;
        let url = self.url(&format!("blobs/{layer}"))?;
        let (url, answer) = self.blob(&url).await?;
        // The room is made as the bytes come: what a registry says of their number costs nothing.
        let (mut bytes, mut hasher) = (Vec::new(), Sha256::new());
        each_piece(&url, answer, size, |piece| {
            hasher.update(piece);
            bytes.extend_from_slice(piece);
        })
        .await?;
        if bytes.len() != size {
            let why = format!("{} bytes of {size} came", bytes.len());
            return Err(RegistryError::Cut { url: shown(&url), why });
        }
        let found = Digest::finished(hasher);
        if found != layer {
            return Err(RegistryError::Digest { url: shown(&url), wanted: layer, found });
        }
        Ok(Pulled { bytes: bytes.into(), carried })
    }
}

/// The digest that a registry says an artifact has.
pub(super) fn said_digest(answer: &Response) -> Option<Digest> {
    let said = answer.headers().get("docker-content-digest")?;
    Digest::parse(said.to_str().ok()?)
}
