//! Salve.
fn main() {}
