//! `bulkhead-vm`: not written yet.
fn main() {}
