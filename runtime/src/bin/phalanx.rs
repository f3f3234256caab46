//! The command `phalanx`. All of it is in `phalanx::cli`.

use mimalloc::MiMalloc;

/// The hub allocates and frees some small things for every task.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> std::process::ExitCode {
    phalanx::cli::main()
}
