//! How a tool is found again in its component. Written by inspection, kept with each task, read by `run`.

use std::fmt;
use std::str::FromStr;

/// The text form is a format on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Binding {
    /// `export:INTERFACE#FUNCTION`; without an interface the world itself exports the function.
    Export { interface: Option<String>, function: String },
    /// `tool:NAME`, a tool of the world `longhaul:tool`.
    Tool { name: String },
    /// `command:INTERFACE`, the `run` of a plain program; the interface is `wasi:cli/run` with its version.
    Command { interface: String },
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' does not name a tool of a component in any way that this version knows")]
pub struct UnknownBinding(String);

impl fmt::Display for Binding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Export { interface, function } => {
                write!(f, "export:{}#{function}", interface.as_deref().unwrap_or_default())
            }
            Self::Tool { name } => write!(f, "tool:{name}"),
            Self::Command { interface } => write!(f, "command:{interface}"),
        }
    }
}

impl FromStr for Binding {
    type Err = UnknownBinding;

    fn from_str(text: &str) -> Result<Self, UnknownBinding> {
        let unknown = || UnknownBinding(text.to_owned());
        match text.split_once(':').ok_or_else(unknown)? {
            ("export", rest) => {
                let (interface, function) = rest.split_once('#').ok_or_else(unknown)?;
                let interface = Some(interface.to_owned()).filter(|interface| !interface.is_empty());
                Ok(Self::Export { interface, function: function.to_owned() })
            }
            ("tool", name) => Ok(Self::Tool { name: name.to_owned() }),
            ("command", interface) => Ok(Self::Command { interface: interface.to_owned() }),
            _ => Err(unknown()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bindings_come_back_from_their_text() {
        let export = |interface: Option<&str>| Binding::Export {
            interface: interface.map(str::to_owned),
            function: "do-it".to_owned(),
        };
        for (binding, text) in [
            (export(Some("a:b/c@1.2.3")), "export:a:b/c@1.2.3#do-it"),
            (export(None), "export:#do-it"),
            (Binding::Tool { name: "x".into() }, "tool:x"),
            (Binding::Command { interface: "wasi:cli/run@0.2.3".into() }, "command:wasi:cli/run@0.2.3"),
        ] {
            assert_eq!(binding.to_string(), text);
            assert_eq!(text.parse(), Ok(binding));
        }
        for text in ["", "export:a", "closure:x", "plain"] {
            assert!(text.parse::<Binding>().is_err(), "{text}");
        }
    }
}
