//! Finds the id of a message that cannot be read as a whole, byte by byte and with nothing held.

use serde_json::Value;

use crate::limits;

/// What is known of a message without reading all of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scan {
    pub id: Option<Value>,
    pub is_response: bool,
}

/// Follows the structure of one JSON text. What is wrong within a text or a word, such as half of a surrogate pair
/// or a bad byte, leaves the structure as it is; where that itself is broken, what comes behind tells nothing.
#[derive(Debug)]
pub struct IdScan {
    at: At,
    /// What is open: whether each is an object.
    open: Vec<bool>,
    /// The text or word at the top of the object, as it stands there.
    token: Vec<u8>,
    field: Field,
    id: Found,
    has_method: bool,
    has_answer: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Start,
    Value,
    FirstKey,
    Key,
    Colon,
    FirstItem,
    AfterValue,
    Text { is_key: bool, escaped: bool },
    Word,
    Ended,
    Lost,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Id,
    Other,
}

#[derive(Debug)]
enum Found {
    No,
    /// What it is, if it is an id.
    One(Option<Value>),
    Several,
}

impl Default for IdScan {
    fn default() -> Self {
        Self {
            at: At::Start,
            open: Vec::new(),
            token: Vec::new(),
            field: Field::Other,
            id: Found::No,
            has_method: false,
            has_answer: false,
        }
    }
}

impl IdScan {
    pub fn of(message: &[u8]) -> Scan {
        let mut scan = Self::default();
        scan.push(message);
        scan.finish()
    }

    pub fn push(&mut self, bytes: &[u8]) {
        for byte in bytes {
            if self.at == At::Lost {
                return;
            }
            self.at = self.step(*byte);
        }
    }

    pub fn finish(self) -> Scan {
        let id = match self.id {
            // Whether it is that of a request or of an answer must be known: the two sides count for themselves.
            Found::One(id) if self.has_method || self.has_answer => id,
            _ => None,
        };
        Scan { id, is_response: self.has_answer && !self.has_method }
    }

    fn step(&mut self, byte: u8) -> At {
        let blank = byte.is_ascii_whitespace();
        match self.at {
            At::Text { is_key, escaped } => self.text(byte, is_key, escaped),
            At::Word if !blank && !b",]}:[{\"".contains(&byte) => self.keep(byte, At::Word),
            At::Word => {
                self.value_ends();
                self.after(byte)
            }
            at if blank => at,
            At::Start if b"\xEF\xBB\xBF".contains(&byte) => At::Start,
            At::Start | At::Value => self.value(byte),
            At::FirstItem if byte == b']' => self.close(false),
            At::FirstItem => self.value(byte),
            At::FirstKey if byte == b'}' => self.close(true),
            At::FirstKey | At::Key if byte == b'"' => self.begin(At::Text { is_key: true, escaped: false }),
            At::Colon if byte == b':' => At::Value,
            At::AfterValue => self.after(byte),
            // A second message on the line: the id of neither is that of the line.
            At::Ended if b"{[".contains(&byte) => {
                self.id = Found::Several;
                At::Lost
            }
            At::FirstKey | At::Key | At::Colon | At::Ended | At::Lost => At::Lost,
        }
    }

    fn value(&mut self, byte: u8) -> At {
        match byte {
            b'{' | b'[' if self.open.len() >= limits::MAX_SCANNED_DEPTH => At::Lost,
            b'{' | b'[' => {
                self.open.push(byte == b'{');
                if byte == b'{' { At::FirstKey } else { At::FirstItem }
            }
            b'"' => self.begin(At::Text { is_key: false, escaped: false }),
            b'-' | b'+' | b'.' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => {
                self.token.clear();
                self.keep(byte, At::Word)
            }
            _ => At::Lost,
        }
    }

    fn begin(&mut self, text: At) -> At {
        self.token.clear();
        self.keep(b'"', text)
    }

    fn text(&mut self, byte: u8, is_key: bool, escaped: bool) -> At {
        let next = At::Text { is_key, escaped: byte == b'\\' && !escaped };
        self.keep(byte, next);
        match (byte, escaped) {
            (b'"', false) if is_key => {
                self.key_ends();
                At::Colon
            }
            (b'"', false) => {
                self.value_ends();
                if self.open.is_empty() { At::Ended } else { At::AfterValue }
            }
            _ => next,
        }
    }

    fn after(&mut self, byte: u8) -> At {
        match (byte, self.open.last()) {
            (byte, Some(_)) if byte.is_ascii_whitespace() => At::AfterValue,
            (b',', Some(true)) => At::Key,
            (b',', Some(false)) => At::Value,
            (b'}', _) => self.close(true),
            (b']', _) => self.close(false),
            (byte, None) if byte.is_ascii_whitespace() => At::Ended,
            _ => At::Lost,
        }
    }

    fn close(&mut self, object: bool) -> At {
        if self.open.pop() != Some(object) {
            return At::Lost;
        }
        if self.is_at_top() && self.field == Field::Id {
            self.found(None);
        }
        if self.open.is_empty() { At::Ended } else { At::AfterValue }
    }

    /// In the object that is the message.
    fn is_at_top(&self) -> bool {
        self.open[..] == [true]
    }

    /// No id is longer than what is kept; beyond, it is none.
    fn keep(&mut self, byte: u8, next: At) -> At {
        if self.is_at_top() && self.token.len() <= limits::MAX_SCANNED_ID_BYTES {
            self.token.push(byte);
        }
        next
    }

    fn key_ends(&mut self) {
        if !self.is_at_top() {
            return;
        }
        self.field = Field::Other;
        match serde_json::from_slice::<String>(&self.token).as_deref() {
            Ok("id") => self.field = Field::Id,
            Ok("method") => self.has_method = true,
            Ok("result" | "error") => self.has_answer = true,
            _ => {}
        }
    }

    fn value_ends(&mut self) {
        if self.is_at_top() && self.field == Field::Id {
            let whole = self.token.len() <= limits::MAX_SCANNED_ID_BYTES;
            let value = serde_json::from_slice::<Value>(&self.token).ok();
            self.found(value.filter(|value| whole && (value.is_string() || value.is_number())));
        }
    }

    fn found(&mut self, id: Option<Value>) {
        self.field = Field::Other;
        self.id = match self.id {
            Found::No => Found::One(id),
            Found::One(_) | Found::Several => Found::Several,
        };
    }
}
