use super::{Answer, Guard, Request};

/// Nothing is done that the policy's grant does not name.
pub(super) struct Granted;

impl Guard for Granted {
    fn name(&self) -> &'static str {
        "grant"
    }

    fn judge(&self, request: &Request<'_>) -> Answer {
        let is_granted =
            |kind: &str, target: &str| request.rules.grant.iter().any(|pattern| pattern.matches(kind, target));
        let missing: Vec<String> = request
            .actions
            .iter()
            .filter(|action| !is_granted(&action.kind, &action.target))
            .map(|action| format!("{}:{}", action.kind, action.target))
            .collect();
        if missing.is_empty() {
            return Answer::Allow;
        }
        Answer::Deny { until: None, reason: reason(&missing) }
    }
}

/// What would allow it. Somebody may copy that line: it must be one, and must not say less than it does.
fn reason(missing: &[String]) -> String {
    let quoted: Vec<String> = missing.iter().map(|pattern| toml::Value::from(pattern.as_str()).to_string()).collect();
    let mut reason = format!("not granted; [grant] actions = [{}] would allow it", quoted.join(", "));
    if missing.iter().any(|pattern| pattern.contains(['*', '?', '[', '{'])) {
        reason += ", and with it all that these patterns match";
    }
    if let Some(odd) = missing.iter().find(|pattern| !pattern.is_ascii()) {
        let plain = |c: char| if c.is_ascii() { c.to_string() } else { c.escape_unicode().to_string() };
        let plain: String = odd.chars().map(plain).collect();
        reason += &format!("; beware of letters that look like others: {plain}");
    }
    reason
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::testing::Plan;

    #[test]
    fn a_denial_names_the_line_that_would_have_allowed_it() {
        let judge = |grant: &[&'static str]| Plan { grant: grant.to_vec(), ..Plan::default() }.judge(&Granted);
        assert_eq!(judge(&["service.restart:demo"]), Answer::Allow);
        assert_eq!(judge(&["service.*:d*"]), Answer::Allow);
        for too_little in [&[][..], &["service.start:demo"], &["service.restart:dem"], &["service.restart:demo2"]] {
            let Answer::Deny { reason, .. } = judge(too_little) else { panic!("{too_little:?} allowed it") };
            assert!(reason.contains(r#"actions = ["service.restart:demo"]"#), "{reason}");
        }
    }

    #[test]
    fn the_line_to_copy_grants_no_more_than_it_says() {
        let reason = |target: &str| super::reason(&[format!("service.restart:{target}")]);
        let tricky = reason("a\", \"*:*");
        let (line, _) = tricky.strip_prefix("not granted; [grant] ").unwrap().split_once(" would").unwrap();
        let line: toml::Table = line.parse().unwrap();
        assert_eq!(line["actions"].as_array().unwrap().len(), 1, "{tricky}");
        assert!(reason("*").ends_with("all that these patterns match"));
        assert!(reason("d\u{435}mo").ends_with("look like others: service.restart:d\\u{435}mo"));
    }
}
