use std::collections::BTreeMap;

use super::bdd::Bdd;
use super::diagram::Edge;
use super::error::{Place, TreeError, unknown};
use super::sets::Sets;
use super::tree::{Basic, Kind, Named, Node, Source};
use super::{BasicEvent, Condition, FaultTree, Gate, Input, TreeConfig};

/// How many basic events a tree may have: the recursions over its diagrams are as deep.
const MAX_EVENTS: usize = 256;
/// How deep gates may be nested, those in place and those referred to by name together.
const MAX_DEPTH: usize = 64;

const TOO_LARGE: &str =
    "this gate is too entangled: share fewer events between its inputs, or lower the number of them";

/// Makes a [`FaultTree`] out of its configuration.
pub(super) struct Compiler<'a> {
    config: &'a TreeConfig,
    events: Vec<Basic>,
    numbers: BTreeMap<&'a str, usize>,
    nodes: Vec<Node>,
    /// The function of each node.
    logic: Vec<Edge>,
    done: BTreeMap<&'a str, usize>,
    /// The named gates that are being compiled, from the outermost inwards.
    under_way: Vec<&'a str>,
    referred_to: Vec<&'a str>,
    bdd: Bdd,
}

impl<'a> Compiler<'a> {
    pub(super) fn compile(config: TreeConfig) -> Result<FaultTree, TreeError> {
        let compiler = Compiler {
            config: &config,
            events: Vec::new(),
            numbers: BTreeMap::new(),
            nodes: Vec::new(),
            logic: Vec::new(),
            done: BTreeMap::new(),
            under_way: Vec::new(),
            referred_to: Vec::new(),
            bdd: Bdd::new(),
        };
        compiler.run()
    }

    fn run(mut self) -> Result<FaultTree, TreeError> {
        if self.config.event.len() > MAX_EVENTS {
            let count = self.config.event.len();
            return Err(Place::root("event").error(format!("{count} events are more than {MAX_EVENTS}")));
        }
        for (name, event) in &self.config.event {
            let place = Place::of("event", name);
            if self.config.tree.contains_key(name) {
                return Err(place.error("a gate has the same name; names must differ"));
            }
            check(event, &place)?;
        }
        if self.config.tree.is_empty() {
            return Err(Place::root("tree").error("there is no gate"));
        }
        for (name, gate) in &self.config.tree {
            self.named(name, gate, 0)?;
        }
        // Those that no gate refers to, so that they can be asked for all the same.
        for (name, event) in &self.config.event {
            self.event(name, event);
        }
        self.finish()
    }

    /// Makes the cut sets, and lets go of what only the making needed.
    fn finish(mut self) -> Result<FaultTree, TreeError> {
        let mut sets = Sets::new();
        let mut named = BTreeMap::new();
        for (name, node) in &self.done {
            let logic = self.logic.get(*node).copied().unwrap_or_default();
            let family = sets.primes(&mut self.bdd, logic);
            let family = family.map_err(|_| Place::of("tree", name).error(TOO_LARGE))?;
            named.insert((*name).to_owned(), Named { node: *node, logic, sets: family });
        }
        let (mut logic, mut sets) = (self.bdd.diagram, sets.diagram);
        logic.keep(named.values_mut().map(|named| &mut named.logic));
        sets.keep(named.values_mut().map(|named| &mut named.sets));
        let tops = self.config.tree.keys().filter(|name| !self.referred_to.contains(&name.as_str())).cloned().collect();
        Ok(FaultTree { events: self.events, nodes: self.nodes, named, tops, logic, sets })
    }

    fn named(&mut self, name: &'a str, gate: &'a Gate, depth: usize) -> Result<usize, TreeError> {
        if let Some(node) = self.done.get(name) {
            return Ok(*node);
        }
        let place = Place::of("tree", name);
        if let Some(start) = self.under_way.iter().position(|other| *other == name) {
            let circle: Vec<_> = self.under_way.iter().skip(start).chain([&name]).map(|n| format!("`{n}`")).collect();
            return Err(place.error(format!("gates refer to each other in a circle: {}", circle.join(" → "))));
        }
        self.under_way.push(name);
        let node = self.gate(gate, &place, depth)?;
        self.under_way.pop();
        self.done.insert(name, node);
        Ok(node)
    }

    fn gate(&mut self, gate: &'a Gate, place: &Place, depth: usize) -> Result<usize, TreeError> {
        if depth > MAX_DEPTH {
            return Err(place.error(format!("gates are nested deeper than {MAX_DEPTH}")));
        }
        let (key, inputs, kind) = kind_of(gate, place)?;
        let mut sources = Vec::with_capacity(inputs.len());
        for (number, input) in inputs.iter().enumerate() {
            let place = if kind == Kind::Not { place.then(key) } else { place.then(key).then(number) };
            let source = self.input(input, &place, depth)?;
            if matches!(input, Input::Name(_)) && sources.contains(&source) {
                return Err(place.error("the same name is listed twice in one gate"));
            }
            sources.push(source);
        }
        let functions: Vec<Edge> = sources.iter().map(|source| self.function(*source)).collect();
        let function = match kind {
            Kind::AtLeast(k) => self.bdd.at_least(k, &functions),
            Kind::Not => self.bdd.not(functions.first().copied().unwrap_or_default()),
        };
        self.logic.push(function.map_err(|_| place.error(TOO_LARGE))?);
        self.nodes.push(Node { kind, inputs: sources });
        Ok(self.nodes.len() - 1)
    }

    fn input(&mut self, input: &'a Input, place: &Place, depth: usize) -> Result<Source, TreeError> {
        let config = self.config;
        match input {
            Input::Gate(gate) => self.gate(gate, place, depth + 1).map(Source::Gate),
            Input::Name(name) => match (config.event.get_key_value(name), config.tree.get_key_value(name)) {
                (Some((name, event)), _) => Ok(Source::Event(self.event(name, event))),
                (None, Some((name, gate))) => {
                    self.referred_to.push(name);
                    self.named(name, gate, depth + 1).map(Source::Gate)
                }
                (None, None) => {
                    let names = config.event.keys().chain(config.tree.keys()).map(String::as_str);
                    Err(place.error(unknown("event or gate", name, names)))
                }
            },
        }
    }

    /// The number of an event, which it gets when it is first come to: events that are used together get numbers that are
    /// close, which keeps the diagrams small.
    fn event(&mut self, name: &'a str, event: &BasicEvent) -> usize {
        let next = self.events.len();
        let number = *self.numbers.entry(name).or_insert(next);
        if number == next {
            let prior = event.prior().unwrap_or(super::DEFAULT_PROBABILITY);
            self.events.push(Basic { name: name.to_owned(), event: event.clone(), prior });
        }
        number
    }

    fn function(&mut self, source: Source) -> Edge {
        match source {
            Source::Event(number) => self.bdd.variable(number as u32),
            Source::Gate(number) => self.logic.get(number).copied().unwrap_or_default(),
        }
    }
}

/// The key of a gate's inputs, the inputs, and what it does with them.
fn kind_of<'a>(gate: &'a Gate, place: &Place) -> Result<(&'static str, &'a [Input], Kind), TreeError> {
    let (key, inputs, k) = match (&gate.any, &gate.all, gate.at_least, &gate.of, &gate.not) {
        (Some(any), None, None, None, None) => ("any", any, 1),
        (None, Some(all), None, None, None) => ("all", all, all.len()),
        (None, None, Some(k), Some(of), None) => ("of", of, k),
        (None, None, None, None, Some(not)) => return Ok(("not", std::slice::from_ref(&**not), Kind::Not)),
        (None, None, Some(_), None, None) => return Err(place.error("`at-least` needs `of`: what it counts")),
        (None, None, None, Some(_), None) => return Err(place.error("`of` needs `at-least`: how many of them")),
        _ => return Err(place.error("a gate has one of `any`, `all`, `not`, or `at-least` and `of`")),
    };
    if inputs.is_empty() {
        return Err(place.then(key).error("a gate needs at least one input"));
    }
    if k == 0 || k > inputs.len() {
        return Err(place
            .then("at-least")
            .error(format!("{k} is not between 1 and {}, the number of inputs", inputs.len())));
    }
    Ok((key, inputs, Kind::AtLeast(k)))
}

fn check(event: &BasicEvent, place: &Place) -> Result<(), TreeError> {
    event.prior().map_err(|message| place.error(message))?;
    let when = place.then("when");
    match &event.when {
        Some(Condition::Metric(metric)) if metric.above.is_none() && metric.below.is_none() => {
            Err(when.then("metric").error("give `above`, `below` or both"))
        }
        Some(Condition::Service(service)) if service.state.is_empty() => {
            Err(when.then("service.state").error("give at least one state"))
        }
        _ => Ok(()),
    }
}
