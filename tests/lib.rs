//! Tests of Phalanx as a program that uses it sees it; they live in `tests/`. The simulator has a
//! package of its own, `simulator`.
