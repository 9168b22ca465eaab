use std::ops::Not;

/// What is known of a statement: Kleene's strong logic of three values (S. C. Kleene, *Introduction to Metamathematics*,
/// 1952, § 64), ordered `False < Unknown < True`, so that "and" is the minimum and "or" the maximum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Truth {
    /// It does not hold.
    False,
    /// Nobody knows yet.
    #[default]
    Unknown,
    /// It holds.
    True,
}

impl Truth {
    /// Whether at least `k` of these statements hold.
    pub fn at_least(k: usize, of: impl IntoIterator<Item = Self>) -> Self {
        let (mut certain, mut possible) = (0, 0);
        for truth in of {
            certain += usize::from(truth == Self::True);
            possible += usize::from(truth != Self::False);
        }
        match k {
            k if certain >= k => Self::True,
            k if possible >= k => Self::Unknown,
            _ => Self::False,
        }
    }
}

impl Not for Truth {
    type Output = Self;

    fn not(self) -> Self {
        match self {
            Self::False => Self::True,
            Self::Unknown => Self::Unknown,
            Self::True => Self::False,
        }
    }
}

impl From<bool> for Truth {
    fn from(holds: bool) -> Self {
        if holds { Self::True } else { Self::False }
    }
}

#[cfg(test)]
mod tests {
    use super::Truth::{self, False, True, Unknown};

    #[test]
    fn one_of_n_is_or_and_n_of_n_is_and() {
        for a in [False, Unknown, True] {
            assert_eq!(!!a, a);
            for b in [False, Unknown, True] {
                assert_eq!(Truth::at_least(1, [a, b]), a.max(b));
                assert_eq!(Truth::at_least(2, [a, b]), a.min(b));
                assert_eq!(!(a.min(b)), (!a).max(!b), "De Morgan");
            }
        }
        assert_eq!(Truth::at_least(2, [True, Unknown, False]), Unknown);
        assert_eq!(Truth::at_least(2, [True, Unknown, True]), True);
        assert_eq!(Truth::at_least(2, [True, False, False]), False);
    }
}
