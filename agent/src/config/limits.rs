//! `[limits]` of a policy and `[agent.limits]`: any key of the table of limits, within its bounds.

use std::collections::BTreeMap;
use std::ops::Range;

use bytesize::ByteSize;
use toml::{Spanned, Value};

use super::error::Flaw;
use super::{duration, unknown_key};
use crate::plugin::limits::{Limit, Limits, Scope, TABLE, Unit};

/// The keys as they are written.
pub(super) type Table = BTreeMap<Spanned<String>, Spanned<Value>>;

/// What holds for all plugins of the host.
pub(super) fn of_agent(table: Table) -> Result<Limits, Flaw> {
    read(table, Limits::default(), |limit, value, _| {
        let (least, most) = (limit.show(limit.least), limit.show(limit.most));
        let is_valid = (limit.least..=limit.most).contains(&value);
        (!is_valid).then(|| format!("`{}` is out of range: write a value from {least} to {most}", limit.key))
    })
}

/// What holds for one policy: nothing that the agent does not allow.
pub(super) fn of_policy(table: Table, agent: &Limits) -> Result<Limits, Flaw> {
    read(table, *agent, |limit, value, agent| {
        let (key, most) = (limit.key, limit.show(agent));
        if limit.scope == Scope::Agent {
            return Some(format!(
                "`{key}` is one for all plugins: set it under [agent.limits] in salve.toml ({most} now)"
            ));
        }
        if value > agent {
            return Some(format!(
                "a policy may only lower `{key}`: the agent allows {most} ([agent.limits] in salve.toml)"
            ));
        }
        let least = limit.show(limit.least);
        (value < limit.least).then(|| format!("`{key}` is out of range: write a value from {least} to {most}"))
    })
}

/// Reads each key, and asks `refuse` about its value and the one before.
fn read(table: Table, mut limits: Limits, refuse: impl Fn(&Limit, u64, u64) -> Option<String>) -> Result<Limits, Flaw> {
    for (key, value) in table {
        let Some(limit) = Limit::named(key.get_ref()) else {
            let valid: Vec<&str> = TABLE.iter().map(|limit| limit.key).collect();
            return Err(Flaw::new(key.span(), unknown_key(key.get_ref(), &valid)));
        };
        let number = amount(limit, value.get_ref(), value.span())?;
        if let Some(message) = refuse(limit, number, limit.of(&limits)) {
            return Err(Flaw::new(value.span(), message));
        }
        limit.set(&mut limits, number);
    }
    Ok(limits)
}

fn amount(limit: &Limit, value: &Value, span: Range<usize>) -> Result<u64, Flaw> {
    let flaw = |message: String| Flaw::new(span.clone(), message);
    let (key, example) = (limit.key, limit.show(limit.default));
    match (limit.unit, value) {
        (Unit::Time, Value::String(text)) => {
            let time = duration::parse(text).map_err(flaw)?;
            Ok(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
        }
        (Unit::Bytes, Value::String(text)) => {
            let size: ByteSize = text
                .parse()
                .map_err(|error| flaw(format!("`{text}` is not a size such as \"512KiB\" or \"4MiB\": {error}")))?;
            Ok(size.as_u64())
        }
        (Unit::Count, Value::Integer(count)) => u64::try_from(*count)
            .map_err(|_| flaw(format!("{count} is out of range: write a whole number from {}", limit.least))),
        (Unit::Count, _) => Err(flaw(format!("`{key}` is a whole number, for example {example}"))),
        (Unit::Time, _) => Err(flaw(format!("`{key}` is a duration, for example \"{example}\""))),
        (Unit::Bytes, _) => Err(flaw(format!("`{key}` is a size, for example \"{example}\""))),
    }
}
