//! Gives memory that is free back to the system.
//!
//! glibc keeps what was freed, below the top of an arena and at the top of each, so a process stays as
//! large as the largest crowd that it ever served. This crate is the one place with calls that Rust cannot
//! check; it is so small that it is read in a minute. Why not another allocator: ADR 0011.

/// Gives every free page of the heap back. Takes some milliseconds for a large heap, in which threads
/// that allocate may wait: call it when a crowd has left, on a thread that may block.
///
/// Returns whether anything was given back. Where the allocator has no such call, it is `false`.
pub fn give_back() -> bool {
    give_back_here()
}

/// Bytes that may lie free at the top of an arena; what is more goes back at once. glibc's own bound begins
/// at 128 KiB and grows with the largest block that was ever freed, up to 64 MiB for each arena, and
/// [`give_back`] does not reach the tops of arenas but the first. Once it is set, a block of 128 KiB and
/// more always has pages of its own, which go back when it is freed.
pub const TOP_BYTES_MAX: u32 = 256 * 1024;

/// Says so to the allocator. For the begin of a program, before it has threads.
///
/// Returns whether it was heard. Where the allocator has no such call, it is `false`.
pub fn keep_little() -> bool {
    keep_little_here()
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[allow(unsafe_code)]
fn keep_little_here() -> bool {
    let bytes = libc::c_int::try_from(TOP_BYTES_MAX).unwrap_or(libc::c_int::MAX);
    // SAFETY: mallopt(3) takes two numbers and touches only the allocator's own settings.
    unsafe { libc::mallopt(libc::M_TRIM_THRESHOLD, bytes) != 0 }
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn keep_little_here() -> bool {
    false
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[allow(unsafe_code)]
fn give_back_here() -> bool {
    // SAFETY: malloc_trim(3) is thread-safe and touches only what the allocator itself holds free.
    unsafe { libc::malloc_trim(0) != 0 }
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn give_back_here() -> bool {
    false
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[cfg(test)]
mod tests {
    /// Bytes of memory that is resident and not of a file.
    fn resident() -> usize {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find(|line| line.starts_with("RssAnon:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
    }

    #[test]
    fn what_lies_below_a_last_piece_is_given_back() {
        let pieces: Vec<Vec<u8>> = (0..40_000).map(|_| vec![1; 1000]).collect();
        let full = resident();
        // The last one stays, so that the top of the heap is not free.
        let last = pieces.into_iter().next_back();
        let freed = resident();
        assert!(super::give_back());
        let left = resident();
        assert!(freed > left + 30_000_000, "{full} bytes, freed {freed}, given back {left}");
        drop(last);
    }
}
