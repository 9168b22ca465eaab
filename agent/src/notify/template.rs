use std::sync::Arc;

use minijinja::{AutoEscape, Environment, UndefinedBehavior};

use super::Envelope;
use crate::clock::Timestamp;
use crate::incident::{About, Notice, NoticeKind, Severity};

/// What the one template is called in its environment.
const NAME: &str = "template";

/// The operator's text that makes a request's body of a notice. Expressions are written as JSON: `{"text": {{ reason }}}`
/// has its quotes already.
#[derive(Debug, Clone)]
pub struct Template(Arc<Environment<'static>>);

impl Template {
    /// Reads it and tries it on two notices, one with an incident and one without, for each of `kinds`: each has to become
    /// JSON. The error says which does not.
    pub fn parse(text: &str, kinds: impl IntoIterator<Item = NoticeKind>) -> Result<Self, String> {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_auto_escape_callback(|_| AutoEscape::Json);
        environment.add_template_owned(NAME, text.to_owned()).map_err(|error| in_words(&error))?;
        let template = Self(Arc::new(environment));
        for notice in kinds.into_iter().flat_map(samples) {
            let envelope = Envelope { id: "host-1".to_owned(), host: "host", notice: &notice };
            let with = if notice.incident.is_some() { "an" } else { "no" };
            template.render(&envelope).map_err(|error| {
                let kind = notice.kind.as_str();
                format!("of a notice `{kind}` with {with} incident it does not make JSON: {error}")
            })?;
        }
        Ok(template)
    }

    /// The body for a notice.
    pub(super) fn render(&self, envelope: &Envelope<'_>) -> Result<String, String> {
        let text = self
            .0
            .get_template(NAME)
            .and_then(|template| template.render(envelope))
            .map_err(|error| in_words(&error))?;
        match serde_json::from_str::<serde::de::IgnoredAny>(&text) {
            Ok(_) => Ok(text),
            Err(error) => Err(format!("{error} (an expression brings its own quotes: {{\"text\": {{{{ reason }}}}}})")),
        }
    }
}

fn in_words(error: &minijinja::Error) -> String {
    let what = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
    error.line().map_or_else(|| what.clone(), |line| format!("{what} in line {line} of the template"))
}

/// Notices with what breaks JSON that is put together from strings.
fn samples(kind: NoticeKind) -> [Notice; 2] {
    let at = Timestamp::from_nanos(1_700_000_000_000_000_000);
    let notice = Notice {
        kind,
        at,
        key: "1k2m3n4p5".to_owned(),
        reason: "it said \"no\"\nand C:\\".to_owned(),
        incident: None,
        actions: vec!["service.restart nginx.service".to_owned()],
    };
    let about = About {
        id: "1k2m3n4p5".to_owned(),
        policy: "web".to_owned(),
        plugin: "service-restart".to_owned(),
        kind: "service.down".to_owned(),
        target: "nginx.service".to_owned(),
        severity: Severity::Error,
        summary: "nginx.service is \"failed\"".to_owned(),
        opened_at: at,
        attempts: 2,
    };
    [notice.clone(), Notice { incident: Some(about), ..notice }]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Template, String> {
        Template::parse(text, NoticeKind::ALL)
    }

    #[test]
    fn expressions_are_json() {
        let template =
            parse(r#"{"text": {{ "Salve: " ~ reason }}, "target": {{ incident.target if incident else none }}}"#)
                .unwrap();
        let [notice, with] = samples(NoticeKind::Escalated);
        let body = |notice| template.render(&Envelope { id: "1".into(), host: "h", notice }).unwrap();
        let json: serde_json::Value = serde_json::from_str(&body(&with)).unwrap();
        assert_eq!(json["text"], "Salve: it said \"no\"\nand C:\\");
        assert_eq!(json["target"], "nginx.service");
        let json: serde_json::Value = serde_json::from_str(&body(&notice)).unwrap();
        assert!(json["target"].is_null());
    }

    #[test]
    fn what_would_fail_later_is_told_when_it_is_read() {
        let cases = [
            (r#"{"text": "{{ reason }}"}"#, "brings its own quotes"),
            ("{\n\"text\": {{ incident.summary }}}", "with no incident it does not make JSON"),
            (r#"{"text": {{ raeson }}}"#, "undefined"),
            (r#"{"text": {{ reason }"#, "line 1"),
            ("hello", "does not make JSON"),
        ];
        for (text, expected) in cases {
            let error = parse(text).unwrap_err();
            assert!(error.contains(expected), "{text}\n  gave {error}\n  not  {expected}");
        }
    }
}
