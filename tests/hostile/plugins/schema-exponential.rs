//! Its schema is small, and takes for ever to check by: each level asks for the next one twice. It must not start.
use hostile::*;

struct Plugin;

impl Hostile for Plugin {
    fn describe() -> Description {
        let level =
            |n: u32| format!(r##""l{n}":{{"allOf":[{{"$ref":"#/$defs/l{0}"}},{{"$ref":"#/$defs/l{0}"}}]}}"##, n + 1);
        let levels: Vec<String> = (0..60).map(level).collect();
        let levels = levels.join(",");
        schema(format!(r##"{{"$ref":"#/$defs/l0","$defs":{{{levels},"l60":{{"type":"object"}}}}}}"##))
    }
}

export!(Plugin);
