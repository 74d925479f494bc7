use std::fmt;

macro_rules! spaces {
    ($($(#[$doc:meta])* $name:ident = $id:literal, $word:literal;)*) => {
        /// One key space. The number is on disk and never changes its meaning; see `file/format.md`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum Space { $($(#[$doc])* $name = $id,)* }

        impl Space {
            /// In the order of their numbers, which run from 1 without a gap.
            pub const ALL: &'static [Space] = &[$(Space::$name,)*];
            pub(super) const COUNT: usize = Self::ALL.len();

            /// As it is called in messages.
            pub fn name(self) -> &'static str {
                match self { $(Space::$name => $word,)* }
            }

            /// Name of its base table.
            pub(super) fn table(self) -> &'static str {
                match self { $(Space::$name => concat!("space.", $word),)* }
            }
        }
    };
}

spaces! {
    Task = 1, "task";
    Status = 2, "status";
    Journal = 3, "journal";
    Op = 4, "op";
    Output = 5, "output";
    Log = 6, "log";
    Result = 7, "result";
    Checkpoint = 8, "checkpoint";
    Open = 9, "open";
    Wake = 10, "wake";
    ByPrincipal = 11, "by-principal";
    Idempotency = 12, "idempotency";
    Component = 13, "component";
    Blob = 14, "blob";
    BlobRef = 15, "blob-ref";
    Setting = 16, "setting";
    State = 17, "state";
    Token = 18, "token";
    Audit = 19, "audit";
    Session = 20, "session";
    Event = 21, "event";
    Question = 22, "question";
    Message = 23, "message";
    /// `ended at | task`: what a sweep looks through.
    Ended = 24, "ended";
    /// Which tasks are whose children.
    Child = 25, "child";
    /// `task | retry | number`: what a task has reported, where a client's stream gets it.
    Report = 26, "report";
    /// `task | block | row`: what a task did and when.
    Trace = 27, "trace";
    /// Sums over rows of other spaces, which the store itself keeps; see [`Batch::add_count`](super::Batch::add_count).
    Count = 28, "count";
}

impl Space {
    pub fn id(self) -> u8 {
        self as u8
    }

    pub(super) fn from_id(id: u8) -> Option<Self> {
        Self::ALL.get(usize::from(id).checked_sub(1)?).copied()
    }

    pub(super) fn index(self) -> usize {
        usize::from(self as u8) - 1
    }
}

impl fmt::Display for Space {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_run_from_one_without_a_gap() {
        for (index, space) in Space::ALL.iter().enumerate() {
            assert_eq!(space.index(), index);
            assert_eq!(Space::from_id(space.id()), Some(*space));
        }
        for space in Space::ALL {
            let line = format!("{:>2} {}", space.id(), space.name());
            assert!(include_str!("file/format.md").contains(&line), "format.md does not list '{line}'");
        }
        assert_eq!(Space::from_id(0), None);
        assert_eq!(Space::from_id(Space::COUNT as u8 + 1), None);
    }
}
