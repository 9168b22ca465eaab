/// What can be wrong with a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trouble {
    /// It takes too much CPU.
    Cpu,
    /// It has too many files open.
    Descriptors,
    /// It has too many threads.
    Threads,
    /// It does not ask after its children.
    Zombies,
    /// It waits in the kernel.
    Stuck,
}

impl Trouble {
    /// Those that are measured.
    pub const MEASURED: [Self; 3] = [Self::Cpu, Self::Descriptors, Self::Threads];
    const ALL: [Self; 5] = [Self::Cpu, Self::Descriptors, Self::Threads, Self::Zombies, Self::Stuck];

    /// The kind of its fault.
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Cpu => "process.runaway",
            Self::Descriptors => "process.descriptors",
            Self::Threads => "process.threads",
            Self::Zombies => "process.zombies",
            Self::Stuck => "process.stuck",
        }
    }

    /// Which one has this kind.
    pub fn of(kind: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|trouble| trouble.kind() == kind)
    }
}
