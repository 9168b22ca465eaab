//! What is free in the allocator's hands goes back to the system. The one function of the agent that is unsafe to call.

/// Gives back what a start, or many loads, needed for a while: glibc keeps it for later, in an arena for each thread.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[allow(unsafe_code)]
pub(crate) fn give_back() {
    // SAFETY: it takes no pointers, touches no memory that is in use, and locks what it looks at (MT-Safe: malloc_trim(3)).
    unsafe { libc::malloc_trim(0) };
}

/// Other allocators do so by themselves.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(crate) fn give_back() {}
