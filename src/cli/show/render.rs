//! Everything that goes to stdout: tables on a terminal, tab-separated lines elsewhere, JSON where asked for.

use std::ffi::OsStr;
use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::os::unix::ffi::OsStrExt;

use serde::Serialize;

use crate::catalog::{show_hidden, show_in_json};
use crate::cli::exit::{CliError, Exit, Result};

/// Where and how a command prints its answer.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    pub json: bool,
    pub terminal: bool,
}

impl Output {
    pub fn new(json: bool) -> Self {
        Self { json, terminal: io::stdout().is_terminal() }
    }

    /// One line of text. Whatever came from a guest or a client was escaped before.
    pub fn line(self, line: impl AsRef<str>) -> Result<()> {
        self.raw(format!("{}\n", line.as_ref()).as_bytes())
    }

    /// In words, or as one JSON document.
    pub fn value(self, value: &(impl Serialize + fmt::Display)) -> Result<()> {
        if self.json { self.json(value) } else { self.line(value.to_string()) }
    }

    /// One JSON document on one line.
    pub fn json(self, document: &impl Serialize) -> Result<()> {
        let text = serde_json::to_string(document).map_err(CliError::failed)?;
        // The same value: a program gets the bytes, a person's terminal nothing that steers it.
        self.line(if self.terminal { show_in_json(&text) } else { text.into() })
    }

    pub fn table(self, table: &Table) -> Result<()> {
        let text = if self.terminal { table.draw(terminal_columns()) } else { table.tab_separated() };
        self.raw(text.as_bytes())
    }

    /// Text of a guest or a client, over several lines: escaped, with a line end.
    pub fn foreign_text(self, text: &str) -> Result<()> {
        let mut text = escape_text(text);
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        self.raw(text.as_bytes())
    }

    /// Bytes of a guest: as they are into a file or pipe, escaped on a terminal.
    pub fn foreign_bytes(self, bytes: &[u8]) -> Result<()> {
        if self.terminal { self.foreign_text(&String::from_utf8_lossy(bytes)) } else { self.raw(bytes) }
    }

    /// Bytes of our own.
    pub fn raw(self, bytes: &[u8]) -> Result<()> {
        let mut stdout = io::stdout().lock();
        match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
            Ok(()) => Ok(()),
            Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Err(CliError::reader_left()),
            Err(e) => Err(CliError::failed(format_args!("cannot write to stdout: {e}"))),
        }
    }
}

/// A word as a shell takes it, in quotes where it needs them. What no terminal should get, or what is no UTF-8, is
/// written as bytes, which bash and zsh read.
pub fn shell_word(word: &OsStr) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+,:@%=".contains(&byte);
    match word.to_str() {
        Some(text) if !text.is_empty() && text.bytes().all(is_plain) => text.to_owned(),
        Some(text) if escape(text) == text => format!("'{}'", text.replace('\'', r"'\''")),
        _ => {
            let byte = |byte: &u8| match byte {
                b'\'' | b'\\' => format!("\\{}", char::from(*byte)),
                b' '..=b'~' => char::from(*byte).to_string(),
                _ => format!("\\x{byte:02x}"),
            };
            format!("$'{}'", word.as_bytes().iter().map(byte).collect::<String>())
        }
    }
}

/// Rows under headers. Cells are escaped when they are added.
pub struct Table {
    headers: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub fn new(headers: &[&'static str]) -> Self {
        Self { headers: headers.to_vec(), rows: Vec::new() }
    }

    pub fn row<S: AsRef<str>>(&mut self, cells: impl IntoIterator<Item = S>) {
        self.rows.push(cells.into_iter().map(|cell| escape(cell.as_ref())).collect());
    }

    fn draw(&self, columns: u16) -> String {
        let mut table = comfy_table::Table::new();
        table.load_style(
            comfy_table::presets::UTF8_HORIZONTAL_ONLY.row_separator(comfy_table::LineStyle::none()),
        );
        table.set_content_arrangement(comfy_table::ContentArrangement::Dynamic);
        table.set_width(columns);
        table.set_header(self.headers.clone());
        table.add_rows(self.rows.iter());
        // What names the row is copied from the screen, and words are to be read: only the widest column,
        // which holds sentences, is broken over lines.
        let widest = self.widest_column();
        for column in table.column_iter_mut().enumerate().filter(|(number, _)| *number != widest) {
            column.1.set_constraint(comfy_table::ColumnConstraint::ContentWidth);
        }
        let mut text = table.trim_fmt();
        text.push('\n');
        text
    }

    /// Never the first one.
    fn widest_column(&self) -> usize {
        let width = |column: &usize| self.rows.iter().map(|row| row[*column].len()).max().unwrap_or(0);
        (1..self.headers.len()).max_by_key(width).unwrap_or(0)
    }

    fn tab_separated(&self) -> String {
        let mut text = String::new();
        for row in &self.rows {
            text.push_str(&row.join("\t"));
            text.push('\n');
        }
        text
    }
}

/// One line, safe to print: control characters, line ends and whatever is hidden or changes the direction of text
/// become visible escapes, so that a guest can neither move the cursor nor forge a line of ours.
pub fn escape(text: &str) -> String {
    show_hidden(&text.replace('\r', "\\r").replace('\n', "\\n").replace('\t', "\\t")).into_owned()
}

/// The same for text of several lines: line ends and tabs stay.
pub fn escape_text(text: &str) -> String {
    show_hidden(&text.replace("\r\n", "\n").replace('\r', "\\r")).into_owned()
}

fn terminal_columns() -> u16 {
    const USUAL: u16 = 100;
    terminal_size::terminal_size().map_or(USUAL, |(width, _)| width.0.max(40))
}

/// `1.5 MiB`
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let (mut value, mut unit) = (count as f64, 0);
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{count} B") } else { format!("{value:.1} {}", UNITS[unit]) }
}

/// Errors are for people, on stderr; with `--json` a program gets them on stdout too.
pub fn failure(error: &CliError, output: Output) -> Exit {
    if error.says_nothing() {
        return error.exit;
    }
    eprintln!("longhaul: {}", escape_text(&error.to_string()));
    if output.json {
        let document = serde_json::json!({
            "error": { "exit": error.exit as u8, "message": error.message, "next": error.next },
        });
        // Nothing is left to do about a stdout that fails.
        let _ = output.json(&document);
    }
    error.exit
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_guest_says_cannot_steer_the_terminal() {
        assert_eq!(escape("a\u{1b}[2Jb\u{7}\u{9b}c\r\n"), "a\\u{1b}[2Jb\\u{7}\\u{9b}c\\r\\n");
        assert_eq!(escape("user\u{202e}gnp.exe\u{200b}"), "user\\u{202e}gnp.exe\\u{200b}");
        assert_eq!(escape("Größe 5 µm – 日本 🙂 ❤️"), "Größe 5 µm – 日本 🙂 ❤️");
        assert_eq!(escape("tag\u{e0041}\u{2066}\u{e0101}"), "tag\\u{e0041}\\u{2066}\\u{e0101}");
        assert_eq!(escape_text("one\r\n\ttwo\rthree\u{1b}]0;x\u{7}"), "one\n\ttwo\\rthree\\u{1b}]0;x\\u{7}");
    }

    #[test]
    fn a_table_is_lines_of_tabs_where_no_terminal_is() {
        let mut table = Table::new(&["ID", "MESSAGE"]);
        table.row(["1", "two\tcells\nand a line"]);
        table.row(["2", ""]);
        assert_eq!(table.tab_separated(), "1\ttwo\\tcells\\nand a line\n2\t\n");
        let id = "01a1fe16-779f-732b-b218-fc31f9140629";
        table.row([id, &"long ".repeat(20)]);
        let drawn = table.draw(60);
        assert!(drawn.contains("MESSAGE") && drawn.contains("two\\tcells") && drawn.contains(id), "{drawn}");
    }

    #[test]
    fn a_word_for_a_shell_is_one_word_whatever_is_in_it() {
        use std::os::unix::ffi::OsStrExt;
        for (word, written) in [
            (&b"/etc/longhaul.toml"[..], "/etc/longhaul.toml"),
            (b"", "''"),
            (b"/a b/$(id)/;x", "'/a b/$(id)/;x'"),
            (b"it's", r"'it'\''s'"),
            ("/f\u{fc}r".as_bytes(), "'/f\u{fc}r'"),
            (b"/\x1b[31m'", r"$'/\x1b[31m\''"),
            (b"/\xff", r"$'/\xff'"),
        ] {
            assert_eq!(shell_word(OsStr::from_bytes(word)), written);
        }
    }

    #[test]
    fn sizes_read_well() {
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(1536), "1.5 KiB");
        assert_eq!(bytes(u64::MAX), "16777216.0 TiB");
    }
}
