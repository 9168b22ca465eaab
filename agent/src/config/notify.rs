//! `[notify.NAME]`: a way to tell people.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::Url;
use reqwest::header::HeaderMap;
use serde::Deserialize;
use toml::Spanned;

use super::{Budget, ConfigError, duration, web};
use crate::incident::NoticeKind;
use crate::notify::{Alertmanager, Carrier, Channel, Command, Journal, Secret, Template, Webhook};

/// How long one sending may take, unless the operator says otherwise.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How many may be sent, unless the operator says otherwise.
const RATE: Budget = Budget { count: 30, per: Duration::from_secs(60) };

/// The words for what a channel is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Webhook,
    Alertmanager,
    Command,
    Journal,
}

/// As it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Notify {
    channel: Kind,
    events: Option<Spanned<Vec<NoticeKind>>>,
    rate: Option<Spanned<String>>,
    #[serde(default, deserialize_with = "spanned_duration")]
    timeout: Option<Spanned<Duration>>,
    url: Option<Spanned<String>>,
    headers: Option<Spanned<BTreeMap<String, String>>>,
    template: Option<Spanned<String>>,
    secret_file: Option<Spanned<PathBuf>>,
    labels: Option<Spanned<BTreeMap<String, String>>>,
    command: Option<Spanned<Vec<String>>>,
}

#[derive(Deserialize)]
struct Written(#[serde(deserialize_with = "duration::read")] Duration);

fn spanned_duration<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Spanned<Duration>>, D::Error> {
    let written = Spanned::<Written>::deserialize(deserializer)?;
    let span = written.span();
    Ok(Some(Spanned::new(span, written.into_inner().0)))
}

/// The place that errors are about.
struct Place<'a> {
    file: &'a Path,
    text: &'a str,
    base: &'a Path,
    name: &'a str,
    table: Range<usize>,
}

impl Place<'_> {
    fn error(&self, span: Range<usize>, message: impl Into<String>) -> ConfigError {
        ConfigError::at(self.file, self.text, Some(span), message)
    }

    /// A key that the channel cannot do without.
    fn need<T>(&self, value: Option<Spanned<T>>, key: &str, example: &str) -> Result<Spanned<T>, ConfigError> {
        let message = || format!("[notify.{}] needs `{key}`, for example {key} = {example}", self.name);
        value.ok_or_else(|| self.error(self.table.clone(), message()))
    }
}

/// Checks one; relative paths are relative to `base`.
pub(super) fn check(
    file: &Path,
    text: &str,
    base: &Path,
    name: &str,
    raw: Spanned<Notify>,
) -> Result<Channel, ConfigError> {
    let place = Place { file, text, base, name, table: raw.span() };
    let raw = raw.into_inner();
    if name.is_empty() || name == "*" {
        return Err(place.error(place.table.clone(), format!("`{name}` cannot name a channel: actions name it")));
    }
    foreign_keys(&place, &raw)?;
    let events = events(&place, &raw)?;
    let rate = raw.rate.map_or(Ok(RATE), |rate| {
        let span = rate.span();
        parse_rate(rate.get_ref()).map_err(|message| place.error(span, message))
    })?;
    let timeout = raw.timeout.map_or(Ok(TIMEOUT), |timeout| match *timeout.get_ref() {
        Duration::ZERO => {
            Err(place.error(timeout.span(), "a timeout of nothing lets nothing through; for example \"10s\""))
        }
        some => Ok(some),
    })?;
    let carrier = match raw.channel {
        Kind::Webhook => Carrier::Webhook(Webhook {
            url: url(&place, raw.url, "\"https://chat.example.com/hooks/salve\"")?,
            headers: headers(&place, raw.headers)?,
            template: raw.template.map(|template| read_template(&place, &template, &events)).transpose()?,
            secret: raw.secret_file.map(|secret| read_secret(&place, &secret)).transpose()?,
        }),
        Kind::Alertmanager => Carrier::Alertmanager(Alertmanager {
            url: url(&place, raw.url, "\"http://localhost:9093\"")?,
            headers: headers(&place, raw.headers)?,
            labels: labels(&place, raw.labels)?,
        }),
        Kind::Command => {
            let argv = place.need(raw.command, "command", "[\"/usr/local/bin/page\", \"oncall\"]")?;
            if argv.get_ref().first().is_none_or(String::is_empty) {
                let message = "a command is a list of a program and its arguments, for example [\"page\", \"oncall\"]";
                return Err(place.error(argv.span(), message));
            }
            Carrier::Command(Command { argv: argv.into_inner() })
        }
        Kind::Journal => Carrier::Journal(Journal::default()),
    };
    Ok(Channel { events, rate, timeout, carrier })
}

/// Keys that mean nothing to this kind of channel: whoever wrote them expects something of them.
fn foreign_keys(place: &Place<'_>, raw: &Notify) -> Result<(), ConfigError> {
    use Kind::{Alertmanager, Command, Webhook};
    fn span<T>(value: Option<&Spanned<T>>) -> Option<Range<usize>> {
        value.map(Spanned::span)
    }
    type Key = (&'static str, Option<Range<usize>>, &'static [Kind]);
    let keys: [Key; 7] = [
        ("url", span(raw.url.as_ref()), &[Webhook, Alertmanager]),
        ("headers", span(raw.headers.as_ref()), &[Webhook, Alertmanager]),
        ("template", span(raw.template.as_ref()), &[Webhook]),
        ("secret-file", span(raw.secret_file.as_ref()), &[Webhook]),
        ("labels", span(raw.labels.as_ref()), &[Alertmanager]),
        ("command", span(raw.command.as_ref()), &[Command]),
        ("timeout", span(raw.timeout.as_ref()), &[Webhook, Alertmanager, Command]),
    ];
    for (key, span, of) in &keys {
        if let Some(span) = span.clone().filter(|_| !of.contains(&raw.channel)) {
            let mut valid = vec!["channel", "events", "rate"];
            valid.extend(keys.iter().filter(|(.., of)| of.contains(&raw.channel)).map(|(key, ..)| *key));
            let channel = format!("{:?}", raw.channel).to_lowercase();
            let message = format!("`{key}` means nothing to a channel `{channel}`; valid here: {}", valid.join(", "));
            return Err(place.error(span, message));
        }
    }
    Ok(())
}

fn events(place: &Place<'_>, raw: &Notify) -> Result<BTreeSet<NoticeKind>, ConfigError> {
    let Some(events) = &raw.events else {
        return Ok(NoticeKind::ALL.into());
    };
    let kinds: BTreeSet<NoticeKind> = events.get_ref().iter().copied().collect();
    if kinds.is_empty() {
        return Err(place.error(events.span(), "a channel without events tells nothing; without this key it tells all"));
    }
    if raw.channel == Kind::Alertmanager && !kinds.iter().any(|kind| kind.begins()) {
        let begin: Vec<_> = NoticeKind::ALL.into_iter().filter(|kind| kind.begins()).map(NoticeKind::as_str).collect();
        let message = format!("none of these begins an alert; those that do: {}", begin.join(", "));
        return Err(place.error(events.span(), message));
    }
    Ok(kinds)
}

/// `30/1m`.
fn parse_rate(text: &str) -> Result<Budget, String> {
    let wrong = |why: &str| format!("`{text}` is not a rate such as \"30/1m\": {why}");
    let (count, per) = text.split_once('/').ok_or_else(|| wrong("it has no `/`"))?;
    let count = count.trim().parse().map_err(|_| wrong("it begins with no number"))?;
    let per = humantime::parse_duration(per.trim()).map_err(|error| wrong(&error.to_string()))?;
    if !(1..=10_000).contains(&count) || per.is_zero() {
        return Err(wrong("the number is 1 to 10000, the time more than zero"));
    }
    Ok(Budget { count, per })
}

fn url(place: &Place<'_>, url: Option<Spanned<String>>, example: &str) -> Result<Url, ConfigError> {
    let url = place.need(url, "url", example)?;
    let wrong =
        |why: String| place.error(url.span(), format!("not a URL that can be posted to: {why}; for example {example}"));
    let parsed = Url::parse(url.get_ref()).map_err(|error| wrong(error.to_string()))?;
    if !matches!(parsed.scheme(), "http" | "https") {
        return Err(wrong(format!("`{}` is neither http nor https", parsed.scheme())));
    }
    Ok(parsed)
}

fn headers(place: &Place<'_>, headers: Option<Spanned<BTreeMap<String, String>>>) -> Result<HeaderMap, ConfigError> {
    web::headers(headers).map_err(|flaw| flaw.within(place.file, place.text))
}

fn labels(
    place: &Place<'_>,
    labels: Option<Spanned<BTreeMap<String, String>>>,
) -> Result<BTreeMap<String, String>, ConfigError> {
    let Some(labels) = labels else { return Ok(BTreeMap::new()) };
    for name in labels.get_ref().keys() {
        let valid = !name.starts_with(|first: char| first.is_ascii_digit())
            && !name.is_empty()
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !valid {
            let message = format!("`{name}` cannot name a label: letters, digits and `_`, not beginning with a digit");
            return Err(place.error(labels.span(), message));
        }
        if Alertmanager::LABELS.contains(&name.as_str()) {
            let message = format!("the label `{name}` is set by the agent; give yours another name");
            return Err(place.error(labels.span(), message));
        }
    }
    Ok(labels.into_inner())
}

fn read_template(
    place: &Place<'_>,
    template: &Spanned<String>,
    events: &BTreeSet<NoticeKind>,
) -> Result<Template, ConfigError> {
    Template::parse(template.get_ref(), events.iter().copied())
        .map_err(|error| place.error(template.span(), format!("the template: {error}")))
}

fn read_secret(place: &Place<'_>, secret: &Spanned<PathBuf>) -> Result<Secret, ConfigError> {
    let path = place.base.join(secret.get_ref());
    let wrong = |why: String| place.error(secret.span(), format!("the secret file {} {why}", path.display()));
    let content = std::fs::read(&path).map_err(|error| wrong(format!("cannot be read: {error}")))?;
    let secret = Secret::new(&content);
    if secret.is_empty() {
        return Err(wrong("is empty; put a long random word into it".to_owned()));
    }
    Ok(secret)
}

#[cfg(test)]
mod tests {
    use super::super::Settings;
    use super::*;

    fn parse(table: &str) -> Result<Channel, String> {
        let text = format!("[notify.ops]\n{table}\n");
        let settings = Settings::parse(Path::new("/etc/salve/salve.toml"), &text).map_err(|error| error.to_string())?;
        Ok(settings.notify["ops"].clone())
    }

    #[test]
    fn defaults() {
        let channel = parse("channel = \"journal\"").unwrap();
        assert_eq!((channel.events.len(), channel.rate, channel.timeout), (NoticeKind::ALL.len(), RATE, TIMEOUT));
        let channel = parse(
            "channel = \"webhook\"\nurl = \"http://h/x\"\nrate = \"5/10s\"\nevents = [\"healed\"]\ntimeout = \"2s\"",
        )
        .unwrap();
        assert_eq!(channel.rate, Budget { count: 5, per: Duration::from_secs(10) });
        assert_eq!(channel.timeout, Duration::from_secs(2));
        assert!(parse("channel = \"alertmanager\"\nurl = \"http://h:9093\"\nlabels = { team = \"x\" }").is_ok());
        assert!(parse("channel = \"command\"\ncommand = [\"true\"]").is_ok());
    }

    #[test]
    fn errors_name_line_and_remedy() {
        let webhook = "channel = \"webhook\"\nurl = \"http://h/\"\n";
        let manager = "channel = \"alertmanager\"\nurl = \"http://h/\"\n";
        let cases = [
            ("channel = \"pager\"".to_owned(), "salve.toml:2:11: unknown variant `pager`, expected one of `webhook`"),
            (format!("{webhook}templat = \"\""), "unknown key `templat`; did you mean `template`?"),
            (
                format!("{webhook}events = [\"heald\"]"),
                "unknown variant `heald`, expected one of `healed`, `escalated`",
            ),
            (format!("{webhook}events = []"), "without events tells nothing"),
            (
                format!("{webhook}labels = {{}}"),
                "salve.toml:4:10: `labels` means nothing to a channel `webhook`; valid here: channel, events, rate, url",
            ),
            ("channel = \"journal\"\ntimeout = \"1s\"".to_owned(), "`timeout` means nothing to a channel `journal`"),
            ("channel = \"webhook\"".to_owned(), "[notify.ops] needs `url`"),
            ("channel = \"command\"\ncommand = []".to_owned(), "a command is a list"),
            ("channel = \"webhook\"\nurl = \"ftp://h\"".to_owned(), "neither http nor https"),
            (format!("{webhook}rate = \"30\""), "salve.toml:4:8: `30` is not a rate such as \"30/1m\""),
            (format!("{webhook}rate = \"0/1m\""), "1 to 10000"),
            (format!("{webhook}timeout = \"0\""), "lets nothing through"),
            (
                format!("{webhook}template = '{{\"a\": {{{{ reasn }}}}}}'"),
                "salve.toml:4:12: the template: of a notice `healed`",
            ),
            (format!("{webhook}secret-file = \"/nonexistent\""), "the secret file /nonexistent cannot be read"),
            (format!("{webhook}headers = {{ \"a b\" = \"\" }}"), "not one of HTTP's"),
            (format!("{manager}labels = {{ host = \"x\" }}"), "set by the agent"),
            (format!("{manager}labels = {{ a-b = \"x\" }}"), "cannot name a label"),
            (format!("{manager}events = [\"healed\"]"), "those that do: escalated"),
        ];
        for (table, expected) in cases {
            let error = parse(&table).unwrap_err();
            assert!(error.contains(expected), "{table}\n  gave {error}\n  not  {expected}");
        }
    }
}
