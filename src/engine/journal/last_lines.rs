//! The end of what a guest wrote to its log, as the error of a trap quotes it: a panic, an exception or a throw says
//! there why.

use std::borrow::Borrow;
use std::collections::VecDeque;

use crate::limits;

/// Of a long line, as much is shown of its beginning as of its end.
const HEAD_BYTES: usize = limits::TRAP_LOG_LINE_BYTES / 2;

/// The last bytes of a log. It also takes what a full log drops: the reason comes last.
#[derive(Default)]
pub struct LastBytes {
    bytes: VecDeque<u8>,
    /// How the line begins of which `bytes` has only a later part; empty where it begins with a line.
    head: Vec<u8>,
}

impl LastBytes {
    pub fn write(&mut self, bytes: &[u8]) {
        let over = (self.bytes.len() + bytes.len()).saturating_sub(limits::TRAP_LOG_KEPT_BYTES);
        let gone = over.min(self.bytes.len());
        let dropped: Vec<u8> = self.bytes.drain(..gone).collect();
        let (passed, kept) = bytes.split_at(over - gone);
        for part in [&dropped, passed] {
            self.drop_part(part);
        }
        self.bytes.extend(kept);
    }

    fn drop_part(&mut self, part: &[u8]) {
        let line = match part.iter().rposition(|byte| *byte == b'\n') {
            Some(end) => {
                self.head.clear();
                &part[end + 1..]
            }
            None => part,
        };
        let room = HEAD_BYTES.saturating_sub(self.head.len()).min(line.len());
        self.head.extend_from_slice(&line[..room]);
    }

    pub fn is_at_line_start(&self) -> bool {
        self.bytes.back().is_none_or(|byte| *byte == b'\n')
    }

    /// The last lines that hold anything, oldest first, each and all together within their bounds.
    pub fn lines(&self) -> Vec<String> {
        let text = self.text();
        let mut lines = Vec::new();
        let mut bytes = 0;
        for line in text.lines().rev().filter(|line| !line.trim().is_empty()) {
            let line = shorten(line);
            bytes += line.len();
            if lines.len() == limits::TRAP_LOG_LINES || bytes > limits::TRAP_LOG_BYTES {
                break;
            }
            lines.push(line);
        }
        lines.reverse();
        lines
    }

    /// What is kept, with a mark where a line lacks its middle.
    fn text(&self) -> String {
        let (front, back) = self.bytes.as_slices();
        if self.head.len() < HEAD_BYTES {
            return String::from_utf8_lossy(&[&self.head, front, back].concat()).into_owned();
        }
        let (head, rest) = (String::from_utf8_lossy(&self.head), [front, back].concat());
        let rest = String::from_utf8_lossy(&rest);
        // Characters that the cuts went through.
        format!("{}…{}", head.trim_end_matches('\u{fffd}'), rest.trim_start_matches('\u{fffd}'))
    }
}

/// A line within its bound: its beginning and its end.
fn shorten(line: &str) -> String {
    let line = line.trim_end();
    if line.len() <= limits::TRAP_LOG_LINE_BYTES {
        return line.to_owned();
    }
    let begin = line.floor_char_boundary(HEAD_BYTES);
    let end = line.ceil_char_boundary(line.len() - (limits::TRAP_LOG_LINE_BYTES - begin));
    format!("{}…{}", &line[..begin], &line[end..])
}

/// How the part of an error's detail begins that quotes the log; each line behind it is indented.
const QUOTE: &str = "the last lines of its log:";

/// The lines of the log that a trap's detail quotes; none of any other detail.
pub fn quoted(detail: &str) -> impl Iterator<Item = &str> {
    let quote = detail.strip_prefix(QUOTE).unwrap_or_default();
    quote.lines().skip(1).map_while(|line| line.strip_prefix("  "))
}

/// An error's message, and behind it what its detail quotes of the log.
pub fn with_quote(message: &str, detail: Option<&str>) -> String {
    let lines: Vec<&str> = quoted(detail.unwrap_or_default()).collect();
    if lines.is_empty() { message.to_owned() } else { format!("{message}\n{}", quote(&lines)) }
}

fn quote(lines: &[impl Borrow<str>]) -> String {
    format!("{QUOTE}\n  {}", lines.join("\n  "))
}

/// What an error says of a trap beyond its message: the last lines of the log, then where the guest was.
pub fn trap_detail(log: Option<&LastBytes>, backtrace: Option<String>) -> Option<String> {
    let lines = log.map(LastBytes::lines).unwrap_or_default();
    let backtrace = backtrace.map(|mut backtrace| {
        let end = backtrace.floor_char_boundary(limits::MAX_BACKTRACE_BYTES);
        if end < backtrace.len() {
            backtrace.truncate(end);
            backtrace.push('…');
        }
        backtrace
    });
    if lines.is_empty() {
        return backtrace;
    }
    let log = quote(&lines);
    Some(match backtrace {
        Some(backtrace) => format!("{log}\n{backtrace}"),
        None => log,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(pieces: &[&[u8]]) -> Vec<String> {
        let mut last = LastBytes::default();
        pieces.iter().for_each(|piece| last.write(piece));
        last.lines()
    }

    #[test]
    fn the_last_lines_are_those_that_say_something() {
        assert_eq!(lines(&[]), [""; 0]);
        assert_eq!(lines(&[b"\n \n\t\n"]), [""; 0]);
        assert_eq!(lines(&[b"one\n\ntw", b"o\n\n"]), ["one", "two"]);
        assert_eq!(lines(&["Größe\n在庫がない".as_bytes()]), ["Größe", "在庫がない"]);
        assert_eq!(lines(&[b"a\xff\xfe\x1b[2Jb\r\n"]), ["a\u{fffd}\u{fffd}\u{1b}[2Jb"]);
    }

    #[test]
    fn many_lines_and_long_ones_stay_within_their_bounds() {
        let many: Vec<u8> = (0..100_000).flat_map(|number| format!("line {number}\n").into_bytes()).collect();
        let last = lines(&[&many]);
        assert_eq!(last.len(), limits::TRAP_LOG_LINES);
        assert_eq!(last.last().map(String::as_str), Some("line 99999"));
        assert_eq!(last[0], format!("line {}", 100_000 - limits::TRAP_LOG_LINES));

        let long = format!("ValueError: {}é is odd\nat end\n", "x".repeat(limits::TRAP_LOG_LINE_BYTES));
        let last = lines(&[b"before\n", long.as_bytes()]);
        assert!(last[1].starts_with("ValueError: xx") && last[1].ends_with("xé is odd"), "{last:?}");
        assert!(last[1].contains("x…x") && last[1].len() <= limits::TRAP_LOG_LINE_BYTES + "…".len());
        assert_eq!((last[0].as_str(), last[2].as_str()), ("before", "at end"));

        let endless = "é".repeat(limits::TRAP_LOG_KEPT_BYTES);
        let pieces: Vec<&[u8]> = endless.as_bytes().chunks(7).collect();
        for pieces in [vec![endless.as_bytes()], pieces] {
            let pieces = [vec!["before\nTypeError: ".as_bytes()], pieces, vec![b" is the end"]].concat();
            let last = lines(&pieces);
            assert!(last.len() == 1 && last[0].starts_with("TypeError: é"), "{last:?}");
            assert!(last[0].ends_with("é is the end") && last[0].matches('…').count() == 1, "{last:?}");
            assert!(
                !last[0].contains('\u{fffd}') && last[0].len() < limits::TRAP_LOG_LINE_BYTES + 9,
                "{last:?}"
            );
        }
        let blank = "\n".repeat(limits::TRAP_LOG_KEPT_BYTES - 3);
        assert_eq!(
            lines(&[b"before\nTypeError", blank.as_bytes()]),
            ["TypeError"],
            "a cut through a short line"
        );

        let wide = format!("{}\n", "y".repeat(limits::TRAP_LOG_LINE_BYTES)).repeat(limits::TRAP_LOG_LINES);
        let bytes: usize = lines(&[wide.as_bytes()]).iter().map(String::len).sum();
        assert!(bytes <= limits::TRAP_LOG_BYTES && bytes > limits::TRAP_LOG_BYTES / 2, "{bytes}");
    }

    /// As languages' runtimes print them: the reason first, then much else.
    #[test]
    fn the_reason_is_quoted_whatever_the_runtime_prints_behind_it() {
        let frames = |count| -> String {
            (0..count)
                .map(|at| format!("  handler{at}@/home/me/project/build/bundle.js:{at}11:19\n"))
                .collect()
        };
        let thrown = format!(
            "Exception while running the tool: Error: no bolts is left\nStack:\n{}Redirecting call to abort() to \
             mozalloc_abort\n",
            frames(14)
        );
        let caused = format!(
            "Error: cannot ship\n{}Caused by: Error: no bolts is left\n{}Redirecting call to abort()\n",
            frames(14),
            frames(14)
        );
        let rows: String = (0..20).map(|row| format!("row {row} is short of bolts\n")).collect();
        let panic =
            format!("thread 'main' panicked at src/lib.rs:3:5:\nthe stock:\n{rows}note: run with more\n");
        let long = format!(
            "thread 'main' panicked at src/lib.rs:3:5: bad order {} at column 7000\nnote: run with more\n",
            "o".repeat(7 * 1024)
        );
        for (log, reasons) in [
            (thrown, ["Error: no bolts is left", "handler13@"]),
            (caused, ["Error: cannot ship", "Caused by: Error: no bolts is left"]),
            (panic, ["panicked at src/lib.rs:3:5", "row 0 is short"]),
            (long, ["panicked at src/lib.rs:3:5: bad order", "at column 7000"]),
        ] {
            let log = format!("{}{log}", "working\n".repeat(10_000));
            let last = lines(&[log.as_bytes()]).join("\n");
            assert!(reasons.iter().all(|reason| last.contains(reason)), "{reasons:?} in {last}");
        }
    }

    #[test]
    fn a_trap_quotes_the_log_before_its_backtrace() {
        let backtrace = || Some("error while executing:\n  0: f".to_owned());
        assert_eq!(trap_detail(None, None), None);
        assert_eq!(trap_detail(Some(&LastBytes::default()), backtrace()), backtrace());
        let mut log = LastBytes::default();
        log.write(b"panicked\nno bolts is left\n");
        assert_eq!(
            trap_detail(Some(&log), backtrace()).as_deref(),
            Some(
                "the last lines of its log:\n  panicked\n  no bolts is left\nerror while executing:\n  0: f"
            )
        );
        let detail = trap_detail(Some(&log), backtrace()).unwrap_or_default();
        assert_eq!(quoted(&detail).collect::<Vec<_>>(), ["panicked", "no bolts is left"]);
        assert_eq!(quoted("bound: MAX_TABLES\n  x").count(), 0);
        let long = trap_detail(Some(&log), Some("é".repeat(limits::MAX_BACKTRACE_BYTES))).unwrap_or_default();
        assert!(long.starts_with("the last lines") && long.ends_with("é…"));
        assert!(long.len() < limits::MAX_BACKTRACE_BYTES + 100, "{}", long.len());
    }
}
