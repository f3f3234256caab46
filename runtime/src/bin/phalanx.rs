//! The command `phalanx`. All of it is in `phalanx::cli`.

fn main() -> std::process::ExitCode {
    phalanx::cli::main()
}
