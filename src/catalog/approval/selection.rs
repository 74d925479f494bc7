//! What a person approves of what a component may be given.

use crate::authority::{NamedCapability, Selector};

/// What `--only` and `--without` say. The default is all that may be given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Empty for everything.
    pub only: Vec<Selector>,
    pub without: Vec<Selector>,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SelectionError {
    #[error("'{named}' is nothing that it may be given{}", list(.offered))]
    NotOffered { named: String, offered: Vec<NamedCapability> },
    #[error(
        "'{named}' is a part of '{of}', and cannot be left out alone: name with --only what is to be given in its place"
    )]
    PartOf { named: String, of: String },
}

fn list(offered: &[NamedCapability]) -> String {
    let words: Vec<String> = offered.iter().map(ToString::to_string).collect();
    match words.is_empty() {
        true => ": that is nothing".to_owned(),
        false => format!(". There is: {}", words.join(", ")),
    }
}

impl Selection {
    /// Of what is offered, what is selected; never more.
    pub fn of(&self, offered: &[NamedCapability]) -> Result<Vec<NamedCapability>, SelectionError> {
        let mut kept = match self.only.is_empty() {
            true => offered.to_vec(),
            false => self.only_of(offered)?,
        };
        for named in &self.without {
            kept = without(named, &kept, offered)?;
        }
        kept.sort_by_cached_key(ToString::to_string);
        kept.dedup();
        Ok(kept)
    }

    fn only_of(&self, offered: &[NamedCapability]) -> Result<Vec<NamedCapability>, SelectionError> {
        let mut kept = Vec::new();
        for named in &self.only {
            match named {
                // A part of what is offered is taken as it is named.
                Selector::One(one) if offered.iter().any(|most| most.covers(one)) => kept.push(one.clone()),
                _ => {
                    let taken: Vec<_> = offered.iter().filter(|it| takes_in(named, it)).cloned().collect();
                    if taken.is_empty() {
                        return Err(not_offered(named, offered));
                    }
                    kept.extend(taken);
                }
            }
        }
        Ok(kept)
    }
}

fn without(
    named: &Selector,
    kept: &[NamedCapability],
    offered: &[NamedCapability],
) -> Result<Vec<NamedCapability>, SelectionError> {
    let left: Vec<_> = kept.iter().filter(|it| !takes_in(named, it)).cloned().collect();
    if let Selector::One(one) = named
        && let Some(of) = left.iter().find(|it| it.covers(one))
    {
        return Err(SelectionError::PartOf { named: named.to_string(), of: of.to_string() });
    }
    if !offered.iter().any(|it| takes_in(named, it)) {
        return Err(not_offered(named, offered));
    }
    Ok(left)
}

fn not_offered(named: &Selector, offered: &[NamedCapability]) -> SelectionError {
    SelectionError::NotOffered { named: named.to_string(), offered: offered.to_vec() }
}

fn takes_in(selector: &Selector, named: &NamedCapability) -> bool {
    match selector {
        Selector::All(kind) => named.kind() == *kind,
        Selector::One(one) => one.covers(named),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OFFERED: [&str; 6] = [
        "elicit",
        "http:https://*.example.com",
        "http:https://b.example",
        "state:trips",
        "tools:research_*",
        "tools:run",
    ];

    fn selected(only: &[&str], without: &[&str]) -> Result<Vec<String>, String> {
        let offered: Vec<_> =
            OFFERED.iter().map(|text| NamedCapability::parse(text).expect("a capability")).collect();
        let parsed = |texts: &[&str]| texts.iter().map(|text| Selector::parse(text).expect("one")).collect();
        let selection = Selection { only: parsed(only), without: parsed(without) };
        let selected = selection.of(&offered).map_err(|error| error.to_string())?;
        for one in &selected {
            assert!(offered.iter().any(|most| most.covers(one)), "{one} is wider than what is offered");
        }
        Ok(selected.iter().map(|one| one.to_string().replace(":443", "")).collect())
    }

    #[test]
    fn what_is_selected_is_what_is_offered_and_named() {
        let all: Vec<String> = OFFERED.map(str::to_owned).to_vec();
        assert_eq!(selected(&[], &[]), Ok(all));
        for (only, without, expected) in [
            (&["elicit"][..], &[][..], &["elicit"][..]),
            (&["http"], &[], &["http:https://*.example.com", "http:https://b.example"]),
            (&["http"], &["http:https://b.example"], &["http:https://*.example.com"]),
            (
                &["http:https://a.example.com", "state:trips:read"],
                &[],
                &["http:https://a.example.com", "state:trips:read"],
            ),
            // Wider than what is offered: what is offered of it.
            (&["tools:*"], &[], &["tools:research_*", "tools:run"]),
            (&["state:*"], &[], &["state:trips"]),
            (&["elicit", "elicit"], &[], &["elicit"]),
            (&["tools"], &["tools", "elicit"], &[]),
            (&[], &["http", "tools", "state"], &["elicit"]),
        ] {
            assert_eq!(
                selected(only, without).as_deref(),
                Ok(&*expected.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>()),
                "{only:?} {without:?}"
            );
        }
    }

    #[test]
    fn what_is_not_offered_or_only_in_part_is_refused() {
        for (only, without, why) in [
            (&["sample"][..], &[][..], "'sample' is nothing that it may be given. There is: elicit, "),
            (&["http:https://c.example"], &[], "nothing that it may be given"),
            (&["env"], &[], "nothing that it may be given"),
            (&[], &["secrets:key"], "nothing that it may be given"),
            (&[], &["http:https://a.example.com"], "a part of 'http:https://*.example.com:443'"),
            (&[], &["state:trips/a"], "a part of 'state:trips'"),
            (&["tools:research_*"], &["tools:research_agent"], "a part of 'tools:research_*'"),
        ] {
            let error = selected(only, without).expect_err("refused");
            assert!(error.contains(why), "{error}");
        }
        let nothing = Selection { only: vec![Selector::All("http")], without: Vec::new() };
        assert!(nothing.of(&[]).expect_err("refused").to_string().ends_with("that is nothing"));
    }
}
