//! Uses numbers that are none: not a number, infinite, negative, beyond all time. They must be made harmless.
use hostile::*;

struct Plugin;

impl Hostile for Plugin {
    fn detect(_: Batch) -> Vec<Finding> {
        let number = |key: &str, value| Attribute { key: key.into(), value: Value::Number(value) };
        let evidence = vec![
            number("nan", f64::NAN),
            number("up", f64::INFINITY),
            number("down", f64::NEG_INFINITY),
            number("-", -0.0),
        ];
        if first() { vec![Finding::Present(Fault { evidence, ..fault("hostile.fault", "scratch") })] } else { vec![] }
    }
    fn diagnose(_: Incident) -> Vec<Cause> {
        let cause = |confidence| Cause { summary: "because".into(), path: vec![], confidence, evidence: vec![] };
        vec![cause(f64::NAN), cause(f64::INFINITY), cause(-1e308)]
    }
    fn recover(_: Incident) -> Recovery {
        Recovery::Wait(u64::MAX)
    }
}

export!(Plugin);
