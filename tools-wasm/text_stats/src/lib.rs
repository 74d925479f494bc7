//! Text statistics: an ordinary component. Each exported function becomes a tool; titles and descriptions stand in
//! `text_stats.toml`, since a component's types carry no text.

use std::collections::{BTreeMap, BTreeSet};

wit_bindgen::generate!({ world: "text-stats", path: "wit" });

use exports::example::text_stats::text::{
    Comparison, Features, Guest, LineEnding, Similarity, Stats, WordCount,
};

struct TextStats;

impl Guest for TextStats {
    fn analyze(text: String) -> Stats {
        stats(&text)
    }

    fn analyze_bytes(data: Vec<u8>) -> Result<Stats, String> {
        match str::from_utf8(&data) {
            Ok(text) => Ok(stats(text)),
            Err(e) => Err(format!("not UTF-8 from byte {} on", e.valid_up_to())),
        }
    }

    fn top_words(text: String, n: u32, min_length: Option<u8>) -> Vec<WordCount> {
        let min_length = usize::from(min_length.unwrap_or(0));
        let mut counts = frequencies(&text);
        counts.retain(|count| count.word.chars().count() >= min_length);
        counts.truncate(n as usize);
        counts
    }

    fn compare(a: String, b: String) -> Result<Comparison, String> {
        match (a.trim().is_empty(), b.trim().is_empty()) {
            (true, _) => Err("nothing to compare: `a` is empty".to_owned()),
            (_, true) => Err("nothing to compare: `b` is empty".to_owned()),
            _ => Ok(comparison(&a, &b)),
        }
    }
}

export!(TextStats);

fn stats(text: &str) -> Stats {
    let lengths: Vec<usize> = words(text).map(|word| word.chars().count()).collect();
    let letters: usize = lengths.iter().sum();
    let longest = lengths.iter().max();
    Stats {
        bytes: text.len() as u64,
        chars: text.chars().count() as u64,
        words: count(lengths.len()),
        lines: count(text.lines().count()),
        line_ending: line_ending(text),
        features: features(text),
        mean_word_length: letters as f64 / lengths.len() as f64,
        // The first of several of the same length.
        longest_word: longest
            .and_then(|longest| words(text).find(|word| word.chars().count() == *longest))
            .map(str::to_owned),
        frequencies: frequencies(text),
        fingerprint: fingerprint(text),
    }
}

/// Runs of letters and digits, with apostrophes and hyphens inside.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric() && c != '\'' && c != '-')
        .map(|word| word.trim_matches(['\'', '-']))
        .filter(|word| !word.is_empty())
}

/// Upper and lower case are the same word. The most frequent first, equal ones in alphabetical order.
fn frequencies(text: &str) -> Vec<WordCount> {
    let mut counts = BTreeMap::new();
    for word in words(text) {
        *counts.entry(word.to_lowercase()).or_insert(0) += 1;
    }
    let mut counts: Vec<WordCount> =
        counts.into_iter().map(|(word, count)| WordCount { word, count }).collect();
    counts.sort_by_key(|count| std::cmp::Reverse(count.count));
    counts
}

fn line_ending(text: &str) -> LineEnding {
    let crlf = text.matches("\r\n").count();
    let lf = text.matches('\n').count() - crlf;
    match (lf, crlf) {
        (0, 0) => LineEnding::None,
        (_, 0) => LineEnding::Lf,
        (0, _) => LineEnding::Crlf,
        _ => LineEnding::Mixed,
    }
}

fn features(text: &str) -> Features {
    let mut features = Features::empty();
    features.set(Features::DIGITS, text.contains(char::is_numeric));
    features.set(Features::UPPER_CASE, text.contains(char::is_uppercase));
    features.set(Features::PUNCTUATION, text.contains(|c: char| c.is_ascii_punctuation()));
    features.set(Features::NON_ASCII, !text.is_ascii());
    features.set(Features::BLANK_LINES, text.lines().any(|line| line.trim().is_empty()));
    features
}

fn fingerprint(text: &str) -> u64 {
    text.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

fn comparison(a: &str, b: &str) -> Comparison {
    let vocabulary = |text| words(text).map(str::to_lowercase).collect::<BTreeSet<_>>();
    let (of_a, of_b) = (vocabulary(a), vocabulary(b));
    let common_words: Vec<String> = of_a.intersection(&of_b).cloned().collect();
    let similarity = if a == b {
        Similarity::Identical
    } else if common_words.is_empty() {
        Similarity::Disjoint
    } else {
        Similarity::Partial(common_words.len() as f64 / of_a.union(&of_b).count() as f64)
    };
    Comparison {
        similarity,
        common_words,
        length_difference: b.chars().count() as i64 - a.chars().count() as i64,
        common_prefix: a.bytes().zip(b.bytes()).take_while(|(a, b)| a == b).map(|(byte, _)| byte).collect(),
        first_difference: words(a)
            .zip(words(b))
            .find(|(a, b)| a != b)
            .map(|(a, b)| (a.to_owned(), b.to_owned())),
    }
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_what_is_there() {
        let stats = stats("Two words,\ntwo lines\n");
        assert_eq!((stats.words, stats.lines, stats.chars), (4, 2, 21));
        assert_eq!(stats.longest_word.as_deref(), Some("words"));
        assert_eq!((stats.frequencies[0].word.as_str(), stats.frequencies[0].count), ("two", 2));
        assert_eq!(stats.line_ending, LineEnding::Lf);
        assert_eq!(stats.features, Features::UPPER_CASE | Features::PUNCTUATION);
    }

    #[test]
    fn an_empty_text_has_no_mean() {
        let stats = stats("");
        assert!(stats.mean_word_length.is_nan());
        assert_eq!(stats.longest_word, None);
    }

    #[test]
    fn compares_words_and_bytes() {
        let result = comparison("the small cat", "the smart cat");
        assert!(matches!(result.similarity, Similarity::Partial(share) if share == 0.5));
        assert_eq!(result.common_prefix, b"the sma");
        assert_eq!(result.first_difference, Some(("small".to_owned(), "smart".to_owned())));
    }
}
