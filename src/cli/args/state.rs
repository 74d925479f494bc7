use clap::{Args, Subcommand};

use super::server::ServerArgs;

#[derive(Clone, Debug, Args)]
pub struct StateArgs {
    #[command(flatten)]
    pub server: ServerArgs,
    #[command(subcommand)]
    pub command: StateCommand,
}

#[derive(Clone, Debug, Subcommand)]
pub enum StateCommand {
    /// Print an entry's value; with --json also its version
    Get {
        /// The namespace
        namespace: String,
        /// The key
        key: String,
    },
    /// Write an entry
    Put {
        /// The namespace
        namespace: String,
        /// The key
        key: String,
        /// JSON; what is none is taken as text
        value: String,
        /// Only if this is the entry's version; 0: only if there is none
        #[arg(long, value_name = "VERSION")]
        if_version: Option<u64>,
        /// Gone after so many seconds
        #[arg(long, value_name = "SECONDS")]
        ttl_seconds: Option<u64>,
    },
    /// List the entries of a namespace, in the order of their keys
    List {
        /// The namespace
        namespace: String,
        /// Only keys that begin so
        #[arg(long, default_value = "")]
        prefix: String,
        /// At most this many
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
        limit: u32,
    },
    /// Print an entry, and each of its changes from now on
    Watch {
        /// The namespace
        namespace: String,
        /// The key
        key: String,
    },
    /// Delete an entry
    Delete {
        /// The namespace
        namespace: String,
        /// The key
        key: String,
        /// Only if this is the entry's version
        #[arg(long, value_name = "VERSION")]
        if_version: Option<u64>,
    },
}
