//! Whether two patterns have an action in common: what a plugin asks for is a pattern, and so is what is denied.

use std::collections::BTreeSet;

use crate::action::ActionKind;

/// Alternatives that `{…,…}` may stand for in one pattern; one with more is taken to overlap with everything.
const MAX_ALTERNATIVES: usize = 16;
/// Kinds that begin so act on paths.
const ON_PATHS: &str = "file.";

/// Whether some action is covered by both `kind:target` patterns. Where that is hard to tell, the answer is yes. What is not of
/// this form covers nothing.
pub fn overlap(one: &str, other: &str) -> bool {
    let (Some((kind, target)), Some((other_kind, other_target))) = (one.split_once(':'), other.split_once(':')) else {
        return false;
    };
    let (kind, other_kind) = (signs(kind), signs(other_kind));
    if !texts(&kind, &other_kind) {
        return false;
    }
    let names = |known: &String| texts(&kind, &signs(known)) && texts(&other_kind, &signs(known));
    let common: BTreeSet<String> = ActionKind::all().map(|(known, _)| known).filter(names).collect();
    let on_paths = !common.is_empty() && common.iter().all(|kind| kind.starts_with(ON_PATHS));
    if on_paths && target.starts_with('/') && other_target.starts_with('/') {
        return paths(target, other_target);
    }
    texts(&signs(target), &signs(other_target)) || paths(target, other_target)
}

/// A piece of a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sign {
    /// `*`
    Any,
    /// `?`, or one of several.
    One,
    Just(char),
}

fn signs(text: &str) -> Vec<Sign> {
    let sign = |letter| match letter {
        '*' => Sign::Any,
        '?' => Sign::One,
        letter => Sign::Just(letter),
    };
    text.chars().map(sign).collect()
}

fn texts(one: &[Sign], other: &[Sign]) -> bool {
    let fits = |a: &Sign, b: &Sign| a == b || *a == Sign::One || *b == Sign::One;
    meet(one, other, |sign| *sign == Sign::Any, fits)
}

/// Of path globs, in which `*` stays within one directory and `**` does not.
fn paths(one: &str, other: &str) -> bool {
    let (Some(ones), Some(others)) = (alternatives(one), alternatives(other)) else { return true };
    let split = |text: &String| text.split('/').map(str::to_owned).collect::<Vec<String>>();
    let (ones, others): (Vec<_>, Vec<_>) = (ones.iter().map(split).collect(), others.iter().map(split).collect());
    // A slash inside brackets is no boundary.
    let torn = |name: &String| name.rfind('[') > name.rfind(']');
    if ones.iter().chain(&others).flatten().any(torn) {
        return true;
    }
    let deep = |name: &String| name == "**";
    let fits = |a: &String, b: &String| texts(&glob(a), &glob(b));
    ones.iter().any(|one| others.iter().any(|other| meet(one, other, deep, fits)))
}

/// The signs of one name in a path glob.
fn glob(name: &str) -> Vec<Sign> {
    let mut signs = Vec::new();
    let mut rest = name.chars();
    while let Some(letter) = rest.next() {
        signs.push(match letter {
            '*' => Sign::Any,
            '?' => Sign::One,
            '[' => {
                // A bracket that comes first stands for itself.
                let class: Vec<char> = rest.clone().skip(1).take_while(|letter| *letter != ']').collect();
                rest.nth(class.len() + 1);
                Sign::One
            }
            letter => Sign::Just(letter),
        });
    }
    signs
}

/// What a glob with `{a,b}` stands for; none if that is too much, or written in a way that few do.
fn alternatives(glob: &str) -> Option<Vec<String>> {
    if glob.contains('\\') || (glob.contains('[') && glob.contains('{')) {
        return None;
    }
    let mut found = vec![glob.to_owned()];
    loop {
        let Some(at) = found.iter().position(|text| text.contains('{')) else { return Some(found) };
        let text = found.swap_remove(at);
        // The last brace that opens holds no other.
        let (before, rest) = text.rsplit_once('{')?;
        let (inner, after) = rest.split_once('}')?;
        found.extend(inner.split(',').map(|choice| format!("{before}{choice}{after}")));
        if found.len() > MAX_ALTERNATIVES {
            return None;
        }
    }
}

/// Whether some sequence is covered by both patterns, of which `many` stands for any number of any things, and two others
/// have a thing in common if they `fit`.
fn meet<T>(one: &[T], other: &[T], many: impl Fn(&T) -> bool, fits: impl Fn(&T, &T) -> bool) -> bool {
    // From the end: row `i` says whether what is left of `one` from `i` on meets what is left of `other` from each place on.
    let mut below: Vec<bool> = vec![false; other.len() + 1];
    for i in (0..=one.len()).rev() {
        let mut row = vec![false; other.len() + 1];
        let mut right = false;
        for (j, place) in row.iter_mut().enumerate().rev() {
            let get = |row: &[bool], j: usize| row.get(j).copied().unwrap_or(false);
            *place = match (one.get(i), other.get(j)) {
                (None, None) => true,
                (Some(a), None) => many(a) && get(&below, j),
                (None, Some(b)) => many(b) && right,
                (Some(a), Some(b)) if many(a) || many(b) => get(&below, j) || right,
                (Some(a), Some(b)) => fits(a, b) && get(&below, j + 1),
            };
            right = *place;
        }
        below = row;
    }
    below.first().copied().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::Pattern;

    #[test]
    fn patterns_that_share_an_action_overlap() {
        for (denied, wanted) in [
            ("host.reboot:*", "host.reboot:host"),
            ("host.reboot:host", "*:*"),
            ("service.stop:*", "service.*:nginx.service"),
            ("*.restart:a*", "service.restart:*z"),
            ("process.signal:*", "process.signal:*"),
            ("file.*:/etc/**", "file.delete:/etc/nginx/*.conf"),
            ("file.delete:/var/*/cache", "file.delete:/**/cache"),
            ("file.delete:/etc/**", "file.delete:/{var,etc}/x"),
            ("file.delete:/a/[xyz]", "file.delete:/a/y"),
            ("*:*", "file.delete:/var/log/*"),
            ("file.delete:/**", "*:*"),
        ] {
            assert!(overlap(denied, wanted) && overlap(wanted, denied), "{denied} {wanted}");
        }
    }

    #[test]
    fn patterns_that_share_none_do_not() {
        for (denied, wanted) in [
            ("host.reboot:*", "service.restart:*"),
            ("service.restart:a*", "service.restart:b*"),
            ("service.restart:a?", "service.restart:a"),
            ("file.*:/etc/**", "file.delete:/var/log/**"),
            ("file.delete:/var/*", "file.delete:/var/log/x"),
            ("file.delete:/{a,b}/*", "file.delete:/c/*"),
            ("http.request:https://a/*", "http.request:https://b/*"),
            ("process.signal:*", "process.signal"),
        ] {
            assert!(!overlap(denied, wanted) && !overlap(wanted, denied), "{denied} {wanted}");
        }
    }

    #[test]
    fn a_hostile_pattern_takes_no_time() {
        let stars = format!("service.restart:{}", "*a".repeat(2000));
        assert!(!overlap(&stars, &format!("service.restart:{}", "*b".repeat(1000) + "c")));
        let braces = format!("file.delete:/{}", "{a,b}".repeat(200));
        assert!(overlap(&braces, "file.delete:/zzz"), "too many to tell");
        for odd in
            ["file.delete:/{a", "file.delete:/a}", "file.delete:/[a", "file.delete:/\\", "file.delete:/{{a,b},c}"]
        {
            overlap(odd, "file.delete:/x/*");
        }
    }

    proptest! {
        /// Whatever two patterns both match is told as an overlap.
        #[test]
        fn nothing_in_common_is_missed(
            one in "(file\\.(delete|\\*)|\\*|service\\.\\*):(/[ab*?]{0,4}){1,3}(/\\*\\*)?",
            other in "(file\\.(delete|truncate)|service\\.stop):(/[ab*?]{0,4}){1,3}",
            kind in prop::sample::select(vec!["file.delete", "file.truncate", "service.stop"]),
            target in "(/[ab]{1,3}){1,4}",
        ) {
            if let (Ok(a), Ok(b)) = (Pattern::parse(&one), Pattern::parse(&other))
                && a.matches(kind, &target) && b.matches(kind, &target)
            {
                prop_assert!(overlap(&one, &other), "{one} {other} {kind}:{target}");
            }
        }
    }
}
