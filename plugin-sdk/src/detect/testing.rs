use proptest::prelude::*;

use super::{Resume, Timestamp};

/// So many seconds after some day.
pub(super) fn at(second: u64) -> Timestamp {
    Timestamp((1_700_000_000 + second) * 1_000_000_000)
}

/// Numbers that look random, evenly between 0 and 1: the same ones in each run (Steele et al. 2014, SplitMix64).
pub(super) fn noise(seed: u64) -> impl FnMut() -> f64 {
    let mut state = seed;
    move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// Normally distributed ones: the sum of twelve, less six.
pub(super) fn normal_noise(seed: u64) -> impl FnMut() -> f64 {
    let mut noise = noise(seed);
    move || (0..12).map(|_| noise()).sum::<f64>() - 6.0
}

/// Samples as nobody should send them: mostly one after the other, but also late, twice, from any other time; mostly numbers,
/// but any others too.
pub(super) fn wild() -> impl Strategy<Value = Vec<(Timestamp, f64)>> {
    // Of one number each, because a choice of strategies takes proptest seconds.
    let time = |now: &mut u64, code: u64| {
        let some = (code >> 3) % 20_000_000_000;
        *now = match code % 8 {
            0..=4 => now.saturating_add(some),
            5 => now.saturating_sub(some),
            6 => *now,
            _ if code >> 3 & 1 == 0 => code,
            _ => at(some % 1000).0,
        };
        Timestamp(*now)
    };
    let value = |code: u64| match code % 8 {
        0..=4 => ((code >> 3) % 1000) as f64 / 100.0 - 5.0,
        5 => f64::from_bits(code),
        _ => [f64::NAN, f64::INFINITY, f64::MAX, 1e100, -1e100, 0.0, -0.0, f64::MIN_POSITIVE][(code >> 3) as usize % 8],
    };
    prop::collection::vec(any::<(u64, u64)>(), 0..200).prop_map(move |codes| {
        let mut now = at(0).0;
        codes.into_iter().map(|(when, what)| (time(&mut now, when), value(what))).collect()
    })
}

/// What is read again from the state.
pub(super) fn kept<P: Resume>(piece: &P) -> P {
    serde_json::from_slice(&serde_json::to_vec(piece).unwrap()).unwrap()
}

pub(super) fn assert_near(actual: f64, expected: f64) {
    assert!((actual - expected).abs() <= 1e-9 * expected.abs().max(1.0), "{actual} instead of {expected}");
}
