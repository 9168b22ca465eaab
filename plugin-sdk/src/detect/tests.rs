//! The rules that hold for all pieces.

use std::fmt::Debug;
use std::time::Duration;

use proptest::prelude::*;

use super::clock::LATE_IN_A_ROW;
use super::testing::{at, kept, wild};
use super::{
    CountWithin, Cusum, Ewma, Flapping, HoltWinters, Limit, Rate, Resume, RobustZ, Threshold, Timestamp, Trend,
};

const STEP: Duration = Duration::from_secs(10);

/// Does `check` for each piece and how it takes a sample.
macro_rules! for_each_piece {
    ($check:expr) => {
        $check(Rate::of_counter(), |piece: &mut Rate, at, value| drop_it(piece.push(at, value)));
        $check(Rate::of_gauge(), |piece: &mut Rate, at, value| drop_it(piece.push(at, value)));
        $check(Ewma::new(STEP), |piece: &mut Ewma, at, value| drop_it(piece.push(at, value)));
        $check(RobustZ::new(100), |piece: &mut RobustZ, at, value| drop_it(piece.push(at, value)));
        $check(Trend::new(100 * STEP), |piece: &mut Trend, at, value| piece.push(at, value));
        $check(HoltWinters::new(STEP), |piece: &mut HoltWinters, at, value| drop_it(piece.push(at, value)));
        $check(HoltWinters::new(STEP).season(4), |piece: &mut HoltWinters, at, value| drop_it(piece.push(at, value)));
        $check(Cusum::new().learn(10), |piece: &mut Cusum, at, value| drop_it(piece.push(at, value)));
        $check(Flapping::new(), |piece: &mut Flapping, at, value| drop_it(piece.push(at, value > 3.0)));
        $check(Threshold::new(Limit::above(3.0).hold(STEP)), |piece: &mut Threshold, at, value| {
            drop_it(piece.push(at, value))
        });
    };
}

fn drop_it<T>(_: T) {}

fn values() -> impl Iterator<Item = (u64, f64)> {
    (0..60_u64).map(|n| (10 * n, (n * n % 7) as f64))
}

#[test]
fn a_clock_that_was_set_back_makes_a_piece_begin_anew() {
    fn check<P: Resume + Clone + Debug + PartialEq>(new: P, push: fn(&mut P, Timestamp, f64)) {
        let mut set_back = new.clone();
        values().for_each(|(second, value)| push(&mut set_back, at(1_000_000 + second), 100.0 - value));
        for n in 1..u64::from(LATE_IN_A_ROW) {
            push(&mut set_back, at(0), n as f64);
        }
        let mut anew = new;
        for (second, value) in values() {
            push(&mut set_back, at(10 + second), value);
            push(&mut anew, at(10 + second), value);
        }
        assert_eq!(kept(&set_back), kept(&anew));
    }
    for_each_piece!(check);
}

#[test]
fn what_is_ignored_leaves_no_trace() {
    fn check<P: Resume + Clone + Debug + PartialEq>(new: P, push: fn(&mut P, Timestamp, f64)) {
        let (mut disturbed, mut plain) = (new.clone(), new);
        for (second, value) in values() {
            push(&mut plain, at(second), value);
            push(&mut disturbed, at(second), value);
            for (at, value) in [(at(second), 9.0), (at(second / 2), 9.0)] {
                push(&mut disturbed, at, value);
            }
        }
        // One more in time, so that none are late any more.
        push(&mut plain, at(600), 1.0);
        push(&mut disturbed, at(600), 1.0);
        assert_eq!(kept(&disturbed), kept(&plain));
    }
    for_each_piece!(check);
}

proptest! {
    /// A piece that goes on from the state says what one says that was never interrupted, whatever comes.
    #[test]
    fn the_state_is_all_there_is(samples in wild(), cut in 0..200_usize) {
        fn check<P: Resume + Clone + Debug + PartialEq>(new: P, push: fn(&mut P, Timestamp, f64), samples: &[(Timestamp, f64)], cut: usize) {
            let (before, after) = samples.split_at(cut.min(samples.len()));
            let mut piece = new.clone();
            before.iter().for_each(|(at, value)| push(&mut piece, *at, *value));
            let mut kept = new.resume(Some(kept(&piece)));
            assert_eq!(kept, piece);
for (at, value) in after {
                push(&mut piece, *at, *value);
                push(&mut kept, *at, *value);
            }
            assert_eq!(kept, piece);
        }
        for_each_piece!(|new, push| check(new, push, &samples, cut));
        let mut count = CountWithin::new(STEP);
        samples.iter().for_each(|(at, _)| drop_it(count.push(*at)));
        prop_assert_eq!(kept(&count), count);
    }
}
