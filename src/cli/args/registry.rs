use std::path::PathBuf;

use clap::Args;

use super::server::ServerArgs;

pub const ADD_HELP: &str = "Examples:\n  longhaul tool add ~/plugins/web_digest.wasm\n  longhaul tool add ~/plugins\n  \
    longhaul tool add oci://ghcr.io/example/web-digest:1.2\n\n\
    The file is copied into the store, with the manifest next to it. A running server serves it at once, or says why \
    it waits for `longhaul tool approve`; where none runs, the next start looks at it. A tag of a registry is looked \
    at once: what is kept is pinned by its digest until `longhaul tool update`.";

pub const PUSH_HELP: &str = "Examples:\n  longhaul tool push ./web_digest.wasm oci://ghcr.io/example/web-digest:1.2\n  \
    longhaul tool push web_digest oci://localhost:5000/web-digest\n\n\
    Prints the place with the digest that it has there. Names and passwords of registries stand in longhaul.toml, as \
    [registries.\"HOST\"]; a registry on this machine may do without TLS.";

#[derive(Clone, Debug, Args)]
pub struct AddArgs {
    /// A component, a folder of components, a Cargo workspace of guests (which is built first), or
    /// oci://HOST[:PORT]/REPOSITORY[:TAG][@sha256:DIGEST]
    #[arg(value_name = "PATH_OR_OCI")]
    pub path: PathBuf,
    /// The manifest of one from a registry that has none with it
    #[arg(long, value_name = "FILE")]
    pub manifest: Option<PathBuf>,
    #[command(flatten)]
    pub server: ServerArgs,
}

#[derive(Clone, Debug, Args)]
pub struct PushArgs {
    /// The component's file, with the manifest and the signature (FILE.minisig) next to it; or the name of a component
    /// that was added, as it was added last
    #[arg(value_name = "PATH_OR_NAME")]
    pub what: String,
    /// Where to: oci://HOST[:PORT]/REPOSITORY[:TAG]
    #[arg(value_name = "OCI")]
    pub to: String,
    #[command(flatten)]
    pub server: ServerArgs,
}
