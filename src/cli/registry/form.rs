//! What an artifact is made of: the form that `wkg` and oci-wasm give to components, and read.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::reference::Digest;
use crate::limits;

pub(super) const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
pub(super) const CONFIG_TYPE: &str = "application/vnd.wasm.config.v0+json";
pub(super) const LAYER_TYPE: &str = "application/wasm";
/// The annotation in which the text of a component's manifest travels; others pass it over.
pub(super) const CARRIED_MANIFEST: &str = "dev.longhaul.manifest";
/// The same for its signature by minisign.
pub(super) const CARRIED_SIGNATURE: &str = "dev.longhaul.minisig";

/// A component has no time of its own, and pushed twice it is to have one digest.
const CREATED: &str = "1970-01-01T00:00:00Z";

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Manifest {
    pub schema_version: u32,
    #[serde(default)]
    pub media_type: Option<String>,
    pub config: Descriptor,
    pub layers: Vec<Descriptor>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Descriptor {
    pub media_type: String,
    pub digest: String,
    pub size: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Config<'a> {
    created: &'a str,
    author: Option<&'a str>,
    architecture: &'a str,
    os: &'a str,
    layer_digests: [String; 1],
    component: ComponentConfig<'a>,
}

#[derive(Serialize)]
struct ComponentConfig<'a> {
    exports: &'a [String],
    imports: &'a [String],
    target: Option<&'a str>,
}

/// What is to be pulled of an artifact.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Component {
    pub layer: Digest,
    pub size: usize,
    pub carried: Carried,
}

/// What travels with a component, each as the text of its file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Carried {
    pub manifest: Option<String>,
    pub signature: Option<String>,
}

/// How many bytes there may be of each.
pub(super) struct Bounds {
    pub component: usize,
    pub manifest: usize,
    pub signature: usize,
}

/// Of what is pulled and pushed.
pub(super) const BOUNDS: Bounds = Bounds {
    component: limits::MAX_COMPONENT_BYTES,
    manifest: limits::MAX_CARRIED_MANIFEST_BYTES,
    signature: limits::MAX_CARRIED_SIGNATURE_BYTES,
};

/// Only the kind of a manifest, looked at first.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Kind {
    schema_version: u32,
    #[serde(default)]
    media_type: Option<String>,
    #[serde(default)]
    manifests: Option<serde::de::IgnoredAny>,
}

/// The component of a manifest, or what is wrong with that.
pub(super) fn component_of(manifest: &[u8], bounds: &Bounds) -> Result<Component, String> {
    let kind: Kind =
        serde_json::from_slice(manifest).map_err(|error| format!("its manifest cannot be read: {error}"))?;
    if kind.schema_version != 2 {
        return Err(format!("its manifest is of version {}, not 2", kind.schema_version));
    }
    if kind.manifests.is_some() {
        return Err("it is an index of several artifacts; name the digest of one".to_owned());
    }
    if let Some(other) = kind.media_type.filter(|kind| kind != MANIFEST_TYPE) {
        return Err(format!("its manifest is {}, not {MANIFEST_TYPE}", shown(&other)));
    }
    let manifest: Manifest =
        serde_json::from_slice(manifest).map_err(|error| format!("its manifest cannot be read: {error}"))?;
    if manifest.config.media_type != CONFIG_TYPE {
        return Err(format!("its config is {}, not {CONFIG_TYPE}", shown(&manifest.config.media_type)));
    }
    let [layer] = manifest.layers.as_slice() else {
        return Err(format!("it has {} layers, not one", manifest.layers.len()));
    };
    if layer.media_type != LAYER_TYPE {
        return Err(format!("its layer is {}, not {LAYER_TYPE}", shown(&layer.media_type)));
    }
    let digest = Digest::parse(&layer.digest)
        .ok_or_else(|| format!("the digest of its layer, {}, is no SHA-256", shown(&layer.digest)))?;
    let size = usize::try_from(layer.size).unwrap_or(usize::MAX);
    if size > bounds.component {
        return Err(format!("its layer has {size} bytes, and components have {} at most", bounds.component));
    }
    let carried = |name: &str, limit: usize| match manifest.annotations.get(name) {
        Some(text) if text.len() > limit => {
            Err(format!("the annotation {name} is longer than {limit} bytes"))
        }
        text => Ok(text.cloned()),
    };
    let carried = Carried {
        manifest: carried(CARRIED_MANIFEST, bounds.manifest)?,
        signature: carried(CARRIED_SIGNATURE, bounds.signature)?,
    };
    Ok(Component { layer: digest, size, carried })
}

/// Another's text within our own.
fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(100).collect()
}

/// The config of a component, as bytes.
pub(super) fn config(
    layer: Digest,
    imports: &[String],
    exports: &[String],
) -> Result<Vec<u8>, serde_json::Error> {
    serde_json::to_vec(&Config {
        created: CREATED,
        author: None,
        architecture: "wasm",
        os: "wasip2",
        layer_digests: [layer.to_string()],
        component: ComponentConfig { exports, imports, target: None },
    })
}

/// The manifest of a component, as bytes.
pub(super) fn manifest(
    config: &[u8],
    layer: (Digest, usize),
    carried: &Carried,
) -> Result<Vec<u8>, serde_json::Error> {
    let descriptor = |media_type: &str, digest: Digest, size: usize| Descriptor {
        media_type: media_type.to_owned(),
        digest: digest.to_string(),
        size: size as u64,
    };
    let annotation = |name: &str, text: &Option<String>| text.clone().map(|text| (name.to_owned(), text));
    let manifest = annotation(CARRIED_MANIFEST, &carried.manifest);
    let signature = annotation(CARRIED_SIGNATURE, &carried.signature);
    serde_json::to_vec(&Manifest {
        schema_version: 2,
        media_type: Some(MANIFEST_TYPE.to_owned()),
        config: descriptor(CONFIG_TYPE, Digest::of(config), config.len()),
        layers: vec![descriptor(LAYER_TYPE, layer.0, layer.1)],
        annotations: manifest.into_iter().chain(signature).collect(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const BOUNDS: Bounds = Bounds { component: 10, manifest: 20, signature: 30 };

    fn carried() -> Carried {
        Carried { manifest: Some("a = \"1\"\n".to_owned()), signature: Some("signed\n".to_owned()) }
    }

    fn read(manifest: &Value) -> Result<Component, String> {
        component_of(manifest.to_string().as_bytes(), &BOUNDS)
    }

    fn pushed() -> Value {
        let layer = Digest::of(b"wasm");
        let config = config(layer, &[], &["run".to_owned()]).expect("a config");
        let manifest = manifest(&config, (layer, 4), &carried()).expect("a manifest");
        serde_json::from_slice(&manifest).expect("JSON")
    }

    #[test]
    fn what_is_pushed_is_read_again() {
        let layer = Digest::of(b"wasm");
        assert_eq!(read(&pushed()), Ok(Component { layer, size: 4, carried: carried() }));
    }

    #[test]
    fn what_is_no_component_is_refused_with_its_reason() {
        let other = "application/vnd.docker.distribution.manifest.v2+json";
        for (at, value, why) in [
            ("/schemaVersion", json!(1), "of version 1"),
            ("/mediaType", json!(other), other),
            ("/config/mediaType", json!("application/vnd.oci.image.config.v1+json"), "its config is"),
            ("/layers", json!([]), "it has 0 layers"),
            ("/layers/0/mediaType", json!("application/vnd.oci.image.layer.v1.tar"), "its layer is"),
            ("/layers/0/digest", json!("md5:00"), "no SHA-256"),
            ("/layers/0/size", json!(11), "11 bytes"),
            ("/layers/0/size", json!(-1), "cannot be read"),
            ("/annotations/dev.longhaul.manifest", json!("a".repeat(21)), "longer than 20"),
            ("/annotations/dev.longhaul.minisig", json!("a".repeat(31)), "longer than 30"),
        ] {
            let mut manifest = pushed();
            *manifest.pointer_mut(at).expect(at) = value;
            let error = read(&manifest).expect_err(at);
            assert!(error.contains(why), "{at}: {error}");
        }
        let mut two = pushed();
        let layer = two["layers"][0].clone();
        two["layers"] = json!([layer, layer]);
        assert!(read(&two).is_err_and(|error| error.contains("2 layers")));
        let index = json!({ "schemaVersion": 2, "manifests": [] });
        assert!(read(&index).is_err_and(|error| error.contains("an index")));
        assert!(component_of(b"<html>", &BOUNDS).is_err_and(|error| error.contains("cannot be read")));
    }
}
