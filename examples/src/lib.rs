//! What the example programs share.
//!
//! Lives here: [`source_census`], the work of the program that `make demo` runs (it knows nothing of
//! Phalanx: it measures Rust source, file by file, and can do so alone), and [`leftovers`], which checks
//! that nothing outlives a cluster.
//! May call it: the programs in `examples/`, and anybody who wants the measures.
//! It deliberately does not start clusters or submit tasks; the programs in `examples/` do that, so
//! that each of them can be read, and copied, from top to bottom.

#![warn(missing_docs)]

pub mod leftovers;
pub mod source_census;

/// The code in `README.md` compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    #[test]
    fn the_readme_lists_every_example_with_its_command() {
        let package = Path::new(env!("CARGO_MANIFEST_DIR"));
        let readme = fs::read_to_string(package.join("README.md")).expect("there is a README");
        for entry in fs::read_dir(package.join("examples")).expect("there are examples") {
            let name = entry.expect("listed").path();
            let name = name.file_stem().and_then(|name| name.to_str()).expect("a name");
            assert!(readme.contains(&format!("(examples/{name}.rs)")), "{name} is not linked");
            let command = format!("-p phalanx-examples --example {name}`");
            assert!(readme.contains(&command), "{name} has no command");
        }
    }
}
