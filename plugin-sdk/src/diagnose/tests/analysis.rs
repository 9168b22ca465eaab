use super::tree;
use crate::Attributes;
use crate::diagnose::{Observed, Truth};

/// The pressure tank of NUREG-0492, chapter VIII: the tank, the relays K1 and K2, the pressure switch S, the switch S1 and
/// the timer R, with the probabilities the handbook gives them.
const PRESSURE_TANK: &str = r#"
    [event.T]
    probability = 5e-6
    [event.K2]
    probability = 3e-5
    [event.S]
    probability = 1e-4
    [event.S1]
    probability = 3e-5
    [event.K1]
    probability = 3e-5
    [event.R]
    probability = 1e-4

    [tree.E1]
    any = ["T", "E2"]
    [tree.E2]
    any = ["K2", "E3"]
    [tree.E3]
    all = ["S", "E4"]
    [tree.E4]
    any = ["S1", "E5"]
    [tree.E5]
    any = ["K1", "R"]
"#;

fn close(found: f64, expected: f64) {
    assert!((found - expected).abs() <= 1e-9 * expected.abs(), "{found} is not {expected}");
}

#[test]
fn the_pressure_tank_of_the_handbook() {
    let tree = tree(PRESSURE_TANK);
    let cut_sets = tree.cut_sets("E1").unwrap();
    assert!(cut_sets.are_coherent());
    assert_eq!(cut_sets.count(), 5);
    let list = cut_sets.most_probable(10);
    let names: Vec<String> = list.sets.iter().map(|set| set.events.join(" ")).collect();
    assert_eq!(names[..3], ["K2", "T", "S R"]);
    assert!(!list.truncated && names[3..].contains(&"S S1".into()) && names[3..].contains(&"S K1".into()), "{names:?}");
    assert!(list.sets.iter().all(|set| set.absent.is_empty()));
    let sum = 3e-5 + 5e-6 + 1e-8 + 3e-9 + 3e-9;
    close(cut_sets.rare_event_bound(), sum);
    let switch = 1e-4 * (1.0 - (1.0 - 3e-5) * (1.0 - 3e-5) * (1.0 - 1e-4));
    let exact = 1.0 - (1.0 - 5e-6) * (1.0 - 3e-5) * (1.0 - switch);
    let nothing = Observed::new();
    assert!((tree.probability("E1", &nothing).unwrap() - exact).abs() < 1e-16);
    // 86 % for the relay K2, 14 % for the tank, next to nothing for the rest.
    let importance = tree.importance("E1", &nothing);
    let shown: Vec<_> = importance.iter().map(|(name, share)| format!("{name} {:.0}", share * 100.0)).collect();
    assert_eq!(shown[..2], ["K2 86", "T 14"]);
    assert_eq!(importance.len(), 6);
    assert!(importance[2..].iter().all(|(_, share)| *share < 1e-3));
    // The list says that it is not the whole.
    let two = cut_sets.most_probable(2);
    assert!(two.truncated && two.sets.len() == 2);
    assert!(cut_sets.most_probable(0).truncated && !cut_sets.most_probable(5).truncated);
}

#[test]
fn the_most_likely_cause_comes_first_and_what_is_ruled_out_not_at_all() {
    let tree = tree(PRESSURE_TANK);
    let causes = tree.causes("E1", &Observed::new());
    assert_eq!(causes.len(), 5);
    assert_eq!(causes[0].path, ["E1", "E2", "K2"]);
    assert_eq!(causes[2].path, ["E1", "E2", "E3", "S and R"]);
    close(causes.iter().map(|cause| cause.confidence).sum(), 1.0);
    assert_eq!(causes[0].evidence.as_slice().text("K2"), Some("not known; probability 0.00003"));

    let mut observed = Observed::new().with("K2", false).with("T", false);
    observed.set("S", Truth::True, "the switch is closed");
    let explanations = tree.explain("E1", &observed);
    assert_eq!(explanations.len(), 3);
    assert_eq!(explanations[0].path, ["E1", "E2", "E3", "S and R"]);
    close(explanations[0].confidence, 1e-4 / 1.6e-4);
    close(explanations[0].posterior, 1e-4 / (1.0 - (1.0 - 3e-5) * (1.0 - 3e-5) * (1.0 - 1e-4)));
    assert!(!explanations[0].is_observed() && explanations[0].events[0].is_observed);
    assert_eq!(explanations[0].cause().evidence.as_slice().text("S"), Some("the switch is closed"));

    let certain = tree.explain("E1", &observed.with("R", true));
    assert!(certain[0].is_observed() && certain[0].posterior == 1.0);
    close(certain[0].confidence, 1.0 / (1.0 + 6e-5));

    let none = Observed::new().with("K2", false).with("T", false).with("S", false);
    assert!(tree.causes("E1", &none).is_empty());
    assert_eq!(tree.truth("E1", &none), Some(Truth::False));
    assert!(tree.causes("E9", &none).is_empty() && tree.truth("E9", &none).is_none());
}

#[test]
fn gates_are_evaluated_in_three_values() {
    let tree = tree(
        "[event.a]\n[event.b]\n[event.c]\n[tree.t]\nany = [{ at-least = 2, of = ['a', 'b', 'c'] }, { not = 'a' }]",
    );
    for (observed, expected) in [
        (Observed::new(), Truth::Unknown),
        (Observed::new().with("a", false), Truth::True),
        (Observed::new().with("a", true), Truth::Unknown),
        (Observed::new().with("a", true).with("b", false), Truth::Unknown),
        (Observed::new().with("a", true).with("b", false).with("c", false), Truth::False),
        (Observed::new().with("b", true).with("c", true), Truth::True),
    ] {
        assert_eq!(tree.truth("t", &observed), Some(expected), "{observed:?}");
    }
}

#[test]
fn of_a_gate_that_is_not_coherent_there_are_prime_implicants() {
    // If s then a else b: the consensus a b belongs to it, too.
    let tree =
        tree("[event.s]\n[event.a]\n[event.b]\n[tree.t]\nany = [{ all = ['s', 'a'] }, { all = [{ not = 's' }, 'b'] }]");
    let cut_sets = tree.cut_sets("t").unwrap();
    assert!(!cut_sets.are_coherent());
    let mut primes: Vec<_> =
        cut_sets.most_probable(9).sets.into_iter().map(|set| (set.events.join(" "), set.absent.join(" "))).collect();
    primes.sort();
    assert_eq!(primes, [("a b", ""), ("b", "s"), ("s a", "")].map(|(a, b)| (a.to_owned(), b.to_owned())));
    let causes = tree.causes("t", &Observed::new().with("a", false));
    assert_eq!((causes.len(), causes[0].summary.as_str()), (1, "not: s and b"));
    assert_eq!(causes[0].path, ["t", "not s and b"]);
}

#[test]
fn a_gate_that_always_or_never_holds_is_no_trouble() {
    let tree = tree("[event.a]\n[tree.always]\nany = ['a', { not = 'a' }]\n[tree.never]\nnot = 'always'");
    let nothing = Observed::new();
    assert_eq!(tree.probability("always", &nothing), Some(1.0));
    assert_eq!(tree.probability("never", &nothing), Some(0.0));
    assert_eq!(tree.causes("always", &nothing)[0].path, ["always"]);
    assert!(tree.causes("never", &nothing).is_empty() && tree.importance("never", &nothing).is_empty());
    assert_eq!(tree.cut_sets("never").unwrap().count(), 0);
}

#[test]
fn a_gate_that_two_others_share_is_on_the_way_of_either() {
    let tree = tree(
        "[event.disk]\nremedy = 'clean'\n[event.net]\n[tree.storage]\nany = ['disk']\n[tree.db]\nany = ['storage']\n\
         [tree.shop]\nany = [{ all = ['db', 'net'] }, { any = ['db'] }]",
    );
    let explanations = tree.explain("shop", &Observed::new().with("net", true));
    assert_eq!(explanations.len(), 1, "disk and net is not minimal");
    assert_eq!(explanations[0].path, ["shop", "db", "storage", "disk"]);
    assert_eq!(explanations[0].remedies().collect::<Vec<_>>(), ["clean"]);
}

#[test]
fn the_way_to_the_root_never_leads_through_a_not() {
    let tree = tree(
        "[event.x]\n[event.y]\n[tree.calm]\nany = ['x', 'y']\n[tree.t]\nany = [{ any = [{ not = 'calm' }] }, 'x']",
    );
    let explanations = tree.explain("t", &Observed::new().with("x", true).with("y", true));
    assert_eq!(explanations.len(), 1);
    assert_eq!(explanations[0].path, ["t", "x"]);
}

#[test]
fn the_best_of_very_many_sets_are_found_without_looking_at_the_others() {
    // 12 of 24 whose probabilities are alike, and one that is greater: 2,704,156 sets.
    let events: String =
        (0..24).map(|n| format!("[event.e{n}]\nprobability = {}\n", if n == 7 { 0.5 } else { 0.1 })).collect();
    let of = (0..24).map(|n| format!("'e{n}'")).collect::<Vec<_>>().join(", ");
    let tree = tree(&format!("{events}[tree.t]\nat-least = 12\nof = [{of}]"));
    let cut_sets = tree.cut_sets("t").unwrap();
    assert_eq!(cut_sets.count(), 2_704_156);
    let list = cut_sets.most_probable(1000);
    assert!(list.truncated && list.sets.iter().all(|set| set.events.contains(&"e7")));
    for certain in [true, false] {
        let observed = (0..24).fold(Observed::new(), |all, n| all.with(format!("e{n}"), certain));
        assert_eq!(tree.explain("t", &observed).len(), if certain { 100 } else { 0 });
    }
}
