//! What is said about reports of installations.

words! {
    checks: "Health checks at the end", "Prüfungen am Ende";
    download: "Save the report", "Bericht speichern";
    found: "Found before", "Vorher gefunden";
    notes: "New", "Neu";
    phases: "Phases", "Phasen";
    reports: "Reports", "Berichte";
    seconds: "s", "s";
    steps: "Done", "Getan";
}
