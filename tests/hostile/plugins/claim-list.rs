//! Returns a list that is said to have four thousand million entries, written by hand past all bindings. It must be stopped.
#![allow(unsafe_code)]
use std::sync::Mutex;

static ANSWER: Mutex<[u64; 8]> = Mutex::new([0; 8]);

/// Where the answer lies, as the canonical ABI wants to know it; each word is a pointer and, above it, a length.
fn answer(words: [u64; 5]) -> *const u64 {
    let mut answer = ANSWER.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    answer[..5].copy_from_slice(&words);
    answer.as_ptr()
}

#[unsafe(export_name = "salve:plugin/remediator@0.1.0#describe")]
extern "C" fn describe() -> *const u64 {
    hostile::log::write(hostile::log::Level::Info, "a list comes", &[]);
    answer([0; 5])
}

#[unsafe(export_name = "salve:plugin/remediator@0.1.0#configure")]
extern "C" fn configure(_: u32, _: u32) -> *const u64 {
    // No error, no metrics, no events, each 100 ms.
    answer([0, 0, 0, 100, 0])
}

#[unsafe(export_name = "salve:plugin/remediator@0.1.0#detect")]
extern "C" fn detect(_: u64, _: u32, _: u32, _: u32, _: u32, _: u32, _: u32, _: u32, _: u32, _: u64) -> *const u64 {
    answer([(u64::from(u32::MAX) << 32) | 8, 0, 0, 0, 0])
}

/// The incident comes as a pointer.
macro_rules! never {
    ($($name:literal $function:ident),*) => {$(
        #[unsafe(export_name = $name)]
        extern "C" fn $function(_: *const u8) -> *const u64 {
            answer([0; 5])
        }
    )*};
}

never!(
    "salve:plugin/remediator@0.1.0#diagnose" diagnose,
    "salve:plugin/remediator@0.1.0#recover" recover,
    "salve:plugin/remediator@0.1.0#verify" verify
);

#[unsafe(export_name = "cabi_realloc")]
extern "C" fn realloc(_: *mut u8, _: usize, align: usize, size: usize) -> *mut u8 {
    let words = vec![0_u64; size.div_ceil(8) + align];
    Box::leak(words.into_boxed_slice()).as_mut_ptr().cast()
}
