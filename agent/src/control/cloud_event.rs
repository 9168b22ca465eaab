//! CloudEvents 1.0 (<https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md>) as events of the agent.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value as Json};

use crate::clock::Timestamp;
use crate::signal::{Attribute, Event, Value};

/// The longest body; what is beyond is cut off.
const MAX_BODY: usize = 64 << 10;
/// The longest text of an attribute; what is beyond is cut off.
const MAX_TEXT: usize = 4096;
/// The longest name, id, source or subject, in bytes.
const MAX_NAME: usize = 256;
/// Most attributes; further fields of the data are in the body all the same. A plugin is handed as many.
const MAX_ATTRIBUTES: usize = 64;

/// Names that begin so are the agent's own: nobody outside can say that a service has died.
const OWN: [&str; 11] = [
    "service.",
    "process.",
    "kernel.",
    "log.",
    "probe.",
    "container.",
    "file.",
    "timer.",
    "incident.",
    "system.",
    "pressure.",
];

/// One CloudEvent, checked.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct CloudEvent {
    /// With `id`, which one it is.
    pub(super) source: String,
    /// One of its source.
    pub(super) id: String,
    /// As it goes to the router.
    pub(super) event: Event,
}

/// What an event carries.
#[derive(Debug)]
pub(super) enum Data {
    /// Nothing.
    None,
    /// JSON.
    Json(Json),
    /// Anything else, as text.
    Text(String),
}

impl Data {
    /// A body as it came; JSON where its content type says so.
    pub(super) fn of_body(body: &[u8], content_type: &str) -> Result<Self, String> {
        if body.is_empty() {
            return Ok(Self::None);
        }
        let media = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        if media.is_empty() || media.ends_with("/json") || media.ends_with("+json") {
            return serde_json::from_slice(body)
                .map(Self::Json)
                .map_err(|error| format!("its data is no JSON: {error}"));
        }
        Ok(Self::Text(String::from_utf8_lossy(body).into_owned()))
    }

    fn body(&self) -> String {
        match self {
            Self::None => String::new(),
            Self::Json(Json::String(text)) | Self::Text(text) => text.clone(),
            Self::Json(json) => json.to_string(),
        }
    }
}

impl CloudEvent {
    /// Reads one in JSON (the structured mode).
    ///
    /// # Errors
    /// What is wrong with it, by the attribute's name.
    pub(super) fn structured(json: Json, at: Timestamp) -> Result<Self, String> {
        let Json::Object(mut object) = json else { return Err("an event is a JSON object".to_owned()) };
        let data = match (object.remove("data"), object.remove("data_base64")) {
            (Some(_), Some(_)) => return Err("it has both `data` and `data_base64`".to_owned()),
            (Some(json), None) => Data::Json(json),
            (None, Some(Json::String(text))) => {
                let bytes = STANDARD.decode(text).map_err(|error| format!("`data_base64` is not Base64: {error}"))?;
                let media = object.get("datacontenttype").and_then(Json::as_str).unwrap_or("application/octet-stream");
                Data::of_body(&bytes, media)?
            }
            (None, Some(_)) => return Err("`data_base64` is not a text".to_owned()),
            (None, None) => Data::None,
        };
        Self::new(object, data, at)
    }

    /// Makes one of its context attributes.
    ///
    /// # Errors
    /// What is wrong with it, by the attribute's name.
    pub(super) fn new(mut context: Map<String, Json>, data: Data, at: Timestamp) -> Result<Self, String> {
        let mut take = |key: &str| match context.remove(key) {
            None | Some(Json::Null) => Ok(None),
            Some(Json::String(text)) => {
                let is_sound = !text.is_empty() && text.len() <= MAX_NAME && !text.contains(char::is_control);
                let sound = Some(text).filter(|_| is_sound).map(Some);
                sound.ok_or_else(|| {
                    format!("attribute `{key}` is empty, longer than {MAX_NAME} bytes, or has control characters")
                })
            }
            Some(_) => Err(format!("attribute `{key}` is not a text")),
        };
        let required =
            |key: &str, value: Option<String>| value.ok_or_else(|| format!("required attribute `{key}` is missing"));
        let version = take("specversion")?;
        let (id, source, name) = (take("id")?, take("source")?, take("type")?);
        let (subject, time) = (take("subject")?, take("time")?);
        take("datacontenttype")?;
        take("dataschema")?;
        let version = required("specversion", version)?;
        if version != "1.0" {
            return Err(format!("`specversion` is `{version}`; this agent knows `1.0`"));
        }
        let (id, source, name) = (required("id", id)?, required("source", source)?, required("type", name)?);
        if let Some(own) = OWN.iter().find(|own| name.starts_with(**own)) {
            return Err(format!(
                "type `{name}` is refused: names that begin with `{own}` are the agent's own; put your own name before it, \
                 for example `ci.{name}`"
            ));
        }
        if let Some(time) = time.as_deref().filter(|time| time.parse::<jiff::Timestamp>().is_err()) {
            return Err(format!("attribute `time` is `{time}`, which is no time by RFC 3339"));
        }
        let mut attributes = vec![
            Attribute::new("cloudevents.event_id", id.as_str()),
            Attribute::new("cloudevents.event_source", source.as_str()),
        ];
        attributes.extend(time.map(|time| Attribute::new("cloudevents.event_time", time)));
        for (key, json) in &context {
            // Extensions: lower-case letters and digits, so none can pass for an attribute of the agent's own.
            if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()) {
                return Err(format!("extension attribute `{key}` is not of lower-case letters and digits"));
            }
            attributes.extend(scalar(json).map(|value| Attribute::new(key.as_str(), value)));
        }
        if let Data::Json(Json::Object(fields)) = &data {
            let fields = fields.iter().filter(|(key, _)| key.len() <= MAX_NAME && !key.contains(char::is_control));
            attributes
                .extend(fields.filter_map(|(key, json)| Some(Attribute::new(format!("data.{key}"), scalar(json)?))));
        }
        attributes.truncate(MAX_ATTRIBUTES);
        let event = Event {
            name: name.into(),
            subject: subject.unwrap_or_else(|| source.clone()),
            attributes,
            body: cut(data.body(), MAX_BODY),
            at,
            caused_by: None,
        };
        Ok(Self { source, id, event })
    }
}

/// A truth value, a number or a text; nothing else fits into an attribute.
fn scalar(json: &Json) -> Option<Value> {
    match json {
        Json::Bool(boolean) => Some(Value::Boolean(*boolean)),
        Json::Number(number) => number.as_i64().map(Value::Integer).or_else(|| number.as_f64().map(Value::Number)),
        Json::String(text) => Some(Value::Text(cut(text.clone(), MAX_TEXT))),
        Json::Null | Json::Array(_) | Json::Object(_) => None,
    }
}

/// At most so many bytes of a text, and no part of a character.
fn cut(mut text: String, max: usize) -> String {
    text.truncate(text.floor_char_boundary(max));
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const AT: Timestamp = Timestamp::from_nanos(7);

    fn read(json: Json) -> Result<CloudEvent, String> {
        CloudEvent::structured(json, AT)
    }

    fn with(key: &str, value: Json) -> Json {
        let mut json = json!({ "specversion": "1.0", "id": "1", "source": "/ci", "type": "ci.failed" });
        json.as_object_mut().unwrap().insert(key.to_owned(), value);
        json
    }

    #[test]
    fn an_event_carries_what_its_sender_says() {
        let cloud = read(json!({
            "specversion": "1.0", "id": "17", "source": "/ci/web", "type": "com.example.deployment.began",
            "subject": "web", "time": "2026-01-02T03:04:05.6+01:00", "datacontenttype": "application/json",
            "traceparent": "00-ab", "sampledrate": 3,
            "data": { "version": "1.2", "steps": 4, "ok": true, "ratio": 0.5, "none": null, "list": [1] }
        }))
        .unwrap();
        assert_eq!((cloud.source.as_str(), cloud.id.as_str()), ("/ci/web", "17"));
        let event = cloud.event;
        assert_eq!((&*event.name, event.subject.as_str(), event.at), ("com.example.deployment.began", "web", AT));
        for (key, value) in [
            ("cloudevents.event_id", Value::from("17")),
            ("cloudevents.event_source", "/ci/web".into()),
            ("cloudevents.event_time", "2026-01-02T03:04:05.6+01:00".into()),
            ("traceparent", "00-ab".into()),
            ("sampledrate", Value::Integer(3)),
            ("data.version", "1.2".into()),
            ("data.steps", Value::Integer(4)),
            ("data.ok", true.into()),
            ("data.ratio", 0.5.into()),
        ] {
            assert!(event.attributes.contains(&Attribute { key: key.into(), value }), "{key}: {event:#?}");
        }
        assert_eq!(event.attributes.len(), 9);
        assert_eq!(serde_json::from_str::<Json>(&event.body).unwrap()["list"], json!([1]));
    }

    #[test]
    fn data_may_be_anything_and_the_subject_is_the_source_if_it_is_not_said() {
        assert_eq!(read(with("data", json!("text"))).unwrap().event.body, "text");
        assert_eq!(read(with("data", json!([1, 2]))).unwrap().event.body, "[1,2]");
        assert_eq!(read(with("data_base64", json!("aGVsbG8="))).unwrap().event.body, "hello");
        let event = read(with("subject", Json::Null)).unwrap().event;
        assert_eq!((event.subject.as_str(), event.body.as_str()), ("/ci", ""));
        let long = read(with("data", json!("ä".repeat(MAX_BODY)))).unwrap().event.body;
        assert!(long.len() <= MAX_BODY && long.ends_with('ä'));
        let many: Map<String, Json> = (0..500).map(|n| (format!("k{n}"), json!(n))).collect();
        assert_eq!(read(with("data", many.into())).unwrap().event.attributes.len(), MAX_ATTRIBUTES);
    }

    #[test]
    fn what_is_wrong_is_said_by_name() {
        for key in ["specversion", "id", "source", "type"] {
            assert_eq!(read(with(key, Json::Null)).unwrap_err(), format!("required attribute `{key}` is missing"));
        }
        for (key, value, expected) in [
            ("specversion", json!("0.3"), "`specversion` is `0.3`; this agent knows `1.0`"),
            ("id", json!(7), "attribute `id` is not a text"),
            ("id", json!(""), "attribute `id` is empty"),
            ("source", json!("a\nb"), "attribute `source` is empty, longer"),
            ("type", json!("x".repeat(257)), "attribute `type` is empty, longer"),
            ("type", json!("service.state"), "begin with `service.` are the agent's own"),
            ("type", json!("incident.opened"), "`ci.incident.opened`"),
            ("time", json!("yesterday"), "no time by RFC 3339"),
            ("Trace-Id", json!("x"), "extension attribute `Trace-Id`"),
            ("service.state", json!("x"), "extension attribute `service.state`"),
            ("data_base64", json!("%"), "`data_base64` is not Base64"),
            ("data_base64", json!(7), "`data_base64` is not a text"),
        ] {
            let error = read(with(key, value)).unwrap_err();
            assert!(error.contains(expected), "{key}: {error}");
        }
        assert!(read(json!([])).unwrap_err().contains("JSON object"));
        assert!(read(with("type", json!("services.changed"))).is_ok());
    }
}
