use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Where a secret stands: `env:NAME`, `file:PATH` or `keyring:SERVICE/ACCOUNT`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SecretSource {
    /// A variable of the server's environment.
    Env(String),
    /// A file with the secret alone; a line's end behind it does not count.
    File(PathBuf),
    /// An entry of the keyring of the server's user.
    Keyring { service: String, account: String },
}

/// What was written is not repeated, since it may be the secret itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    #[error("a secret comes from \"env:NAME\", \"file:PATH\" or \"keyring:SERVICE/ACCOUNT\"")]
    Form,
    #[error("the file of a secret is named by its whole path, as in \"file:/etc/longhaul/key\"")]
    RelativePath,
}

impl FromStr for SecretSource {
    type Err = SourceError;

    fn from_str(text: &str) -> Result<Self, SourceError> {
        if text.contains(char::is_control) {
            return Err(SourceError::Form);
        }
        let (kind, rest) = text.split_once(':').ok_or(SourceError::Form)?;
        match kind {
            "env" if is_variable(rest) => Ok(Self::Env(rest.to_owned())),
            "file" if Path::new(rest).is_absolute() => Ok(Self::File(rest.into())),
            "file" => Err(SourceError::RelativePath),
            "keyring" => match rest.split_once('/') {
                Some((service, account)) if is_word(service) && is_word(account) => {
                    Ok(Self::Keyring { service: service.to_owned(), account: account.to_owned() })
                }
                _ => Err(SourceError::Form),
            },
            _ => Err(SourceError::Form),
        }
    }
}

impl fmt::Display for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(f, "env:{name}"),
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Keyring { service, account } => write!(f, "keyring:{service}/{account}"),
        }
    }
}

fn is_variable(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// A program is given it as an argument, where `-` would begin an option.
fn is_word(word: &str) -> bool {
    !word.is_empty() && !word.starts_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_reads_as_it_is_written() {
        for text in ["env:KEY", "env:_a1", "file:/etc/key", "keyring:longhaul/openai", "keyring:a/b/c"] {
            assert_eq!(text.parse::<SecretSource>().expect(text).to_string(), text);
        }
    }

    #[test]
    fn what_is_no_source_is_refused_and_not_repeated() {
        use SourceError::*;
        for (text, why) in [
            ("sk-canary", Form),
            ("env:", Form),
            ("env:A B", Form),
            ("env:1A", Form),
            ("file:key", RelativePath),
            ("file:", RelativePath),
            ("file:/a\nb", Form),
            ("keyring:canary", Form),
            ("keyring:/canary", Form),
            ("keyring:-x/canary", Form),
            ("vault:canary", Form),
        ] {
            let refused = text.parse::<SecretSource>().expect_err(text);
            assert_eq!(refused, why, "{text}");
            assert!(!refused.to_string().contains("canary"));
        }
    }
}
