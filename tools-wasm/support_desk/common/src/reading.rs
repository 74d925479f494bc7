//! How a customer's message is read: by the words in it, always the same way.

const BILLING: [&str; 8] = ["refund", "invoice", "charge", "charged", "bill", "billing", "payment", "money"];
const TECHNICAL: [&str; 8] = ["error", "crash", "crashes", "login", "password", "slow", "broken", "bug"];
const ANGRY: [&str; 8] = ["angry", "terrible", "awful", "worst", "unacceptable", "furious", "scam", "never"];
const HAPPY: [&str; 6] = ["thanks", "thank", "great", "love", "please", "happy"];
const URGENT: [&str; 7] = ["urgent", "immediately", "now", "asap", "down", "outage", "lawyer"];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sentiment {
    Negative,
    Neutral,
    Positive,
}

impl Sentiment {
    pub fn name(self) -> &'static str {
        match self {
            Self::Negative => "negative",
            Self::Neutral => "neutral",
            Self::Positive => "positive",
        }
    }
}

/// The balance of kind and unkind words.
pub fn score(message: &str) -> i64 {
    count(message, &HAPPY) - 2 * count(message, &ANGRY) - i64::from(message.contains("!!"))
}

pub fn sentiment(message: &str) -> Sentiment {
    match score(message) {
        ..0 => Sentiment::Negative,
        0 => Sentiment::Neutral,
        1.. => Sentiment::Positive,
    }
}

/// `billing`, `technical` or `general`.
pub fn category(message: &str) -> &'static str {
    let (billing, technical) = (count(message, &BILLING), count(message, &TECHNICAL));
    match () {
        () if billing == 0 && technical == 0 => "general",
        () if billing >= technical => "billing",
        () => "technical",
    }
}

/// `low`, `normal` or `high`.
pub fn priority(message: &str) -> &'static str {
    match (count(message, &URGENT), sentiment(message)) {
        (1.., _) => "high",
        (0, Sentiment::Positive) => "low",
        _ => "normal",
    }
}

/// The first amount of dollars that is named, such as `$120`.
pub fn dollars(message: &str) -> Option<u64> {
    let (_, rest) = message.split_once('$')?;
    let digits: String = rest.chars().take_while(|c| c.is_ascii_digit() || *c == ',').collect();
    digits.replace(',', "").parse().ok()
}

fn count(message: &str, words: &[&str]) -> i64 {
    let spoken = message.split(|c: char| !c.is_alphanumeric()).map(str::to_lowercase);
    spoken.filter(|word| words.contains(&word.as_str())).count() as i64
}
