//! How soon after the kernel an instance hears of pressure: the mailbox beside a bare poll of the same trigger.

use std::fs::OpenOptions;
use std::hint::black_box;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use rustix::event::{PollFd, PollFlags, poll};
use salve::clock::Timestamp;
use salve::signal::collector::{Context, pressure};
use salve::signal::{Attribute, Mailbox, Selector, Subscription};

/// What tasks must stand still within a window, which begins anew after each time that it was told.
const STALL: Duration = Duration::from_millis(100);
const WINDOW: Duration = Duration::from_secs(2);
/// Two that belong together are never further apart: the kernel looks each tenth of the window.
const APART: f64 = 100.0;

/// In milliseconds, of each event under load that the bare poll saw too; it may be seen first by either.
pub(super) async fn delays(context: Context, rounds: usize) -> Result<Vec<f64>> {
    let mailbox = Arc::new(Mailbox::default());
    let matching = vec![
        Attribute::new("subject", "cpu"),
        Attribute::new("stall", STALL.as_secs_f64()),
        Attribute::new("window", WINDOW.as_secs_f64()),
    ];
    let subscription = Subscription { events: vec![Selector::new("pressure.stalled", matching)], ..Default::default() };
    let over = Arc::new(AtomicBool::new(false));
    let mut file = OpenOptions::new().read(true).write(true).open("/proc/pressure/cpu")?;
    let trigger = format!("some {} {}\0", STALL.as_micros(), WINDOW.as_micros());
    context.router.subscribe("pressure".into(), subscription, mailbox.clone());
    let collector = tokio::spawn(pressure::run(context));
    file.write_all(trigger.as_bytes()).context("the kernel takes no trigger of pressure")?;

    let (seen, mut bare) = tokio::sync::mpsc::unbounded_channel();
    let poller = thread::spawn({
        let over = over.clone();
        move || {
            let timeout = WINDOW.try_into().ok();
            while !over.load(Ordering::Relaxed) {
                let told = poll(&mut [PollFd::new(&file, PollFlags::PRI)], timeout.as_ref());
                if told.is_ok_and(|count| count > 0) {
                    // The receiver is gone only when all is over.
                    let _ = seen.send(Instant::now());
                }
            }
        }
    });
    // More tasks than cores: some of them stand still all the time.
    let tasks = 2 * thread::available_parallelism().map_or(2, usize::from);
    let load: Vec<_> = (0..tasks)
        .map(|_| {
            let over = over.clone();
            thread::spawn(move || {
                let mut number = 0_u64;
                while !over.load(Ordering::Relaxed) {
                    number = black_box(number.wrapping_add(1));
                }
            })
        })
        .collect();

    let (mut told, mut polled) = (Vec::new(), Vec::new());
    let end = tokio::time::Instant::now() + WINDOW * u32::try_from(rounds)?;
    loop {
        tokio::select! {
            () = tokio::time::sleep_until(end) => break,
            Some(at) = bare.recv() => polled.push(at),
            () = mailbox.ring() => {
                let at = Instant::now();
                if mailbox.take(Timestamp::default()).is_some_and(|batch| !batch.events.is_empty()) {
                    told.push(at);
                }
            }
        }
    }
    over.store(true, Ordering::Relaxed);
    collector.abort();
    for thread in load.into_iter().chain([poller]) {
        drop(thread.join());
    }
    let apart = |one: Instant, other: Instant| match one.checked_duration_since(other) {
        Some(later) => later.as_secs_f64() * 1e3,
        None => -(other - one).as_secs_f64() * 1e3,
    };
    let nearest = |at: &Instant| {
        let all = polled.iter().map(|bare| apart(*at, *bare));
        all.min_by(|one, other| one.abs().total_cmp(&other.abs()))
    };
    Ok(told.iter().filter_map(nearest).filter(|apart| apart.abs() < APART).collect())
}
