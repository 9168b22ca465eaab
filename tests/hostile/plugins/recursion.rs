//! Calls itself without end. It must be stopped before the host's stack is used up.
use hostile::*;

struct Plugin;

impl Hostile for Plugin {
    fn detect(_: Batch) -> Vec<Finding> {
        vec![present(deeper(1).to_string())]
    }
}

#[expect(unconditional_recursion, reason = "this is the deed")]
fn deeper(n: u64) -> u64 {
    let page = std::hint::black_box([n; 64]);
    deeper(n + 1) + page[(n % 64) as usize]
}

export!(Plugin);
