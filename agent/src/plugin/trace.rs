//! Where in a plugin a call ended: its stack, in names that its author knows.

use std::fmt::Write;

use rustc_demangle::demangle;
use wasmtime::{FrameInfo, WasmBacktrace};

/// Frames that are shown.
const MOST: usize = 8;

/// A frame in words.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Frame {
    /// `my_plugin::look`.
    name: String,
    /// `src/lib.rs:12`, where the component says so.
    place: Option<String>,
}

/// Where the call was when it ended, innermost first: `a::b (src/lib.rs:12) < a::c`; none if that is not known.
pub(super) fn of(error: &wasmtime::Error) -> Option<String> {
    let backtrace = error.downcast_ref::<WasmBacktrace>()?;
    told(backtrace.frames().iter().flat_map(frames).collect())
}

/// The frames of the author's own code; those of what it is built on only where there are no others.
fn told(frames: Vec<Frame>) -> Option<String> {
    let (machinery, own): (Vec<_>, Vec<_>) = frames.into_iter().partition(|frame| is_machinery(&frame.name));
    let mut frames = if own.is_empty() { machinery } else { own };
    // A recursion would be nothing but itself.
    frames.dedup();
    let mut text = String::new();
    for Frame { name, place } in frames.iter().take(MOST) {
        let between = if text.is_empty() { "" } else { " < " };
        let place = place.as_ref().map(|place| format!(" ({place})")).unwrap_or_default();
        // Writing to a string cannot fail.
        let _ = write!(text, "{between}{name}{place}");
    }
    if frames.len() > MOST {
        text.push_str(" < …");
    }
    (!text.is_empty()).then_some(text)
}

/// A frame, and what was inlined into it.
fn frames(frame: &FrameInfo) -> Vec<Frame> {
    let function = || match frame.func_name() {
        Some(name) => readable(name),
        None => format!("function {}", frame.func_index()),
    };
    if frame.symbols().is_empty() {
        return vec![Frame { name: function(), place: None }];
    }
    let symbol = |symbol: &wasmtime::FrameSymbol| {
        let line = symbol.line().map(|line| format!(":{line}")).unwrap_or_default();
        let place = symbol.file().map(|file| format!("{}{line}", near(file)));
        Frame { name: symbol.name().map_or_else(function, readable), place }
    };
    frame.symbols().iter().map(symbol).collect()
}

/// A function's name as it was written, without the hash that makes it unique.
fn readable(name: &str) -> String {
    // What else a component calls a function is cut: a name is text of the plugin's.
    format!("{:#}", demangle(name)).chars().filter(|sign| !sign.is_control()).take(120).collect()
}

/// The last parts of a path: where the author's checkout lies is nobody's business.
fn near(file: &str) -> String {
    let parts: Vec<&str> = file.rsplit('/').take(3).collect();
    parts.into_iter().rev().collect::<Vec<_>>().join("/").chars().filter(|sign| !sign.is_control()).take(80).collect()
}

/// Whether a function belongs to the language or to the contract's bindings, and not to what the author wrote.
fn is_machinery(name: &str) -> bool {
    let name = name.trim_start_matches(['<', '&', '(', '*']);
    let roots = [
        "core::",
        "std::",
        "alloc::",
        "compiler_builtins::",
        "dlmalloc::",
        "hashbrown::",
        "serde::",
        "serde_json::",
        "salve_plugin_sdk::",
        "wit_bindgen::",
        "salve:",
        "function ",
    ];
    let names = ["rust_", "__", "_start", "cabi_", "abort", "memcpy", "memset", "memmove", "memcmp"];
    roots.iter().chain(&names).any(|root| name.starts_with(root)) || name.contains("__export") || name.contains("_cabi")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(name: &str, place: Option<&str>) -> Frame {
        Frame { name: readable(name), place: place.map(near) }
    }

    #[test]
    fn the_authors_frames_are_told_by_name_and_line_without_hashes() {
        let frames = vec![
            frame(
                "_ZN4core9panicking9panic_fmt17h0123456789abcdefE",
                Some("/rustc/abc/library/core/src/panicking.rs:80"),
            ),
            frame("_ZN9my_plugin4look17h0123456789abcdefE", Some("/home/me/my-plugin/src/lib.rs:12")),
            frame("my_plugin::detect", None),
            frame("salve:plugin/remediator@0.1.0#detect", None),
        ];
        assert_eq!(told(frames.clone()).unwrap(), "my_plugin::look (my-plugin/src/lib.rs:12) < my_plugin::detect");
        // Where there is nothing else, the rest is better than nothing.
        let rest = vec![frames[0].clone(), frames[3].clone()];
        assert!(told(rest).unwrap().starts_with("core::panicking::panic_fmt (core/src/panicking.rs:80) < salve:"));
        assert_eq!(told(vec![]), None);
    }

    #[test]
    fn a_deep_stack_is_cut() {
        let frames = (0..100).map(|n| frame(&format!("a::f{n}"), None)).collect();
        let told = told(frames).unwrap();
        assert!(told.starts_with("a::f0 < a::f1 < ") && told.ends_with("a::f7 < …"), "{told}");
        let same = vec![frame("a::f", None); 100];
        assert_eq!(super::told(same).unwrap(), "a::f");
        assert!(frame(&"x\n".repeat(10_000), None).name.len() <= 120);
    }
}
