//! Bytes as they are, components that are valid, and such as hold a core module that was valid until it was mutated.
#![no_main]

use libfuzzer_sys::arbitrary::{Result, Unstructured};
use wasm_mutate::WasmMutate;
use wasm_smith::{Component, Config, Module};

const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";
/// The section of a core module within a component.
const CORE_MODULE: u8 = 1;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let made = made(&mut Unstructured::new(bytes));
    salve::fuzzing::component(made.as_deref().unwrap_or(bytes));
});

fn made(bytes: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    Ok(match bytes.int_in_range(0..=3)? {
        0 => [COMPONENT, bytes.bytes(bytes.len())?].concat(),
        1 => Component::new(Config::default(), bytes)?.to_bytes(),
        _ => {
            let seed = bytes.arbitrary()?;
            let module = Module::new(Config::default(), bytes)?.to_bytes();
            let mut mutate = WasmMutate::default();
            mutate.seed(seed).fuel(100).preserve_semantics(false);
            let mutated = mutate.run(&module).ok().and_then(|mut mutants| mutants.next()?.ok()).unwrap_or(module);
            [COMPONENT, &[CORE_MODULE], &leb128(mutated.len()), &mutated].concat()
        }
    })
}

/// How WebAssembly writes a length.
fn leb128(mut length: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = (length & 0x7f) as u8;
        length >>= 7;
        bytes.push(if length == 0 { low } else { low | 0x80 });
        if length == 0 {
            return bytes;
        }
    }
}
