use schemars::schema_for;

use super::{load, tree};
use crate::diagnose::{BasicEvent, Condition, FaultTree, Gate, Observed, TreeConfig};

const SHOP: &str = r#"
    [event."db is down"]
    when.service = { name = "postgresql*.service" }
    probability = 0.001
    summary = "PostgreSQL does not run"
    remedy = "service.restart:postgresql.service"

    [event."web 1 is down"]
    when.incident = { kind = "service.*", target = "web@1.service" }
    [event."web 2 is down"]
    when.incident = { kind = "service.*", target = "web@2.service" }
    mtbf = "99h"
    mttr = "1h"
    [event.overload]
    when.metric = { name = "system.cpu.utilization", attributes = { "cpu.mode" = "user" }, above = 0.95 }
    [event."a deployment began"]
    when.event = { name = "deployment.began", within = "10m" }

    [tree."no web"]
    at-least = 2
    of = ["web 1 is down", "web 2 is down", "overload"]
    [tree."checkout is down"]
    any = ["db is down", "no web", { all = ["overload", { not = "a deployment began" }] }]
"#;

#[test]
fn a_tree_is_pleasant_to_write() {
    let tree = tree(SHOP);
    assert_eq!(tree.tops().collect::<Vec<_>>(), ["checkout is down"]);
    assert_eq!(tree.gates().collect::<Vec<_>>(), ["checkout is down", "no web"]);
    assert_eq!(tree.events().count(), 5);
    let db = tree.event("db is down").unwrap();
    assert!(matches!(&db.when, Some(Condition::Service(service)) if service.state == ["failed", "inactive"]));
    assert_eq!(tree.require("no web"), Ok(()));
    let error = tree.require("no wep").unwrap_err();
    assert_eq!(error, "no gate is called `no wep`; did you mean `no web`?");
    let two: Vec<_> = tree.cut_sets("no web").unwrap().most_probable(9).sets;
    assert!((two[0].probability - 1e-4).abs() < 1e-12, "both the default and the times make 1 %: {two:?}");
}

#[test]
fn an_error_says_where() {
    let events = "[event.a]\n[event.b]\n[event.c]\n";
    for (tree, error) in [
        ("tree.x.any = ['a', 'bee']", "tree.x.any.1: no event or gate is called `bee`; there is `a`, `b`, `c`, `x`"),
        (
            "tree.'x y'.all = ['a', { any = ['web dwon'] }]\n[event.'web down']",
            "tree.\"x y\".all.1.any.0: no event or gate is called `web dwon`; did you mean `web down`?",
        ),
        ("tree.x.any = ['y']\ntree.y.all = [{ not = 'z' }]\ntree.z.any = ['a', 'y']", "in a circle: `y` → `z` → `y`"),
        ("tree.x.any = ['x']", "tree.x: gates refer to each other in a circle: `x` → `x`"),
        ("tree.x.any = []", "tree.x.any: a gate needs at least one input"),
        ("tree.x = {}", "tree.x: a gate has one of"),
        ("tree.x = { any = ['a'], not = 'b' }", "tree.x: a gate has one of"),
        ("tree.x.any = ['a', { at-least = 3, of = ['a', 'b'] }]", "tree.x.any.1.at-least: 3 is not between 1 and 2"),
        ("tree.x = { at-least = 0, of = ['a', 'b'] }", "tree.x.at-least: 0 is not between 1 and 2"),
        ("tree.x.at-least = 1", "tree.x: `at-least` needs `of`"),
        ("tree.x.of = ['a']", "tree.x: `of` needs `at-least`"),
        ("tree.x.all = ['a', 'b', 'a']", "tree.x.all.2: the same name is listed twice"),
        ("tree.a.any = ['b']", "event.a: a gate has the same name"),
        ("", "tree: there is no gate"),
        ("tree.x.any = ['a']\n[event.d]\nprobability = 1.5", "event.d: the probability 1.5 is not between 0 and 1"),
        ("tree.x.any = ['a']\n[event.d]\nmtbf = '1h'", "event.d: give either `probability`, or `mtbf` and `mttr`"),
        (
            "tree.x.any = ['a']\n[event.d]\nwhen.metric = { name = 'm' }",
            "event.d.when.metric: give `above`, `below` or both",
        ),
        (
            "tree.x.any = ['a']\n[event.d]\nwhen.service = { name = 'm', state = [] }",
            "event.d.when.service.state: give at least",
        ),
        ("tree.x.any = ['a', { al = ['b'] }]", "unknown field `al`, expected one of `any`, `all`"),
        ("tree.x.any = ['a', 7]", "expected the name of an event or gate, or a gate such as"),
        ("tree.x.any = ['a']\n[event.d]\nprior = 1", "unknown field `prior`"),
    ] {
        // What is in the text's own tables comes last.
        let (own, rest) = tree.split_once("\n[").map_or((tree, String::new()), |(own, rest)| (own, format!("[{rest}")));
        let found = load(&format!("{own}\n{events}{rest}")).unwrap_err();
        assert!(found.contains(error), "{tree}\n{found}");
    }
}

#[test]
fn too_large_a_tree_is_refused_and_not_waited_for() {
    let names = |count: usize| (0..count).map(|number| format!("e{number}"));
    let config = |count: usize, gate: Gate| TreeConfig {
        event: names(count).map(|name| (name, BasicEvent::default())).collect(),
        tree: [("top".to_owned(), gate)].into(),
    };
    let error = |config| FaultTree::new(config).unwrap_err().to_string();
    assert_eq!(error(config(257, Gate::any(names(257)))), "event: 257 events are more than 256");
    let deep = (0..100).fold(Gate::any(["e0"]), |gate, _| Gate::any([gate]));
    assert!(error(config(1, deep)).ends_with("gates are nested deeper than 64"));
    let chain = (0..100).map(|n| (format!("g{n:03}"), Gate::any([format!("g{:03}", n + 1)])));
    let tree = chain.chain([("g100".to_owned(), Gate::any(["e0"]))]).collect();
    assert_eq!(error(TreeConfig { tree, ..config(1, Gate::default()) }), "tree.g065: gates are nested deeper than 64");
    // Each of 20 events with the one 20 further on: the order of events that the gate suggests is the worst there is.
    let apart = Gate::all(names(128).chain((0..20).map(|n| format!("e{}", 255 - n))));
    let pairs = (0..64).map(|n| Gate::all([format!("e{n}"), format!("e{}", 128 + n)]));
    let entangled = Gate::any([Gate::all(names(128)), Gate::any(pairs), apart]);
    assert!(error(config(256, entangled)).contains("too entangled"));
    // Many events and sets are no trouble by themselves.
    let pairs = (0..128).map(|n| Gate::any([format!("e{}", 2 * n), format!("e{}", 2 * n + 1)]));
    let most = FaultTree::new(config(256, Gate::all(pairs))).unwrap();
    assert_eq!(most.cut_sets("top").unwrap().count(), u128::MAX, "2¹²⁸, or as near as a number comes");
    let half = FaultTree::new(config(48, Gate::at_least(24, names(48)))).unwrap();
    assert_eq!(half.cut_sets("top").unwrap().count(), 32_247_603_683_100);
}

/// The recursions fit the stack that a sandbox has, even in a debug build, whose frames are large.
#[test]
fn the_largest_tree_needs_little_stack() {
    let largest = || {
        let names = || (0..256).map(|number| format!("e{number}"));
        let two = Gate::all([Gate::any(names()), Gate::at_least(2, names())]);
        let nested = (0..60).fold(two, |gate, _| Gate::any([gate]));
        let tree = [("all".to_owned(), Gate::all(names())), ("two".to_owned(), nested)].into();
        let event = |name| (name, BasicEvent { probability: Some(0.5), ..BasicEvent::default() });
        let tree = FaultTree::new(TreeConfig { event: names().map(event).collect(), tree }).unwrap();
        (tree.causes("all", &Observed::new()).len(), tree.causes("two", &Observed::new()).len())
    };
    let thread = std::thread::Builder::new().stack_size(512 * 1024).spawn(largest).unwrap();
    assert_eq!(thread.join().unwrap(), (1, 100));
}

#[test]
fn the_schema_knows_every_key() {
    let schema = serde_json::to_string(&schema_for!(TreeConfig)).unwrap();
    for key in ["any", "all", "at-least", "of", "not", "when", "incident", "metric", "service", "within", "remedy"] {
        assert!(schema.contains(&format!("\"{key}\"")), "{key} is not in {schema}");
    }
    assert!(schema.contains("\"additionalProperties\":false"), "{schema}");
}
