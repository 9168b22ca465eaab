use super::Host;
use super::contract::log::{Host as Log, Level};
use super::contract::types::{Attribute, Value};
use crate::plugin::contract::{line, text};
use crate::plugin::limits;

impl Log for Host {
    fn write(&mut self, level: Level, message: String, fields: Vec<Attribute>) -> wasmtime::Result<()> {
        let message = line(message);
        if matches!(level, Level::Error) {
            self.last_words = Some(message.clone());
        }
        if !self.may_log() {
            self.log_dropped += 1;
            return Ok(());
        }
        let policy = &*self.policy;
        if self.log_dropped > 0 {
            tracing::warn!(target: "salve::plugin::log", policy, "{} lines dropped: too many at once", self.log_dropped);
            self.log_dropped = 0;
        }
        let fields: String = fields.iter().take(limits::ATTRIBUTES).map(show).collect();
        match level {
            Level::Trace => tracing::trace!(target: "salve::plugin::log", policy, "{message}{fields}"),
            Level::Debug => tracing::debug!(target: "salve::plugin::log", policy, "{message}{fields}"),
            Level::Info => tracing::info!(target: "salve::plugin::log", policy, "{message}{fields}"),
            Level::Warn => tracing::warn!(target: "salve::plugin::log", policy, "{message}{fields}"),
            Level::Error => tracing::error!(target: "salve::plugin::log", policy, "{message}{fields}"),
        }
        Ok(())
    }
}

impl Host {
    /// A token bucket: a plugin that logs in a loop must not fill the disk or drown its neighbours.
    fn may_log(&mut self) -> bool {
        let elapsed = self.log_filled.elapsed().as_secs_f64();
        self.log_filled += std::time::Duration::from_secs_f64(elapsed);
        let filled = self.log_allowance + elapsed * f64::from(limits::LOG_PER_SECOND);
        self.log_allowance = filled.min(f64::from(limits::LOG_BURST));
        if self.log_allowance < 1.0 {
            return false;
        }
        self.log_allowance -= 1.0;
        true
    }
}

fn show(field: &Attribute) -> String {
    let key = line(field.key.clone());
    match &field.value {
        Value::Text(value) => format!(" {key}={:?}", text(value.clone())),
        Value::Integer(value) => format!(" {key}={value}"),
        Value::Number(value) => format!(" {key}={value}"),
        Value::Boolean(value) => format!(" {key}={value}"),
    }
}
