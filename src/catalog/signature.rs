//! Who signed a component: minisign signatures by keys that the operator has pinned, next to the component's file.
//!
//! A signature is of the component's bytes. What its trusted comment says is signed too: the words `name=NAME`,
//! `version=VERSION` and `manifest=blake3:HEX`, where they are there, must be true of the component.

use std::collections::BTreeMap;

use minisign_verify::{Error, PublicKey, Signature};
use serde::de::{Deserializer, Error as _};
use serde::{Deserialize, Serialize};

use super::file::is_component_name;
use super::requests::RequestText;

/// The keys that the operator trusts, and whether there must be a signature. The default knows none and wants none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Signers {
    /// Public keys as minisign writes them, by the name that the operator gives each.
    pub keys: BTreeMap<String, String>,
    /// Nothing is served that none of them has signed, but for what is built here from its source.
    pub required: bool,
}

/// Who signed a component, and as which version where the signature says so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signed {
    pub by: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

/// A component that is not served, for what its signature is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    #[error(
        "it has no signature, and `require_signature` wants one: put the author's next to it as {0}.wasm.minisig, or \
         build it here from its source"
    )]
    Missing(String),
    #[error("its signature cannot be read ({0}): copy the author's .minisig again")]
    Unreadable(String),
    #[error(
        "it is signed in minisign's older form, which is not taken: sign it again with minisign 0.10 or newer"
    )]
    Legacy,
    #[error(
        "no key of [signers] has signed it: pin its author's public key there, if you know that it is theirs"
    )]
    UnknownKey,
    #[error(
        "its signature by {0} is of another file: it was changed since, or the signature belongs to another version"
    )]
    OfAnotherFile(String),
    #[error("its signature by {signer} is of {what} {signed}, and this is {is}")]
    OfAnother { signer: String, what: &'static str, signed: String, is: String },
}

impl Signers {
    /// Who signed it; `None` where none has to. A signature that is there is heeded as soon as a key is pinned.
    pub fn check(
        &self,
        name: &str,
        bytes: &[u8],
        requests: &RequestText,
        version: Option<&str>,
    ) -> Result<Option<Signed>, SignatureError> {
        let Some(text) = &requests.signature else {
            return if self.required { Err(SignatureError::Missing(name.to_owned())) } else { Ok(None) };
        };
        if self.keys.is_empty() && !self.required {
            return Ok(None);
        }
        let signature =
            Signature::decode(text).map_err(|error| SignatureError::Unreadable(error.to_string()))?;
        let by = self.signer(bytes, &signature)?;
        let said = Said::of(signature.trusted_comment());
        let differs = |what, signed: &str, is: &str| {
            Err(SignatureError::OfAnother { signer: by.clone(), what, signed: signed.into(), is: is.into() })
        };
        if let Some(signed) = said.name.filter(|signed| *signed != name) {
            return differs("the component", signed, name);
        }
        if let Some(signed) = said.version.filter(|signed| version != Some(signed)) {
            return differs("the version", signed, version.unwrap_or("without one in its manifest"));
        }
        let manifest = format!("blake3:{}", blake3::hash(requests.text.as_bytes()).to_hex());
        if let Some(signed) = said.manifest.filter(|signed| *signed != manifest) {
            return differs("the manifest", signed, &manifest);
        }
        Ok(Some(Signed { version: said.version.map(str::to_owned), by }))
    }

    /// The name of the key that signed these bytes.
    fn signer(&self, bytes: &[u8], signature: &Signature) -> Result<String, SignatureError> {
        for (name, key) in &self.keys {
            // It was read when the configuration was.
            let Ok(key) = PublicKey::from_base64(key) else { continue };
            match key.verify(bytes, signature, false) {
                Ok(()) => return Ok(name.clone()),
                Err(Error::UnexpectedKeyId) => {}
                Err(Error::UnsupportedLegacyMode) => return Err(SignatureError::Legacy),
                Err(_) => return Err(SignatureError::OfAnotherFile(name.clone())),
            }
        }
        Err(SignatureError::UnknownKey)
    }
}

/// What a trusted comment says in words that are known; others are its author's own.
#[derive(Default)]
struct Said<'a> {
    name: Option<&'a str>,
    version: Option<&'a str>,
    manifest: Option<&'a str>,
}

impl<'a> Said<'a> {
    fn of(comment: &'a str) -> Self {
        let mut said = Self::default();
        for (key, value) in comment.split_whitespace().filter_map(|word| word.split_once('=')) {
            match key {
                "name" => said.name = Some(value),
                "version" => said.version = Some(value),
                "manifest" => said.manifest = Some(value),
                _ => {}
            }
        }
        said
    }
}

/// `[signers]`: names of the operator's choice, and public keys.
pub fn read_keys<'de, D: Deserializer<'de>>(input: D) -> Result<BTreeMap<String, String>, D::Error> {
    let keys = BTreeMap::<String, String>::deserialize(input)?;
    for (name, key) in &keys {
        let shown = name.escape_debug();
        if !is_component_name(name) {
            return Err(D::Error::custom(format!(
                "'{shown}' is no name of a signer: it takes letters, digits, '-', '_' and '.'"
            )));
        }
        PublicKey::from_base64(key).map_err(|error| {
            D::Error::custom(format!(
                "the key of {shown} is no public key of minisign ({error}): it is the second line of minisign.pub"
            ))
        })?;
    }
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use minisign::KeyPair;

    use super::*;

    fn pair() -> KeyPair {
        KeyPair::generate_unencrypted_keypair().expect("keys")
    }

    fn signed(pair: &KeyPair, bytes: &[u8], comment: &str) -> String {
        let signature = minisign::sign(None, &pair.sk, Cursor::new(bytes), Some(comment), None);
        signature.expect("a signature").into_string()
    }

    fn signers(keys: &[(&str, &KeyPair)], required: bool) -> Signers {
        let keys = keys.iter().map(|(name, pair)| ((*name).to_owned(), pair.pk.to_base64()));
        Signers { keys: keys.collect(), required }
    }

    fn requests(signature: Option<String>) -> RequestText {
        let text = "version = \"2.0.0\"".to_owned();
        RequestText { signature, ..RequestText::manifest("/tools/a.toml".into(), text) }
    }

    fn check(signers: &Signers, signature: Option<String>) -> Result<Option<Signed>, SignatureError> {
        signers.check("a", b"the component", &requests(signature), Some("2.0.0"))
    }

    #[test]
    fn a_signature_names_its_signer() {
        let (alice, bob) = (pair(), pair());
        let both = signers(&[("alice", &alice), ("bob", &bob)], true);
        let manifest = format!("manifest=blake3:{}", blake3::hash(b"version = \"2.0.0\"").to_hex());
        for (comment, version) in [
            ("timestamp:1 file:a.wasm hashed".to_owned(), None),
            ("longhaul name=a version=2.0.0".to_owned(), Some("2.0.0")),
            (manifest, None),
        ] {
            let found = check(&both, Some(signed(&bob, b"the component", &comment)));
            let version = version.map(str::to_owned);
            assert_eq!(found, Ok(Some(Signed { by: "bob".into(), version })), "{comment}");
        }
    }

    #[test]
    fn what_is_not_signed_right_is_refused_with_words() {
        let (alice, other) = (pair(), pair());
        let by = |pair, bytes: &[u8], comment: &str| Some(signed(pair, bytes, comment));
        let right = signed(&alice, b"the component", "name=a version=2.0.0");
        let edited = right.replace("version=2.0.0", "version=3.0.0");
        let cut = right.lines().take(2).collect::<Vec<_>>().join("\n");
        for (signature, words) in [
            (
                None,
                "no signature, and `require_signature` wants one: put the author's next to it as a.wasm.minisig",
            ),
            (Some("not one".to_owned()), "cannot be read"),
            (Some(cut), "cannot be read"),
            (Some(edited), "by alice is of another file"),
            (by(&other, b"the component", "name=a"), "no key of [signers] has signed it"),
            (by(&alice, b"another component", "name=a"), "by alice is of another file"),
            (by(&alice, b"the component", "name=b"), "is of the component b, and this is a"),
            (by(&alice, b"the component", "version=1.9.0"), "is of the version 1.9.0, and this is 2.0.0"),
            (
                by(&alice, b"the component", "manifest=blake3:00"),
                "is of the manifest blake3:00, and this is blake3:",
            ),
        ] {
            let refused =
                check(&signers(&[("alice", &alice)], true), signature).expect_err(words).to_string();
            assert!(refused.contains(words), "{refused}");
        }
    }

    #[test]
    fn a_signature_that_is_there_is_heeded_once_a_key_is_pinned() {
        let alice = pair();
        let wrong = || Some(signed(&alice, b"another", ""));
        assert_eq!(check(&Signers::default(), wrong()), Ok(None), "there is nothing to hold it against");
        let pinned = signers(&[("alice", &alice)], false);
        assert_eq!(check(&pinned, None), Ok(None));
        check(&pinned, wrong()).expect_err("refused");
        assert_eq!(check(&signers(&[], true), wrong()), Err(SignatureError::UnknownKey));
    }
}
