/// Whether `text` matches `pattern`, in which `*` stands for any characters, as in selectors and grants. Takes at most the
/// product of the two lengths: there is one place to come back to, the last star.
pub fn matches(pattern: &str, text: &str) -> bool {
    let (mut pattern, mut text) = (pattern.as_bytes(), text.as_bytes());
    let mut retry: Option<(&[u8], &[u8])> = None;
    loop {
        match (pattern.split_first(), text.split_first()) {
            (Some((b'*', after)), _) => {
                retry = Some((after, text));
                pattern = after;
            }
            (Some((expected, after)), Some((found, rest))) if expected == found => (pattern, text) = (after, rest),
            (None, None) => return true,
            _ => {
                // The last star takes one byte more.
                let Some((after, [_, rest @ ..])) = retry else { return false };
                retry = Some((after, rest));
                (pattern, text) = (after, rest);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn a_star_stands_for_anything() {
        for (pattern, text) in [("", ""), ("*", ""), ("a*c", "abbc"), ("*.service", "db.service"), ("*a*b", "xaxbab")] {
            assert!(matches(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [("", "a"), ("a", ""), ("a*c", "abcd"), ("?", "a"), ("*ab", "aba"), ("a*b*c", "acb")] {
            assert!(!matches(pattern, text), "{pattern} {text}");
        }
        // Exponential for a matcher that comes back to every star.
        assert!(!matches(&"*a".repeat(500), &"a".repeat(499)));
    }
}
