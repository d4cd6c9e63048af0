//! What is done in the background, by name.

words! {
    backup: "Making a backup", "Sicherung anlegen";
    backup_test: "Testing a backup", "Sicherung prüfen";
    check: "Checking for updates", "Nach Aktualisierungen suchen";
    commit: "Keeping what is on trial", "Version auf Probe behalten";
    factory_reset: "Factory reset", "Zurücksetzen auf Werkseinstellungen";
    install: "Installation", "Installation";
    mail: "Sending a message", "Nachricht senden";
    network: "Changing the network", "Netzwerk ändern";
    restart: "Restart", "Neustart";
    restore: "Restoring a backup", "Sicherung wiederherstellen";
    rollback: "Going back", "Zurückgehen";
    shutdown: "Shutting down", "Herunterfahren";
    stage: "Download", "Herunterladen";
    texts: "Fetching release notes and licence terms", "Versionshinweise und Lizenzbedingungen holen";
    upload: "Taking in an upload", "Hochgeladenes übernehmen";
    upgrade: "Upgrade", "Aktualisierung";
}
