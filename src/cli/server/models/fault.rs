//! Why a try of an endpoint came to nothing, in words that hold neither the key nor the whole answer.

use std::time::Duration;

use super::masked::masked;
use crate::authority::Secret;
use crate::limits;

/// Why a try came to nothing.
#[derive(Debug, PartialEq, Eq)]
pub struct Fault {
    pub why: String,
    /// It may do better, after this time where the endpoint named one.
    pub again: Option<Option<Duration>>,
    /// The endpoint may have worked on it, and then wants to be paid.
    pub may_be_paid: bool,
    /// It asks for `max_completion_tokens` in place of `max_tokens`.
    pub wants_completion_tokens: bool,
}

impl Fault {
    /// It does not get better by asking again, and was paid for.
    pub fn answer(why: impl Into<String>) -> Self {
        Self { why: why.into(), again: None, may_be_paid: true, wants_completion_tokens: false }
    }

    /// The request is not one that this endpoint takes: nothing left.
    pub fn request(why: impl Into<String>) -> Self {
        Self { why: why.into(), again: None, may_be_paid: false, wants_completion_tokens: false }
    }

    /// It began, and did not come to its end.
    pub fn cut(why: impl Into<String>) -> Self {
        Self { why: why.into(), again: Some(None), may_be_paid: true, wants_completion_tokens: false }
    }

    /// It has no room now.
    pub fn busy(why: impl Into<String>) -> Self {
        Self { why: why.into(), again: Some(None), may_be_paid: false, wants_completion_tokens: false }
    }

    /// The same with the endpoint's own words of it, short, on one line and without the key.
    pub fn saying(mut self, said: &str, key: Option<&Secret>) -> Self {
        let said = masked(said, key);
        let plain = |c: char| if c.is_control() { ' ' } else { c };
        let said: String = said.chars().take(limits::MAX_VIOLATION_CHARS).map(plain).collect();
        if !said.is_empty() {
            self.why = format!("{}: {said}", self.why);
        }
        self
    }
}

/// With what is behind it, such as a certificate that is not known: by itself it says no more than that sending failed.
pub fn cause(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut deepest: Option<&dyn std::error::Error> = std::error::Error::source(&error);
    while let Some(deeper) = deepest.and_then(|cause| cause.source()) {
        deepest = Some(deeper);
    }
    match deepest {
        Some(deepest) => format!("{error}: {deepest}"),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_an_endpoint_are_short_plain_and_without_the_key() {
        let key = Secret::new("sk-canary".to_owned());
        let said = format!("no such key sk-canary\n{}", "x".repeat(10_000));
        let fault = Fault::request("status 401").saying(&said, Some(&key));
        assert!(fault.why.starts_with("status 401: no such key ********* xxx"), "{}", fault.why);
        assert!(fault.why.len() < limits::MAX_VIOLATION_CHARS + 50 && !fault.why.contains("canary"));
    }
}
