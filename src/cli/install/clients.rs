//! The hosts: where each keeps its servers, and in which words.

use std::path::{Path, PathBuf};

use reqwest::Url;
use serde_json::{Map, Value, json};

use crate::cli::args::HostClient;
use crate::cli::exit::{CliError, Result};

/// The variables from which hosts are to read a token or the owner's key: neither is written into a file.
const TOKEN: &str = "LONGHAUL_TOKEN";
pub const KEY: &str = "LONGHAUL_KEY";

/// How a host's file is written, and under which key its servers stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Json { section: &'static str },
    Toml { section: &'static str },
}

/// How the host is to reach us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transport {
    Stdio { command: String, args: Vec<String> },
    Http { url: String, credential: Credential },
}

/// What the host shows a server over HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credential {
    /// Nothing: the server knows the owner by the connection.
    None,
    /// The server is on another machine, where a client is known by its token alone.
    Token,
    /// The server's key: it cannot know the owner by the connection.
    Key {
        /// A shell command that prints it as JSON of HTTP headers, for hosts that run one on the server's machine.
        helper: Option<String>,
    },
}

/// The folders in which hosts keep their files.
#[derive(Clone, Debug)]
pub struct Places {
    pub home: PathBuf,
    /// Where programs of this system keep settings.
    pub config: PathBuf,
    /// Where the host is to keep its own, by a variable that it names.
    pub claude: Option<PathBuf>,
    pub codex: Option<PathBuf>,
    pub project: PathBuf,
}

impl HostClient {
    pub fn name(self) -> &'static str {
        match self {
            Self::ClaudeCode => "claude-code",
            Self::ClaudeDesktop => "claude-desktop",
            Self::VsCode => "vscode",
            Self::Cursor => "cursor",
            Self::Codex => "codex",
        }
    }

    /// Its file: the user's own, or the one in the project.
    pub fn file(self, project: bool, places: &Places) -> Result<PathBuf> {
        let Places { home, config, claude, codex, project: folder } = places;
        Ok(match (self, project) {
            (Self::ClaudeCode, false) => claude.as_ref().unwrap_or(home).join(".claude.json"),
            (Self::ClaudeCode, true) => folder.join(".mcp.json"),
            (Self::ClaudeDesktop, false) => config.join("Claude/claude_desktop_config.json"),
            (Self::ClaudeDesktop, true) => {
                return Err(CliError::usage("Claude Desktop has no configuration for a project")
                    .next("longhaul install --client claude-desktop"));
            }
            (Self::VsCode, false) => config.join("Code/User/mcp.json"),
            (Self::VsCode, true) => folder.join(".vscode/mcp.json"),
            (Self::Cursor, false) => home.join(".cursor/mcp.json"),
            (Self::Cursor, true) => folder.join(".cursor/mcp.json"),
            (Self::Codex, false) => codex.clone().unwrap_or_else(|| home.join(".codex")).join("config.toml"),
            (Self::Codex, true) => folder.join(".codex/config.toml"),
        })
    }

    pub fn format(self) -> Format {
        match self {
            Self::ClaudeCode | Self::ClaudeDesktop | Self::Cursor => Format::Json { section: "mcpServers" },
            Self::VsCode => Format::Json { section: "servers" },
            Self::Codex => Format::Toml { section: "mcp_servers" },
        }
    }

    /// What stands under our name.
    pub fn entry(self, transport: &Transport) -> Result<Map<String, Value>> {
        let entry = match (self, transport) {
            (Self::ClaudeCode | Self::VsCode | Self::Cursor, Transport::Stdio { command, args }) => {
                json!({ "type": "stdio", "command": command, "args": args })
            }
            (Self::ClaudeDesktop | Self::Codex, Transport::Stdio { command, args }) => {
                json!({ "command": command, "args": args })
            }
            (Self::ClaudeDesktop, Transport::Http { .. }) => {
                return Err(CliError::usage("the file of Claude Desktop names programs, not addresses")
                    .next("longhaul install --client claude-desktop --stdio"));
            }
            (Self::ClaudeCode | Self::VsCode, Transport::Http { url, .. }) => {
                json!({ "type": "http", "url": url })
            }
            (Self::Cursor | Self::Codex, Transport::Http { url, .. }) => json!({ "url": url }),
        };
        let Value::Object(mut entry) = entry else { return Ok(Map::new()) };
        let Transport::Http { credential, .. } = transport else { return Ok(entry) };
        let (field, value) = match credential {
            Credential::None => return Ok(entry),
            Credential::Token => self.bearer_from(TOKEN),
            Credential::Key { helper: Some(helper) } if self.runs_helper() => {
                ("headersHelper", json!(helper))
            }
            Credential::Key { .. } => self.bearer_from(KEY),
        };
        entry.insert(field.to_owned(), value);
        Ok(entry)
    }

    /// Whether the host asks a command for headers, so that no variable has to be set.
    pub fn runs_helper(self) -> bool {
        self == Self::ClaudeCode
    }

    /// By which the host sends what it finds in a variable of its environment.
    fn bearer_from(self, variable: &str) -> (&'static str, Value) {
        let header = |variable: String| json!({ "Authorization": format!("Bearer {variable}") });
        match self {
            Self::Codex => ("bearer_token_env_var", json!(variable)),
            Self::ClaudeCode | Self::ClaudeDesktop => ("headers", header(format!("${{{variable}}}"))),
            Self::VsCode | Self::Cursor => ("headers", header(format!("${{env:{variable}}}"))),
        }
    }

    /// When it is heeded.
    pub fn afterwards(self) -> &'static str {
        match self {
            Self::ClaudeCode => "Claude Code heeds it from its next start; /mcp shows it",
            Self::ClaudeDesktop => "Claude Desktop heeds it once it was quit and started again",
            Self::VsCode => "VS Code: `MCP: List Servers` in the command palette starts it",
            Self::Cursor => "Cursor shows it in its settings, among the MCP servers",
            Self::Codex => "Codex heeds it from its next start; `codex mcp list` shows it",
        }
    }
}

impl Transport {
    /// With a token where the server is on another machine.
    pub fn http(url: &str) -> Result<Self> {
        let wrong = || CliError::usage(format_args!("--url '{}' is no http address", url.escape_debug()));
        let parsed = Url::parse(url).map_err(|_| wrong())?;
        let host = parsed.host_str().filter(|_| matches!(parsed.scheme(), "http" | "https"));
        let host = host.ok_or_else(wrong)?.trim_matches(['[', ']']);
        let address = host.parse::<std::net::IpAddr>();
        let loopback = host == "localhost" || address.is_ok_and(|address| address.is_loopback());
        let credential = if loopback { Credential::None } else { Credential::Token };
        Ok(Self::Http { url: url.to_owned(), credential })
    }
}

impl Places {
    pub fn of_this_process() -> Result<Self> {
        let folder = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let home = folder("HOME");
        let home = home.ok_or_else(|| CliError::usage("no home folder: HOME names none"))?;
        let project = std::env::current_dir()
            .map_err(|e| CliError::failed(format_args!("the working folder cannot be read: {e}")))?;
        let config = config_folder(&home, folder("XDG_CONFIG_HOME"), cfg!(target_os = "macos"));
        Ok(Self { home, config, claude: folder("CLAUDE_CONFIG_DIR"), codex: folder("CODEX_HOME"), project })
    }
}

/// `named` is what the XDG variable says, which macOS does not know.
pub fn config_folder(home: &Path, named: Option<PathBuf>, macos: bool) -> PathBuf {
    if macos {
        home.join("Library/Application Support")
    } else {
        named.unwrap_or_else(|| home.join(".config"))
    }
}
