//! What the one host of `--stdio` asks for by flags, on top of what the configuration says to every client.

use crate::cli::args::ServeArgs;
use crate::cli::config::McpSettings;
use crate::cli::exit::{CliError, Result};
use crate::mcp::{ClientSettings, McpOptions, wait_bound_of};

/// What the flags say of the one host of `--stdio`, in the words of an address.
pub fn set_by_flags(args: &ServeArgs) -> Result<ClientSettings> {
    let wait = match &args.wait {
        None => None,
        Some(text) => {
            let seconds = text.parse().map_err(|_| "is no whole number".to_owned()).and_then(wait_bound_of);
            seconds.map_err(|why| CliError::usage(format_args!("--wait: '{}' {why}", text.escape_debug())))?
        }
    };
    let links = match &args.links {
        None => None,
        Some(text) => Some(
            text.parse()
                .map_err(|why| CliError::usage(format_args!("--links: '{}' {why}", text.escape_debug())))?,
        ),
    };
    Ok(ClientSettings { wait, links })
}

/// What the configuration and the one host ask for together.
pub fn mcp_options(mcp: &McpSettings, host: ClientSettings) -> McpOptions {
    McpOptions {
        task_tools: mcp.task_tools,
        state_tools: mcp.state_tools,
        wait: mcp.wait.into_iter().chain(host.wait).min(),
        links: host.links.unwrap_or(mcp.links),
        names: mcp.names.clone(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::cli::exit::Exit;
    use crate::mcp::{Links, OwnNames};

    #[test]
    fn the_one_host_of_stdio_sets_by_flags_what_another_sets_by_its_address() {
        let set = |wait: Option<&str>, links: Option<&str>| {
            let (wait, links) = (wait.map(str::to_owned), links.map(str::to_owned));
            set_by_flags(&ServeArgs { wait, links, ..ServeArgs::default() })
        };
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        for (wait, links, expected) in [
            (None, None, ClientSettings::default()),
            (Some("4"), None, ClientSettings { wait: seconds(4), links: None }),
            (Some("0"), Some("text"), ClientSettings { wait: None, links: Some(Links::Text) }),
        ] {
            assert_eq!(set(wait, links), Ok(expected));
        }
        for (wait, links, part) in [
            (Some("soon"), None, "--wait: 'soon' is no whole number"),
            (Some("86401"), None, "--wait: '86401' is not from 1 to 86400"),
            (None, Some("none"), "--links: 'none' is neither block nor text"),
        ] {
            let error = set(wait, links).expect_err(part);
            assert!(error.exit == Exit::Usage && error.message.contains(part), "{}", error.message);
        }
    }

    #[test]
    fn a_private_server_takes_the_lower_bound_and_its_hosts_links() {
        let seconds = |seconds: u64| (seconds > 0).then(|| Duration::from_secs(seconds));
        for (of_file, of_flag, least) in [(0, 0, 0), (9, 0, 9), (0, 4, 4), (9, 4, 4), (4, 9, 4)] {
            let mcp = McpSettings {
                task_tools: true,
                state_tools: false,
                wait: seconds(of_file),
                links: Links::Text,
                names: OwnNames::default(),
                allowed_hosts: Vec::new(),
                allowed_origins: Vec::new(),
            };
            let host = ClientSettings { wait: seconds(of_flag), links: Some(Links::Block) };
            let options = mcp_options(&mcp, host);
            assert_eq!((options.wait, options.links), (seconds(least), Links::Block));
            assert_eq!(mcp_options(&mcp, ClientSettings::default()).links, Links::Text);
        }
    }
}
