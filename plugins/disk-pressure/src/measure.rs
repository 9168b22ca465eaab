/// What a file system can run out of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measure {
    /// Room.
    Bytes,
    /// Numbers for files.
    Inodes,
}

/// What can be wrong with that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// It is going to be full.
    Filling,
    /// It is.
    Full,
}

impl Measure {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Bytes, Self::Inodes];

    /// The metric that says how much of it is in use, as a share.
    pub const fn metric(self) -> &'static str {
        match self {
            Self::Bytes => "system.filesystem.utilization",
            Self::Inodes => "system.filesystem.inodes.utilization",
        }
    }

    /// For people.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Bytes => "room",
            Self::Inodes => "inodes",
        }
    }
}

impl Trouble {
    /// The kind of the fault.
    pub const fn kind(self, measure: Measure) -> &'static str {
        match (measure, self) {
            (Measure::Bytes, Self::Filling) => "filesystem.filling",
            (Measure::Bytes, Self::Full) => "filesystem.full",
            (Measure::Inodes, Self::Filling) => "filesystem.inodes-filling",
            (Measure::Inodes, Self::Full) => "filesystem.inodes-full",
        }
    }

    /// What a kind of fault is about.
    pub fn of(kind: &str) -> Option<(Measure, Self)> {
        let all = Measure::ALL.into_iter().flat_map(|measure| [(measure, Self::Filling), (measure, Self::Full)]);
        all.into_iter().find(|(measure, trouble)| trouble.kind(*measure) == kind)
    }
}
