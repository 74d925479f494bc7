//! What `longhaul token` and `longhaul key` take.

use std::num::{NonZeroU32, NonZeroU64};

use clap::{Args, Subcommand};

use super::server::ServerArgs;

#[derive(Clone, Debug, Args)]
pub struct TokenArgs {
    #[command(flatten)]
    pub server: ServerArgs,
    #[command(subcommand)]
    pub command: TokenCommand,
}

#[derive(Clone, Debug, Subcommand)]
pub enum TokenCommand {
    /// Make a token and print it, this once
    New {
        /// Its principal: A-Z, a-z, 0-9, '.', '_', '@' and '-'
        name: String,
        /// Tools that it may call and see, such as 'book_*'; repeat it for more [default: none]
        #[arg(long, value_name = "GLOB")]
        tools: Vec<String>,
        /// Shared state: NAMESPACE or NAMESPACE/KEY-GLOB, with :read for reading alone [default: none]
        #[arg(long, value_name = "GLOB")]
        state: Vec<String>,
        #[command(flatten)]
        share: ShareArgs,
    },
    /// List the tokens that are valid
    List,
    /// Make a token invalid, at once; the tasks of its principal do nothing more in its name
    Revoke {
        /// Its principal
        name: String,
        /// Cancel its open tasks too
        #[arg(long)]
        cancel_tasks: bool,
    },
}

/// Less than what every principal has. Nothing here gives more.
#[derive(Clone, Copy, Debug, Args)]
pub struct ShareArgs {
    /// Requests a second [default: as [shares.principal] has it, 200 by itself]
    #[arg(long, value_name = "NUMBER")]
    pub rate: Option<NonZeroU32>,
    /// Memory of its requests, answers and running tools, MiB [default: an eighth of the server's]
    #[arg(long, value_name = "MIB")]
    pub memory_mib: Option<NonZeroU64>,
    /// Tasks that may be open at once [default: an eighth of the server's]
    #[arg(long, value_name = "NUMBER")]
    pub tasks: Option<NonZeroU64>,
    /// What its tasks and its entries of shared state may keep in the store, MiB [default: a quarter of what all may]
    #[arg(long, value_name = "MIB")]
    pub store_mib: Option<NonZeroU64>,
}

#[derive(Clone, Debug, Args)]
pub struct KeyArgs {
    /// As a JSON object of HTTP headers, which hosts take from a helper
    #[arg(long)]
    pub headers: bool,
    /// Only where the server listens at this address: no other is to be shown its key
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// Make another key instead, by which the one before is none any more
    #[arg(long, conflicts_with_all = ["headers", "url"])]
    pub renew: bool,
}
