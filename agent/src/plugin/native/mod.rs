//! Native code of plugins: made by a program of its own, `salve-compile`, kept in a cache, and mapped from there. The agent
//! holds no compiler, nor the memory that one takes.

mod cache;
mod helper;
pub(super) mod tuning;

use std::fs::File;
use std::io::{Read, Seek};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use wasmtime::Engine;
use wasmtime::component::Component;

use self::cache::Cache;
pub(super) use self::helper::CompileError;
use self::helper::Helper;

/// Turns bytes into components.
#[derive(Debug, Clone)]
pub struct Compiler {
    helper: Arc<Helper>,
    cache: Option<Arc<Cache>>,
    /// Whether what is not in the cache is compiled.
    compiles: bool,
}

impl Compiler {
    /// A compiler that keeps nothing. `program` is where `salve-compile` is; none means beside this program, or where packages
    /// put it. It is looked for each time that it is needed.
    pub fn new(program: Option<PathBuf>) -> Self {
        Self { helper: Arc::new(Helper::new(program)), cache: None, compiles: true }
    }

    /// One that keeps native code in the agent's state directory. Where that cannot be trusted, the reason is logged and
    /// nothing is kept: plugins are compiled at each start.
    pub fn with_cache(program: Option<PathBuf>, state: &Path) -> Self {
        let cache = Cache::open(state).inspect_err(|problem| {
            tracing::warn!("native code of plugins is not kept, and each start compiles them anew: {problem}");
        });
        Self { cache: cache.ok().map(Arc::new), ..Self::new(program) }
    }

    /// The same, but nothing is compiled.
    pub(super) fn without_compiling(&self) -> Self {
        Self { compiles: false, ..self.clone() }
    }

    /// The component that these bytes are, from the cache or compiled. `digest` is their SHA-256 in hexadecimal.
    pub(super) fn component(&self, engine: &Engine, digest: &str, wasm: &[u8]) -> Result<Component, CompileError> {
        if let Some(kept) = self.cache.as_ref().and_then(|cache| cache.get(digest)) {
            match load(engine, kept) {
                Ok(component) => return Ok(component),
                // Of another version of the agent, or another processor.
                Err(why) => tracing::debug!(digest, "native code does not fit this agent and is made anew: {why}"),
            }
        }
        if !self.compiles {
            return Err(CompileError::Unknown);
        }
        let mut native = match &self.cache {
            Some(cache) => cache.begin(digest)?,
            None => Native::unnamed()?,
        };
        self.helper.compile(wasm, native.file())?;
        let native = match &self.cache {
            Some(cache) => cache.keep(native),
            None => native.into_file(),
        };
        load(engine, native?).map_err(CompileError::Foreign)
    }
}

/// Where native code is written to.
enum Native {
    /// Into the cache.
    Cached(cache::Entry),
    /// Into memory that no name leads to.
    Unnamed(File),
}

impl Native {
    fn unnamed() -> std::io::Result<Self> {
        let flags = rustix::fs::MemfdFlags::CLOEXEC;
        Ok(Self::Unnamed(rustix::fs::memfd_create("salve-native", flags)?.into()))
    }

    fn file(&mut self) -> &File {
        match self {
            Self::Cached(entry) => entry.file(),
            Self::Unnamed(file) => file,
        }
    }

    fn into_file(self) -> std::io::Result<File> {
        match self {
            Self::Cached(entry) => entry.into_file(),
            Self::Unnamed(file) => Ok(file),
        }
    }
}

/// Maps native code into memory; copies it where a file may not be mapped to run, as on a file system that is mounted `noexec`.
#[expect(unsafe_code, reason = "native code is trusted to be what the compiler wrote; see below")]
fn load(engine: &Engine, mut file: File) -> Result<Component, String> {
    // What was checked is what is mapped: the name of a file may lead elsewhere by now.
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    // SAFETY: the bytes were written by `salve-compile` just now, or carry this agent's seal of having been, and the file is
    // in memory or in a directory that only this user can write to, where files are never changed in place.
    let mapped = unsafe { Component::deserialize_file(engine, path) };
    mapped.or_else(|error| {
        let mut bytes = Vec::new();
        let read = file.rewind().and_then(|()| file.read_to_end(&mut bytes));
        // SAFETY: as above.
        let copied = read.ok().map(|_| unsafe { Component::deserialize(engine, &bytes) });
        copied.and_then(Result::ok).ok_or_else(|| format!("{error:#}"))
    })
}
