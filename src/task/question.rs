use serde::{Deserialize, Serialize};

use super::spend::Spend;

/// What a task asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum QuestionKind {
    /// A person's word.
    Elicit,
    /// A model's message.
    Sample,
    /// The client's root folders.
    Roots,
    /// A message of a model that the operator has configured: no client is asked for it.
    Model,
}

impl QuestionKind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Elicit => "elicit",
            Self::Sample => "sample",
            Self::Roots => "roots",
            Self::Model => "model",
        }
    }
}

/// Who may answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum By {
    #[default]
    Person,
    Any,
}

/// Of a model that is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AskedModel {
    /// As the configuration names it.
    pub name: String,
    /// No request has left for its endpoint so far: there is nothing to be paid.
    pub is_unsent: bool,
}

/// A question that waits for its answer; what it says stands in a row of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenQuestion {
    /// Numbers the questions of a task, of all kinds, from 1.
    pub number: u64,
    pub key: String,
    pub kind: QuestionKind,
    /// Tokens that a sample may cost, held back from the task's budget until it is answered; of a model, for each time
    /// that it was asked this.
    pub reserved_tokens: u64,
    /// The same of money, billionths of a unit. It stands in a part of the status's row of its own.
    #[serde(skip)]
    pub reserved_cost: u64,
    /// It stands there too. Rows of before do not have it: what they ask may have left.
    #[serde(skip)]
    pub model: Option<AskedModel>,
}

impl OpenQuestion {
    pub fn reserved(&self) -> Spend {
        Spend { tokens: self.reserved_tokens, cost: self.reserved_cost }
    }

    /// Of a model: no request has left for its endpoint so far.
    pub fn is_unsent(&self) -> bool {
        self.model.as_ref().is_some_and(|model| model.is_unsent)
    }

    /// A request leaves for the model's endpoint. What it may cost was held back when it was asked; what each further one
    /// may cost is held back on top.
    pub fn send(&mut self, spend: Spend) {
        if let Some(model) = self.model.as_mut().filter(|model| model.is_unsent) {
            model.is_unsent = false;
            return;
        }
        let Spend { tokens, cost } = self.reserved().plus(spend);
        (self.reserved_tokens, self.reserved_cost) = (tokens, cost);
    }

    /// What is to be paid for it where its answer is not waited for: all that a model's requests may have cost.
    pub fn may_have_cost(&self) -> Spend {
        match self.kind {
            QuestionKind::Model if !self.is_unsent() => self.reserved(),
            _ => Spend::NOTHING,
        }
    }
}

/// What a task has asked so far, and what of its budget that took.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Questions {
    /// All that were ever asked; numbers them.
    pub asked: u64,
    pub open: Vec<OpenQuestion>,
    /// Keys that the guest chose, each taken for the task's whole life.
    pub keys: Vec<String>,
    /// Counted from the submission or the owner's last retry, over all retries of its own in between.
    pub questions: u32,
    pub samples: u32,
    pub sample_tokens: u64,
    /// Money, billionths of a unit. It stands in a part of the status's row of its own.
    #[serde(skip)]
    pub model_cost: u64,
}

impl Questions {
    /// The key as the guest wants it or, where it was used before, with the first number from 2 that makes it new.
    pub fn fresh_key(&self, wanted: &str) -> String {
        let is_taken = |key: &str| self.keys.iter().any(|taken| taken == key);
        if !is_taken(wanted) {
            return wanted.to_owned();
        }
        let numbered = (2u64..).map(|number| format!("{wanted}-{number}"));
        numbered.into_iter().find(|key| !is_taken(key)).unwrap_or_else(|| wanted.to_owned())
    }

    /// Those that a client or a person can answer.
    pub fn answerable(&self) -> impl Iterator<Item = &OpenQuestion> {
        self.open.iter().filter(|open| open.kind != QuestionKind::Model)
    }

    /// Nothing answers those that are open any more. What a model was asked is paid for all the same.
    pub fn withdraw_all(&mut self) -> Vec<OpenQuestion> {
        let withdrawn = std::mem::take(&mut self.open);
        for open in &withdrawn {
            self.add_spent(open.may_have_cost());
        }
        withdrawn
    }

    pub fn find(&self, number: u64) -> Option<&OpenQuestion> {
        self.open.iter().find(|open| open.number == number)
    }

    /// Takes one out of the open ones; what it held back of the budget is free again.
    pub fn close(&mut self, number: u64) -> Option<OpenQuestion> {
        let at = self.open.iter().position(|open| open.number == number)?;
        Some(self.open.remove(at))
    }

    /// The owner tries again: what was open is withdrawn and the budget is a new one.
    pub fn renew(&mut self) {
        self.open.clear();
        (self.questions, self.samples, self.sample_tokens, self.model_cost) = (0, 0, 0, 0);
    }

    pub fn reserved(&self) -> Spend {
        self.open.iter().map(OpenQuestion::reserved).fold(Spend::NOTHING, Spend::plus)
    }

    pub fn spent(&self) -> Spend {
        Spend { tokens: self.sample_tokens, cost: self.model_cost }
    }

    pub fn add_spent(&mut self, more: Spend) {
        let Spend { tokens, cost } = self.spent().plus(more);
        (self.sample_tokens, self.model_cost) = (tokens, cost);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_used_once() {
        let mut questions = Questions::default();
        for expected in ["price", "price-2", "price-3"] {
            let key = questions.fresh_key("price");
            assert_eq!(key, expected);
            questions.keys.push(key);
        }
        questions.keys.push("date-2".to_owned());
        questions.keys.push("date".to_owned());
        assert_eq!(questions.fresh_key("date"), "date-3");
    }
}
