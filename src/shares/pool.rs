/// What there is only so much of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Pool {
    /// Connections over HTTP. Until it has sent a request, one is its peer's, which has a larger share.
    Connections,
    /// Requests that are not answered, listeners aside.
    Requests,
    /// All memory that callers cause: of requests, of answers, of guests and of open tasks. Taken through those four
    /// alone.
    Memory,
    /// Bytes of requests that are read or answered. Within [`Pool::Memory`].
    RequestBytes,
    /// Bytes of answers that wait to be read. Within [`Pool::Memory`].
    AnswerBytes,
    /// Memory that guests have grown to. Within [`Pool::Memory`].
    GuestMemory,
    /// What is in memory of tasks that have not ended. Within [`Pool::Memory`].
    TaskMemory,
    /// Legacy sessions in memory.
    Sessions,
    /// Clients that listen for changes.
    Subscribers,
    /// Live instances.
    Instances,
    /// Tasks that have not ended. Counted over restarts.
    OpenTasks,
    /// Samples that are asked for and not answered.
    Samples,
    /// Samples that the configured endpoint works on.
    Sampling,
    /// Questions that are open.
    Questions,
    /// Requests a second.
    Rate,
    /// New connections of one machine a second.
    NewConnections,
    /// Bytes that tasks and entries of shared state keep in the store. Counted over restarts.
    StoredBytes,
    /// Entries of shared state. Counted over restarts.
    StateEntries,
}

impl Pool {
    pub const ALL: [Self; 18] = [
        Self::Connections,
        Self::Requests,
        Self::Memory,
        Self::RequestBytes,
        Self::AnswerBytes,
        Self::GuestMemory,
        Self::TaskMemory,
        Self::Sessions,
        Self::Subscribers,
        Self::Instances,
        Self::OpenTasks,
        Self::Samples,
        Self::Sampling,
        Self::Questions,
        Self::Rate,
        Self::NewConnections,
        Self::StoredBytes,
        Self::StateEntries,
    ];

    /// In metrics, in the data of errors, in the audit.
    pub fn name(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::Requests => "requests",
            Self::Memory => "memory",
            Self::RequestBytes => "request_bytes",
            Self::AnswerBytes => "answer_bytes",
            Self::GuestMemory => "guest_memory",
            Self::TaskMemory => "task_memory",
            Self::Sessions => "sessions",
            Self::Subscribers => "subscribers",
            Self::Instances => "instances",
            Self::OpenTasks => "open_tasks",
            Self::Samples => "samples",
            Self::Sampling => "sampling",
            Self::Questions => "questions",
            Self::Rate => "rate",
            Self::NewConnections => "new_connections",
            Self::StoredBytes => "stored_bytes",
            Self::StateEntries => "state_entries",
        }
    }

    /// What is counted, for people: it stands behind a number.
    pub(super) fn unit(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::Requests => "requests that are not answered",
            Self::Memory => "MiB of memory",
            Self::RequestBytes => "MiB of requests that are not answered",
            Self::AnswerBytes => "MiB of answers that are not read",
            Self::GuestMemory => "MiB of memory of running tools",
            Self::TaskMemory => "MiB of memory of open tasks",
            Self::Sessions => "sessions",
            Self::Subscribers => "listeners",
            Self::Instances => "running tools",
            Self::OpenTasks => "open tasks",
            Self::Samples => "open samples",
            Self::Sampling => "samples that the endpoint works on",
            Self::Questions => "open questions",
            Self::Rate => "requests a second",
            Self::NewConnections => "new connections a second",
            Self::StoredBytes => "MiB in the store",
            Self::StateEntries => "entries of shared state",
        }
    }

    /// What its holder can do about it.
    pub(super) fn advice(self) -> &'static str {
        match self {
            Self::Connections => "close some, or send several requests over one",
            Self::Requests => "wait for answers before more is asked",
            Self::Memory | Self::RequestBytes => "send less at once, or pass large data by reference",
            Self::AnswerBytes => "read the answers that were asked for",
            Self::GuestMemory | Self::Instances => "wait until some have ended, or cancel some",
            Self::Sessions => "end those that are not used with DELETE, or go on with one of them",
            Self::Subscribers => "end those that are not used",
            Self::OpenTasks | Self::TaskMemory => "wait until some have ended, or cancel some",
            Self::Samples | Self::Sampling | Self::Questions => "answer some, or cancel their tasks",
            Self::Rate => "ask less often, or send less",
            Self::NewConnections => "send several requests over one",
            Self::StoredBytes => {
                "delete tasks that have ended, or entries of shared state, or ask the owner for a larger share"
            }
            Self::StateEntries => "delete some, or ask the owner for a larger share",
        }
    }

    pub fn is_in_bytes(self) -> bool {
        matches!(
            self,
            Self::Memory
                | Self::RequestBytes
                | Self::AnswerBytes
                | Self::GuestMemory
                | Self::TaskMemory
                | Self::StoredBytes
        )
    }

    /// Whether it is spent, not held: each has its own, and no other one less for it.
    pub fn is_rate(self) -> bool {
        matches!(self, Self::Rate | Self::NewConnections)
    }

    /// Whether the owner leaves some of it to others: what is held for long is not there for them when they come.
    pub(super) fn is_left_to_others(self) -> bool {
        matches!(self, Self::Instances | Self::Sampling)
    }

    /// Whether it is held for as long as tasks run. Of the pool around it some is left to requests then, or the one that
    /// cancels such a task could not be read.
    pub(super) fn leaves_room(self) -> bool {
        matches!(self, Self::GuestMemory | Self::TaskMemory)
    }

    /// The pool that what is taken of this one is taken of as well.
    pub(super) fn within(self) -> Option<Self> {
        match self {
            Self::RequestBytes | Self::AnswerBytes | Self::GuestMemory | Self::TaskMemory => {
                Some(Self::Memory)
            }
            _ => None,
        }
    }
}
