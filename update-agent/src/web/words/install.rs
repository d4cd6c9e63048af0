//! What is said before an installation.

words! {
    amber: "note", "Hinweis";
    at_work: "Other work", "Andere Arbeiten";
    backup: "Backup", "Datensicherung";
    backup_first: "Back up and continue", "Sichern und fortfahren";
    backup_made: "A backup is made first.", "Zuerst wird eine Datensicherung angelegt.";
    begin: "Install now", "Jetzt installieren";
    begin_way: "Begin the upgrade", "Aktualisierung beginnen";
    clients: "Client programs have to be upgraded afterwards.", "Client-Programme müssen danach aktualisiert werden.";
    clock: "Clock", "Uhr";
    coverage: "Certificate of the site", "Zertifikat der Site";
    effects: "What it does to people", "Was es für Menschen bedeutet";
    estimate: "Estimated time", "Geschätzte Dauer";
    fetch: "To be fetched", "Zu laden";
    finding: "Looked at", "Geprüft";
    green: "in order", "in Ordnung";
    install: "Install", "Installieren";
    minutes: "minutes", "Minuten";
    next: "What to do", "Was zu tun ist";
    nobody: "Nobody notices anything.", "Niemand bemerkt etwas.";
    not_allowed: "As it is, the installation would be refused. What is red above says why.", "So würde die Installation abgelehnt. Was oben rot ist, sagt warum.";
    pending: "Under way", "Im Gange";
    preflight: "Before it is installed", "Vor der Installation";
    red: "problem", "Problem";
    restarts: "The appliance restarts.", "Das Gerät startet neu.";
    saved: "Copies of certificates", "Kopien der Zertifikate";
    sessions_end: "Sessions of the console that end", "Sitzungen der Konsole, die enden";
    site_away: "The application is away for a moment. How many people use it now, it does not tell.", "Die Anwendung ist kurz nicht erreichbar. Wie viele Menschen sie gerade nutzen, teilt sie nicht mit.";
    space: "Room", "Platz";
    suits: "Suits this appliance", "Passt zu diesem Gerät";
    terms: "Licence terms", "Lizenzbedingungen";
    unknown: "not known yet", "noch nicht bekannt";
    upgrade: "Upgrade", "Aktualisierung";
    verdict: "Verdict", "Urteil";
    window: "Maintenance window", "Wartungsfenster";
    without_backup: "Install without a backup", "Ohne Datensicherung installieren";
    write: "To be written", "Zu schreiben";
}
