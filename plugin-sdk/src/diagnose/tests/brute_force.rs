use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use crate::diagnose::{BasicEvent, FaultTree, Gate, Input, Observed, TreeConfig, Truth};

const EVENTS: usize = 5;

/// A random gate over events and over the gates before it, with others in place.
fn gate(before: usize) -> impl Strategy<Value = Gate> {
    let name = (0..EVENTS + before).prop_map(|number| Input::Name(name(number)));
    name.prop_recursive(3, 12, 4, |inner| of(inner).prop_map(Input::Gate)).prop_filter_map(
        "a name is no gate",
        |input| match input {
            Input::Gate(gate) => Some(gate),
            Input::Name(_) => None,
        },
    )
}

fn name(number: usize) -> String {
    if number < EVENTS { format!("e{number}") } else { format!("g{}", number - EVENTS) }
}

fn of(inner: impl Strategy<Value = Input> + Clone + 'static) -> impl Strategy<Value = Gate> {
    let list = proptest::collection::vec(inner.clone(), 1..4).prop_map(|inputs| {
        let names: BTreeSet<String> = inputs.iter().filter_map(named).collect();
        let gates = inputs.into_iter().filter(|input| named(input).is_none());
        gates.chain(names.into_iter().map(Input::Name)).collect::<Vec<_>>()
    });
    prop_oneof![
        3 => list.clone().prop_map(Gate::any),
        3 => list.clone().prop_map(Gate::all),
        2 => (list, any::<prop::sample::Index>()).prop_map(|(of, k)| Gate::at_least(1 + k.index(of.len()), of)),
        1 => inner.prop_map(Gate::not),
    ]
}

fn named(input: &Input) -> Option<String> {
    match input {
        Input::Name(name) => Some(name.clone()),
        Input::Gate(_) => None,
    }
}

fn config() -> impl Strategy<Value = TreeConfig> {
    let priors = proptest::collection::vec(prop_oneof![Just(0.0), Just(1.0), 0.001..0.999], EVENTS);
    ((gate(0), gate(1), gate(2)), priors).prop_map(|((g0, g1, g2), priors)| TreeConfig {
        event: priors.into_iter().enumerate().map(|(n, p)| (name(n), event(p))).collect(),
        tree: [g0, g1, g2].into_iter().enumerate().map(|(n, gate)| (format!("g{n}"), gate)).collect(),
    })
}

fn event(probability: f64) -> BasicEvent {
    BasicEvent { probability: Some(probability), ..BasicEvent::default() }
}

/// Two-valued evaluation straight from the configuration; bit n of `state` is event n.
fn holds(config: &TreeConfig, gate: &Gate, state: usize) -> bool {
    let input = |input: &Input| match input {
        Input::Gate(gate) => holds(config, gate, state),
        Input::Name(name) => match config.tree.get(name) {
            Some(gate) => holds(config, gate, state),
            None => state >> name[1..].parse::<usize>().unwrap() & 1 == 1,
        },
    };
    let count = |inputs: &[Input]| inputs.iter().filter(|i| input(i)).count();
    match gate {
        Gate { any: Some(any), .. } => count(any) > 0,
        Gate { all: Some(all), .. } => count(all) == all.len(),
        Gate { at_least: Some(k), of: Some(of), .. } => count(of) >= *k,
        Gate { not: Some(not), .. } => !input(not),
        _ => unreachable!("there are four kinds"),
    }
}

/// Each prime implicant as (events, negated events), by trying all 3ⁿ.
fn primes(truth: &[bool]) -> BTreeSet<(usize, usize)> {
    let implies = |(with, without): (usize, usize)| {
        (0..1 << EVENTS).filter(|state| state & with == with && state & without == 0).all(|state| truth[state])
    };
    let all = 1 << EVENTS;
    let products = (0..all).flat_map(|with| (0..all).map(move |without| (with, without)));
    let is_prime = |(with, without): &(usize, usize)| {
        let shorter = (0..EVENTS).map(|n| (with & !(1 << n), without & !(1 << n)));
        implies((*with, *without)) && !shorter.filter(|less| *less != (*with, *without)).any(implies)
    };
    products.filter(|(with, without)| with & without == 0).filter(is_prime).collect()
}

fn bits(names: &[&str]) -> usize {
    names.iter().map(|name| 1 << name[1..].parse::<usize>().unwrap()).sum()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn cut_sets_and_probabilities_agree_with_the_truth_table(
        config in config(),
        known in proptest::collection::vec(0..3, EVENTS),
    ) {
        let tree = FaultTree::new(config.clone()).unwrap();
        let observed = known.iter().enumerate().fold(Observed::new(), |all, (n, known)| match known {
            0 => all.with(name(n), true),
            1 => all.with(name(n), false),
            _ => all,
        });
        let chances: Vec<f64> = known.iter().enumerate().map(|(n, known)| match known {
            0 => 1.0,
            1 => 0.0,
            _ => config.event[&name(n)].probability.unwrap(),
        }).collect();
        let chance = |state: usize| (0..EVENTS).map(|n| if state >> n & 1 == 1 { chances[n] } else { 1.0 - chances[n] }).product::<f64>();
        let weight = |with: usize, without: usize| {
            let part = |n: usize| match (with >> n & 1, without >> n & 1) {
                (1, _) => chances[n],
                (_, 1) => 1.0 - chances[n],
                _ => 1.0,
            };
            (0..EVENTS).map(part).product::<f64>()
        };
        let possible = |state: &usize| (0..EVENTS).all(|n| match known[n] {
            0 => state >> n & 1 == 1,
            1 => state >> n & 1 == 0,
            _ => true,
        });
        for (name, gate) in &config.tree {
            let truth: Vec<bool> = (0..1 << EVENTS).map(|state| holds(&config, gate, state)).collect();
            let expected = primes(&truth);

            let cut_sets = tree.cut_sets(name).unwrap();
            let list = cut_sets.most_probable(1000);
            let found: BTreeSet<_> = list.sets.iter().map(|set| (bits(&set.events), bits(&set.absent))).collect();
            prop_assert_eq!(&found, &expected);
            prop_assert_eq!(list.sets.len(), expected.len(), "each once");
            prop_assert_eq!(cut_sets.count(), expected.len() as u128);
            prop_assert!(list.sets.windows(2).all(|pair| pair[0].probability >= pair[1].probability * (1.0 - 1e-6)));
            let rises = (0..1 << EVENTS).all(|state: usize| (0..EVENTS).all(|n| !truth[state] || truth[state | 1 << n]));
            prop_assert_eq!(cut_sets.are_coherent(), rises, "coherent is monotone");

            let exact: f64 = (0..1 << EVENTS).filter(|state| truth[*state]).map(chance).sum();
            let probability = tree.probability(name, &observed).unwrap();
            prop_assert!((probability - exact).abs() < 1e-12, "{} is not {}", probability, exact);
            prop_assert!(cut_sets.rare_event_bound() >= tree.probability(name, &Observed::new()).unwrap() - 1e-12);

            // What Kleene's logic knows is so in every state that is possible.
            let states: Vec<usize> = (0..1 << EVENTS).filter(possible).collect();
            match tree.truth(name, &observed).unwrap() {
                Truth::True => prop_assert!(states.iter().all(|state| truth[*state])),
                Truth::False => prop_assert!(states.iter().all(|state| !truth[*state])),
                Truth::Unknown => prop_assert!(states.len() > 1),
            }

            let weights: BTreeMap<_, _> = expected.iter().map(|(a, b)| ((*a, *b), weight(*a, *b))).collect();
            let sum: f64 = weights.values().sum();
            let explanations = tree.explain(name, &observed);
            prop_assert_eq!(explanations.len(), weights.values().filter(|weight| **weight > 0.0).count().min(100));
            for explanation in &explanations {
                let set = |happened: bool| {
                    let events = explanation.events.iter().filter(|event| event.happened == happened);
                    bits(&events.map(|event| event.name).collect::<Vec<_>>())
                };
                let weight = weights[&(set(true), set(false))];
                prop_assert!((explanation.confidence - weight / sum).abs() < 1e-9);
                prop_assert!((explanation.posterior - weight / exact).abs() < 1e-6);
                prop_assert_eq!(&explanation.path[0], name);
            }
            prop_assert!(explanations.windows(2).all(|pair| pair[0].confidence >= pair[1].confidence * (1.0 - 1e-6)));
        }
    }
}
