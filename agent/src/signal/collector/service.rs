//! Service states, as their managers report them.

use std::sync::Arc;

use crate::clock::Clock;
use crate::service::{ManagerKind, Report, ServiceStatus, StatusTable};
use crate::signal::{Attribute, Event, Router, Value};

/// The name of the event that says how a service is.
pub const STATE: &str = "service.state";

/// Where managers report: the last status is kept in `table`, and each change goes to the router.
pub fn report_to(router: Arc<Router>, table: Arc<StatusTable>, clock: Arc<dyn Clock>) -> Report {
    Arc::new(move |status: ServiceStatus| {
        let event = Event {
            name: STATE.into(),
            subject: status.name.clone(),
            attributes: attributes(&status),
            body: String::new(),
            at: clock.now().wall,
            caused_by: None,
        };
        if table.put(status) {
            router.publish_state(event);
        }
    })
}

/// A status as attributes: systemd's words under `service.`, OpenTelemetry's for the process. What is not known is absent.
pub fn attributes(status: &ServiceStatus) -> Vec<Attribute> {
    let manager = match status.manager {
        ManagerKind::Systemd => "systemd",
        ManagerKind::Command => "command",
    };
    let mut attributes = vec![
        Attribute::new("service.manager", manager),
        Attribute::new("service.active_state", status.active_state.as_str()),
        Attribute::new("service.sub_state", status.sub_state.as_str()),
        Attribute::new("service.result", status.result.as_str()),
        Attribute::new("service.restarts", Value::Integer(status.restarts.into())),
    ];
    let mut known = |key: &str, value: Option<Value>| attributes.extend(value.map(|value| Attribute::new(key, value)));
    known("process.pid", status.main_pid.map(|pid| Value::Integer(pid.into())));
    known("process.exit.code", status.exit_code.map(|code| Value::Integer(code.into())));
    known("process.exit.signal", status.exit_signal.map(|signal| Value::Integer(signal.into())));
    known("service.stop_requested", status.stop_requested.map(Value::Boolean));
    attributes
}
