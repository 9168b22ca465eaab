#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| salve::fuzzing::contract(bytes));
