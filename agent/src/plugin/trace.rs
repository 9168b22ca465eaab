//! Where in a plugin a call ended: its stack, in names that its author knows.
//!
//! Lines are not told, but by a panic's own message: reading a component's debugging information (DWARF) means to recurse as
//! deep as the component says (addr2line's `InlinedFunction`), and a few kilobytes of it would end the agent.

use rustc_demangle::demangle;
use wasmtime::WasmBacktrace;

/// Functions that are told.
const MOST: usize = 8;
/// The longest name of one, in characters.
const NAME: usize = 120;
/// The longest name that is read, in bytes: what a plugin calls its functions is up to it.
const RAW: usize = 4096;

/// Which functions the call was in when it ended, innermost first: `a::b < a::c`; none if that is not known.
pub(super) fn of(error: &wasmtime::Error) -> Option<String> {
    let backtrace = error.downcast_ref::<WasmBacktrace>()?;
    let name = |frame: &wasmtime::FrameInfo| match frame.func_name() {
        Some(name) => readable(name),
        None => format!("function {}", frame.func_index()),
    };
    told(backtrace.frames().iter().map(name).collect())
}

/// The author's own functions; those of what they are built on only where there are no others.
fn told(frames: Vec<String>) -> Option<String> {
    let (machinery, own): (Vec<_>, Vec<_>) = frames.into_iter().partition(|name| is_machinery(name));
    let mut frames = if own.is_empty() { machinery } else { own };
    // A recursion would be nothing but itself.
    frames.dedup();
    let rest = if frames.len() > MOST { " < …" } else { "" };
    frames.truncate(MOST);
    (!frames.is_empty()).then(|| frames.join(" < ") + rest)
}

/// A function's name as it was written, without the hash that makes it unique.
fn readable(name: &str) -> String {
    let name = name.get(..name.len().min(RAW)).unwrap_or("?");
    format!("{:#}", demangle(name)).chars().filter(|sign| !sign.is_control()).take(NAME).collect()
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

    fn all(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| readable(name)).collect()
    }

    #[test]
    fn the_authors_functions_are_told_by_name_without_hashes() {
        let panic = "_ZN4core9panicking9panic_fmt17h0123456789abcdefE";
        let export = "salve:plugin/remediator@0.1.0#detect";
        let frames = all(&[panic, "_ZN9my_plugin4look17h0123456789abcdefE", "my_plugin::detect", export]);
        assert_eq!(told(frames).unwrap(), "my_plugin::look < my_plugin::detect");
        // Where there is nothing else, the rest is better than nothing.
        assert_eq!(told(all(&[panic, export])).unwrap(), format!("core::panicking::panic_fmt < {export}"));
        assert_eq!(told(vec![]), None);
    }

    #[test]
    fn a_deep_stack_is_cut_and_so_is_a_name_without_end() {
        let frames = (0..100).map(|n| format!("a::f{n}")).collect();
        let told = told(frames).unwrap();
        assert!(told.starts_with("a::f0 < a::f1 < ") && told.ends_with("a::f7 < …"), "{told}");
        assert_eq!(super::told(all(&["a::f"; 100])).unwrap(), "a::f");
        assert_eq!(readable(&"x\n".repeat(1 << 20)).len(), NAME);
        // What refers to itself again and again (v0 mangling) grows no further than the demangler lets it.
        let bomb = format!("_R{}", "NvC1aB_".repeat(500));
        assert!(readable(&bomb).len() <= NAME * 4);
    }
}
