use crate::{Attribute, Cause, Fault, Finding, Severity, Value};

impl Fault {
    /// A fault of `kind` (`service.failed`) at `target` (`nginx.service`), of severity [`Severity::Error`]. The pair names
    /// it: raising it again updates the open incident.
    pub fn new(kind: impl Into<String>, target: impl Into<String>) -> Self {
        let (kind, target) = (kind.into(), target.into());
        let summary = format!("{kind} at {target}");
        Self { kind, target, severity: Severity::Error, summary, evidence: Vec::new() }
    }

    /// With another severity.
    pub fn severity(mut self, severity: Severity) -> Self {
        self.severity = severity;
        self
    }

    /// With a sentence for people.
    pub fn summary(mut self, summary: impl Into<String>) -> Self {
        self.summary = summary.into();
        self
    }

    /// With one more piece of evidence.
    pub fn evidence(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.evidence.push(Attribute::new(key, value));
        self
    }

    /// It is there.
    pub fn present(self) -> Finding {
        Finding::Present(self)
    }

    /// It is gone.
    pub fn cleared(self) -> Finding {
        Finding::Cleared((self.kind, self.target))
    }

    /// It is there if `present`, otherwise gone.
    pub fn present_if(self, present: bool) -> Finding {
        if present { self.present() } else { self.cleared() }
    }
}

impl Cause {
    /// A cause, with a confidence between 0 and 1.
    pub fn new(summary: impl Into<String>, confidence: f64) -> Self {
        Self { summary: summary.into(), path: Vec::new(), confidence, evidence: Vec::new() }
    }

    /// With the way from the fault to its root.
    pub fn path<S: Into<String>>(mut self, path: impl IntoIterator<Item = S>) -> Self {
        self.path = path.into_iter().map(Into::into).collect();
        self
    }

    /// With one more piece of evidence.
    pub fn evidence(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.evidence.push(Attribute::new(key, value));
        self
    }
}
