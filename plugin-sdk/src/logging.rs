//! The plugin's words in the host's log: the `log` crate's macros, and the message of a panic before it traps.

/// Connects both, once per instance.
#[cfg(target_family = "wasm")]
pub(crate) fn install() {
    use crate::bindings::salve::plugin::log::{Level, write};

    struct HostLog;

    impl log::Log for HostLog {
        fn enabled(&self, _: &log::Metadata<'_>) -> bool {
            true
        }

        fn log(&self, record: &log::Record<'_>) {
            let level = match record.level() {
                log::Level::Error => Level::Error,
                log::Level::Warn => Level::Warn,
                log::Level::Info => Level::Info,
                log::Level::Debug => Level::Debug,
                log::Level::Trace => Level::Trace,
            };
            write(level, &record.args().to_string(), &[]);
        }

        fn flush(&self) {}
    }

    static HOST_LOG: HostLog = HostLog;
    // Fails only when the plugin has set a logger of its own, which is its right.
    if log::set_logger(&HOST_LOG).is_ok() {
        log::set_max_level(log::LevelFilter::Trace);
    }
    std::panic::set_hook(Box::new(|panic| write(Level::Error, &panic.to_string(), &[])));
}

/// Natively the test's own logger and panic hook serve.
#[cfg(not(target_family = "wasm"))]
pub(crate) fn install() {}
