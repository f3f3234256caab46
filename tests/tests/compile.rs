//! What does not compile: typed methods whose arguments or results cannot travel, and handlers
//! that do not fit their method.

#[test]
fn what_cannot_travel_does_not_compile() {
    let cases = trybuild::TestCases::new();
    cases.compile_fail("tests/unserializable/argument.rs");
    cases.compile_fail("tests/unserializable/result.rs");
    cases.compile_fail("tests/unserializable/mismatch.rs");
}
