//! Plugins that differ in nothing but their bytes.

/// The same component with a custom section that says which it is.
pub(super) fn of(code: &[u8], number: usize) -> Vec<u8> {
    // A section is its kind, its length, its name by length and text, and its content; both lengths are below 128 here.
    let content = format!("\u{7}variant{number:08}");
    let length = u8::try_from(content.len()).unwrap_or(u8::MAX);
    [code, &[0, length], content.as_bytes()].concat()
}
