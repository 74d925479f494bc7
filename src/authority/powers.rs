use super::grant::{Capability, Grant};
use super::principal::Principal;

/// What stands behind a task at this moment: what it was given counts as far as these two still have it.
#[derive(Clone, Debug, PartialEq)]
pub struct Powers {
    pub standing: Standing,
    /// `None` leaves the task what its component was granted.
    pub component: Option<Regranted>,
}

/// A component that is granted something else than when the task was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Regranted {
    pub given: Grant,
    pub now: Grant,
}

/// How a task's owner stands now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It needs no token.
    AsGiven,
    /// Its token allows this.
    Holds(Principal),
    /// It has no token any more.
    Revoked,
}

/// Why a power that a task was given is gone. Its words go to guests and models, and name no command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Lost {
    #[error(
        "the token of this task's owner was revoked, and nothing more is done in its name: a new token of that name \
         brings its powers back"
    )]
    Revoked,
    #[error("the token of this task's owner does not allow that any more: one that does brings it back")]
    OfPrincipal,
    #[error("this task's component is not granted that any more: its operator can grant it again")]
    OfComponent,
}

impl Lost {
    /// In a word, for the audit.
    pub fn word(self) -> &'static str {
        match self {
            Self::Revoked => "token_revoked",
            Self::OfPrincipal => "token_narrowed",
            Self::OfComponent => "grant_narrowed",
        }
    }
}

impl Powers {
    /// Whether what was given may still be used for this.
    pub fn check(&self, capability: Capability<'_>) -> Result<(), Lost> {
        self.standing.check(capability)?;
        match &self.component {
            // What was never given is refused elsewhere, where it is refused at all.
            Some(Regranted { given, now }) if given.allows(capability) && !now.allows(capability) => {
                Err(Lost::OfComponent)
            }
            _ => Ok(()),
        }
    }
}

impl Standing {
    /// The same as far as it concerns the owner.
    pub fn check(&self, capability: Capability<'_>) -> Result<(), Lost> {
        let Self::Holds(principal) = self else { return self.check_any() };
        let holds = match capability {
            Capability::CallTool { name } => principal.may_call(name),
            Capability::StateRead { namespace, key } => principal.may_state(namespace, key, false),
            Capability::StateWrite { namespace, key } => principal.may_state(namespace, key, true),
            // No token says anything of these.
            Capability::Http { .. }
            | Capability::Env { .. }
            | Capability::Elicit
            | Capability::Sample
            | Capability::Model { .. } => true,
        };
        if holds { Ok(()) } else { Err(Lost::OfPrincipal) }
    }

    /// Whether anything may be done in the owner's name.
    pub fn check_any(&self) -> Result<(), Lost> {
        if *self == Self::Revoked { Err(Lost::Revoked) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::pattern::{HttpPattern, StatePattern};
    use super::*;

    const USES: [Capability<'static>; 6] = [
        Capability::Http { scheme: "https", host: "a.example", port: 443 },
        Capability::StateRead { namespace: "trips", key: "1" },
        Capability::StateWrite { namespace: "trips", key: "1" },
        Capability::CallTool { name: "research" },
        Capability::Elicit,
        Capability::Sample,
    ];

    fn lost(standing: Standing, now: Option<Grant>) -> Vec<Option<Lost>> {
        let component = now.map(|now| Regranted { given: everything(), now });
        let powers = Powers { standing, component };
        USES.iter().map(|capability| powers.check(*capability).err()).collect()
    }

    fn everything() -> Grant {
        Grant {
            http: vec![HttpPattern::parse("https://a.example").expect("a pattern")],
            state: vec![StatePattern::parse("trips").expect("a pattern")],
            tools: vec!["*".to_owned()],
            elicit: true,
            sample: true,
            ..Grant::default()
        }
    }

    #[test]
    fn each_use_asks_the_owner_and_the_component() {
        use Lost::{OfComponent, OfPrincipal, Revoked};
        let reads = StatePattern::parse("trips:read").expect("a pattern");
        let reader = Principal::new("ann", Vec::new()).with_state(vec![reads.clone()]);
        let caller = Principal::new("ann", vec!["res*".to_owned()]);
        let grant = Grant { state: vec![reads], elicit: true, ..Grant::default() };
        for (standing, component, expected) in [
            (Standing::AsGiven, None, [None; 6]),
            (Standing::Revoked, None, [Some(Revoked); 6]),
            (Standing::Holds(Principal::local()), None, [None; 6]),
            (Standing::Holds(reader), None, [None, None, Some(OfPrincipal), Some(OfPrincipal), None, None]),
            (Standing::Holds(caller), None, [None, Some(OfPrincipal), Some(OfPrincipal), None, None, None]),
            (Standing::AsGiven, Some(Grant::default()), [Some(OfComponent); 6]),
            (
                Standing::AsGiven,
                Some(grant),
                [Some(OfComponent), None, Some(OfComponent), Some(OfComponent), None, Some(OfComponent)],
            ),
        ] {
            assert_eq!(lost(standing.clone(), component.clone()), expected, "{standing:?} {component:?}");
        }
    }

    #[test]
    fn what_was_never_given_is_not_lost() {
        let component =
            Some(Regranted { given: Grant::default(), now: Grant { elicit: true, ..Grant::default() } });
        let powers = Powers { standing: Standing::AsGiven, component };
        assert!(USES.iter().all(|capability| powers.check(*capability).is_ok()));
    }
}
