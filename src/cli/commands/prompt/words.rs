//! What is typed at the prompt: words as in a shell, and what they mean.

use crate::api::AnswerAction;
use crate::cli::exit::{CliError, Result};

#[derive(Debug, PartialEq, Eq)]
pub enum Said {
    Nothing,
    List,
    Tasks,
    /// Without an id: all that have not ended.
    Attach(Option<String>),
    Answer(Answer),
    Send {
        id: String,
        name: String,
        payload: Given,
    },
    Forget(String),
    Help,
    Quit,
    Call {
        tool: String,
        arguments: Given,
    },
}

/// `answer [ID] [--key KEY] [KEY=VALUE… | --args JSON | --decline | --cancel]`
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Answer {
    pub id: Option<String>,
    pub key: Option<String>,
    /// Where it is no answer.
    pub refusal: Option<AnswerAction>,
    pub content: Given,
}

/// Values as they are typed.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Given {
    pub pairs: Vec<String>,
    pub args: Option<String>,
}

impl Given {
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty() && self.args.is_none()
    }
}

/// The meaning of a line.
pub fn read(line: &str) -> Result<Said> {
    let mut words = split(line)?.into_iter();
    let Some(first) = words.next() else { return Ok(Said::Nothing) };
    let rest: Vec<String> = words.collect();
    match first.as_str() {
        "list" => none(rest, Said::List),
        "tasks" => none(rest, Said::Tasks),
        "help" | "?" => none(rest, Said::Help),
        "quit" | "exit" => none(rest, Said::Quit),
        "attach" => one("attach [ID]", rest).map(Said::Attach),
        "forget" => {
            let id = one("forget ID", rest)?;
            id.map(Said::Forget).ok_or_else(|| usage("forget ID"))
        }
        "answer" => answer(rest).map(Said::Answer),
        "send" => {
            let usage = || usage("send ID NAME [KEY=VALUE… | --args JSON]");
            let [id, name, ..] = rest.as_slice() else { return Err(usage()) };
            let (id, name) = (id.clone(), name.clone());
            Ok(Said::Send { id, name, payload: given(rest.into_iter().skip(2), usage)? })
        }
        // For tools that are called like one of these words.
        "call" if !rest.is_empty() => call(rest),
        _ => call(std::iter::once(first).chain(rest).collect()),
    }
}

fn call(words: Vec<String>) -> Result<Said> {
    let mut words = words.into_iter();
    let tool = words.next().unwrap_or_default();
    let arguments = given(words, || usage("TOOL [KEY=VALUE…] [--args JSON]"))?;
    Ok(Said::Call { tool, arguments })
}

fn answer(words: Vec<String>) -> Result<Answer> {
    let usage = || usage("answer [ID] [--key KEY] [KEY=VALUE… | --args JSON | --decline | --cancel]");
    let mut answer = Answer::default();
    let mut left = Vec::new();
    let mut words = words.into_iter().peekable();
    if words.peek().is_some_and(|word| !word.starts_with("--") && !word.contains('=')) {
        answer.id = words.next();
    }
    while let Some(word) = words.next() {
        match word.as_str() {
            "--key" => answer.key = Some(words.next().ok_or_else(usage)?),
            "--decline" => answer.refusal = Some(AnswerAction::Decline),
            "--cancel" => answer.refusal = Some(AnswerAction::Cancel),
            _ => left.push(word),
        }
    }
    answer.content = given(left.into_iter(), usage)?;
    if answer.refusal.is_some() && !answer.content.is_empty() { Err(usage()) } else { Ok(answer) }
}

fn given(mut words: impl Iterator<Item = String>, usage: impl Fn() -> CliError) -> Result<Given> {
    let mut given = Given::default();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--args" => given.args = Some(words.next().ok_or_else(&usage)?),
            word if word.contains('=') => given.pairs.push(word.to_owned()),
            _ => return Err(usage()),
        }
    }
    Ok(given)
}

fn none(rest: Vec<String>, said: Said) -> Result<Said> {
    if rest.is_empty() { Ok(said) } else { Err(CliError::usage("that word stands alone").next("help")) }
}

fn one(usage_of: &str, rest: Vec<String>) -> Result<Option<String>> {
    if rest.len() > 1 {
        return Err(usage(usage_of));
    }
    Ok(rest.into_iter().next())
}

fn usage(usage: &str) -> CliError {
    CliError::usage(format_args!("that is not understood; it is: {usage}")).next("help")
}

/// Words between spaces; quotes keep them together, a backslash outside of single quotes takes the next
/// character as it is.
fn split(line: &str) -> Result<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (Some(open), c) if c == open => quote = None,
            (None | Some('"'), '\\') => word.get_or_insert_default().extend(chars.next()),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    match quote {
        None => Ok(words),
        Some(quote) => Err(CliError::usage(format_args!("a {quote} is open at the end of the line"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(pairs: &[&str]) -> Given {
        Given { pairs: pairs.iter().map(|pair| (*pair).to_owned()).collect(), args: None }
    }

    #[test]
    fn a_line_is_read_as_a_shell_would() {
        let line = r#" book_agent topic='deep "sea"' note="a \"b\" c" x=\ y empty='' "#;
        let arguments = pairs(&["topic=deep \"sea\"", "note=a \"b\" c", "x= y", "empty="]);
        assert_eq!(read(line), Ok(Said::Call { tool: "book_agent".to_owned(), arguments }));
        assert_eq!(read("  "), Ok(Said::Nothing));
        assert!(read("book_agent topic='x").is_err());
        assert!(read("book_agent topic").is_err());
    }

    #[test]
    fn words_of_ours_come_first_and_call_reaches_tools_of_that_name() {
        assert_eq!(read("list"), Ok(Said::List));
        assert!(read("list x=1").is_err());
        let call = Said::Call { tool: "list".to_owned(), arguments: pairs(&["x=1"]) };
        assert_eq!(read("call list x=1"), Ok(call));
        assert_eq!(read("attach"), Ok(Said::Attach(None)));
        assert_eq!(read("attach 12ab"), Ok(Said::Attach(Some("12ab".to_owned()))));
        assert!(read("forget").is_err());
    }

    #[test]
    fn an_answer_names_what_it_must() {
        let id = Some("12ab".to_owned());
        assert_eq!(read("answer"), Ok(Said::Answer(Answer::default())));
        let whole =
            Answer { id: id.clone(), key: Some("k".to_owned()), refusal: None, content: pairs(&["a=1"]) };
        assert_eq!(read("answer 12ab --key k a=1"), Ok(Said::Answer(whole)));
        let declined = Answer { id, refusal: Some(AnswerAction::Decline), ..Answer::default() };
        assert_eq!(read("answer 12ab --decline"), Ok(Said::Answer(declined)));
        assert!(read("answer --decline a=1").is_err());
        assert!(read("send 12ab").is_err());
    }
}
