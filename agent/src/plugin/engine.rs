use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::{self, Thread};

use wasmtime::Engine;
use wasmtime::component::Component;

use super::limits::{self, Limits};
use super::native::{CompileError, Compiler, tuning};

/// The machine that runs components: settings, the ticker that CPU deadlines go by, and where native code comes from.
#[derive(Clone)]
pub struct Sandbox {
    engine: Engine,
    compiler: Compiler,
    ticker: Arc<Ticker>,
    limits: Limits,
}

impl std::fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sandbox")
    }
}

impl Sandbox {
    /// Sets up the engine and starts the ticker's thread. Fails where the host's CPU or memory settings cannot run
    /// WebAssembly at all.
    pub fn new(compiler: Compiler) -> Result<Self, String> {
        Self::within(compiler, &Limits::default())
    }

    /// The same with these limits for all plugins, the stack of every call among them.
    pub fn within(compiler: Compiler, limits: &Limits) -> Result<Self, String> {
        let mut config = tuning::config();
        config.max_wasm_stack(limits.stack);
        let engine = Engine::new(&config).map_err(|error| format!("WebAssembly cannot run on this host: {error:#}"))?;
        let ticker = Ticker::start(engine.clone()).map_err(|error| format!("no thread for deadlines: {error}"))?;
        Ok(Self { engine, compiler, ticker, limits: *limits })
    }

    /// The same, for what was compiled before.
    pub(super) fn without_compiling(&self) -> Self {
        Self { compiler: self.compiler.without_compiling(), ..self.clone() }
    }

    /// The component that these bytes are.
    pub(super) fn component(&self, digest: &str, wasm: &[u8]) -> Result<Component, CompileError> {
        self.compiler.component(&self.engine, digest, wasm)
    }

    /// What no plugin gets more of.
    pub(super) fn limits(&self) -> &Limits {
        &self.limits
    }

    pub(super) fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Ticks while the returned guard lives.
    pub(super) fn busy(&self) -> Busy<'_> {
        self.ticker.begin();
        Busy(&self.ticker)
    }
}

/// A call is under way.
pub(super) struct Busy<'a>(&'a Ticker);

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.calls.fetch_sub(1, Ordering::Release);
    }
}

/// Moves the engine's epoch on, each [`limits::TICK`], but only while a call is under way: an idle agent does not wake up
/// for it. It has a thread of its own, so that no plugin and no task can hold it up.
struct Ticker {
    calls: AtomicU32,
    asleep: AtomicBool,
    thread: Thread,
}

impl Ticker {
    fn start(engine: Engine) -> std::io::Result<Arc<Self>> {
        let (give, take) = std::sync::mpsc::channel::<Arc<Self>>();
        let handle = thread::Builder::new().name("salve-ticker".into()).spawn(move || {
            // The sender is only dropped unused if the constructor below failed.
            if let Ok(ticker) = take.recv() {
                ticker.run(&engine);
            }
        })?;
        let thread = handle.thread().clone();
        let ticker = Arc::new(Self { calls: AtomicU32::new(0), asleep: AtomicBool::new(false), thread });
        // The thread waits for exactly this; it cannot have gone.
        give.send(ticker.clone()).map_err(|_| std::io::Error::other("the ticker's thread ended"))?;
        Ok(ticker)
    }

    fn begin(&self) {
        self.calls.fetch_add(1, Ordering::SeqCst);
        if self.asleep.swap(false, Ordering::SeqCst) {
            self.thread.unpark();
        }
    }

    fn run(&self, engine: &Engine) {
        loop {
            if self.calls.load(Ordering::SeqCst) == 0 {
                self.asleep.store(true, Ordering::SeqCst);
                // A call that began just now either sees `asleep` and wakes this thread, or is seen here.
                if self.calls.load(Ordering::SeqCst) == 0 {
                    thread::park();
                }
                self.asleep.store(false, Ordering::SeqCst);
                continue;
            }
            thread::park_timeout(limits::TICK);
            engine.increment_epoch();
        }
    }
}
