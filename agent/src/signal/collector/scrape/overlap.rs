/// Whether two patterns (`*` for any text, `?` for one character) have a name in common.
pub(super) fn overlap(a: &str, b: &str) -> bool {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    meet(&a, &b)
}

fn meet(a: &[char], b: &[char]) -> bool {
    // Row by row: whether what is left of `a` and of `b` have something in common, from their ends.
    let mut next: Vec<bool> = Vec::new();
    for rest in (0..=a.len()).rev().filter_map(|at| a.get(at..)) {
        let mut row = vec![false; b.len() + 1];
        for at in (0..=b.len()).rev() {
            let of = |row: &[bool], at: usize| row.get(at).copied().unwrap_or(false);
            let common = match (rest.first(), b.get(at)) {
                (None, None) => true,
                (Some('*'), _) if of(&next, at) => true,
                (_, Some('*')) if of(&row, at + 1) => true,
                (Some('*'), Some(_)) => of(&row, at + 1),
                (Some(_), Some('*')) => of(&next, at),
                (Some(x), Some(y)) => (x == y || *x == '?' || *y == '?') && of(&next, at + 1),
                (Some(_), None) | (None, Some(_)) => false,
            };
            if let Some(slot) = row.get_mut(at) {
                *slot = common;
            }
        }
        next = row;
    }
    next.first().copied().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use wildmatch::WildMatch;

    #[test]
    fn patterns_overlap_where_a_name_fits_both() {
        for (a, b) in [
            ("*", "x"),
            ("pg_*", "*_up"),
            ("pg_up", "pg_up"),
            ("p?_up", "pg_*"),
            ("*", ""),
            ("a*c", "ab*"),
            ("**", "*"),
        ] {
            assert!(overlap(a, b) && overlap(b, a), "{a} {b}");
        }
        for (a, b) in [("pg_*", "redis_*"), ("?", ""), ("pg_up", "pg_upp"), ("a*b", "a*c"), ("a", "ab"), ("??", "a")] {
            assert!(!overlap(a, b) && !overlap(b, a), "{a} {b}");
        }
    }

    proptest! {
        /// Against all names of up to 4 letters: enough for patterns of this length.
        #[test]
        fn it_is_as_trying_all_names(a in "[ab*?]{0,4}", b in "[ab*?]{0,4}") {
            let mut names = vec![String::new()];
            for length in 0..8 {
                let longer: Vec<String> = names.iter().filter(|it| it.len() == length).flat_map(|it| [format!("{it}a"), format!("{it}b")]).collect();
                names.extend(longer);
            }
            let (one, other) = (WildMatch::new(&a), WildMatch::new(&b));
            let expected = names.iter().any(|name| one.matches(name) && other.matches(name));
            prop_assert_eq!(overlap(&a, &b), expected);
        }
    }
}
