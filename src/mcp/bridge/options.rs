//! What a host says of itself when its bridge begins.

use crate::mcp::wire::client_settings::ClientSettings;
use crate::mcp::wire::own_names::OwnNames;

/// What holds for the one host of a bridge.
#[derive(Clone, Debug, Default)]
pub struct BridgeOptions {
    /// What the host calls Longhaul's own tools.
    pub names: OwnNames,
    /// What it set for itself, as another client would by the address.
    pub client: ClientSettings,
}
