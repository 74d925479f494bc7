use serde::{Deserialize, Serialize};

/// What a completed task hands back. JSON documents are kept as text: they are passed on, not looked into.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolResult {
    pub content: Vec<Content>,
    /// A JSON document as text.
    pub structured: Option<String>,
    /// The tool ran and reports an error of its own.
    pub is_error: bool,
}

impl ToolResult {
    pub fn text(text: impl Into<String>) -> Self {
        Self { content: vec![Content::Text(text.into())], ..Self::default() }
    }

    pub fn error(text: impl Into<String>) -> Self {
        Self { is_error: true, ..Self::text(text) }
    }

    /// Bytes that count against the result's bound.
    pub fn size_bytes(&self) -> usize {
        let content: usize = self.content.iter().map(Content::size_bytes).sum();
        content + self.structured.as_ref().map_or(0, String::len)
    }
}

/// One block of a result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Content {
    Text(String),
    Image {
        data: Vec<u8>,
        mime_type: String,
    },
    Audio {
        data: Vec<u8>,
        mime_type: String,
    },
    Link {
        uri: String,
        name: String,
        title: Option<String>,
        description: Option<String>,
        mime_type: Option<String>,
    },
    Embedded {
        uri: String,
        mime_type: Option<String>,
        body: EmbeddedBody,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EmbeddedBody {
    Text(String),
    Data(Vec<u8>),
}

impl Content {
    fn size_bytes(&self) -> usize {
        let len = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        match self {
            Self::Text(text) => text.len(),
            Self::Image { data, mime_type } | Self::Audio { data, mime_type } => data.len() + mime_type.len(),
            Self::Link { uri, name, title, description, mime_type } => {
                uri.len() + name.len() + len(title) + len(description) + len(mime_type)
            }
            Self::Embedded { uri, mime_type, body } => {
                let body = match body {
                    EmbeddedBody::Text(text) => text.len(),
                    EmbeddedBody::Data(data) => data.len(),
                };
                uri.len() + len(mime_type) + body
            }
        }
    }
}

/// A JSON-RPC error that a tool answers its call with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProtocolError {
    pub code: i32,
    pub message: String,
    /// A JSON document as text.
    pub data: Option<String>,
}
