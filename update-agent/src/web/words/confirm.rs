//! What is said before a restart, a shut down or a way back.

words! {
    back: "No, go back", "Nein, zurück";
    base_after: "After the restart", "Nach dem Neustart";
    base_now: "Runs now", "Läuft jetzt";
    base_on: "When it is turned on again", "Nach dem Einschalten";
    nothing_asked: "Nothing was asked for.", "Es wurde nichts verlangt.";
    other_slot: "In the other slot", "Im anderen Slot";
    restart: "Restart the appliance?", "Das Gerät neu starten?";
    restart_does: "The appliance and the application are away until it has started again.", "Gerät und Anwendung sind nicht erreichbar, bis es wieder gestartet ist.";
    rollback: "Go back to the base before?", "Zur vorigen Basis zurückkehren?";
    rollback_does: "What waits for a restart is taken back; otherwise the next restart starts the base in the other slot.", "Was auf einen Neustart wartet, wird zurückgenommen; sonst startet der nächste Neustart die Basis im anderen Slot.";
    rollback_site: "Go back to the site before?", "Zur vorigen Site zurückkehren?";
    rollback_site_does: "The application is away for a moment and then runs as the site in the other slot, on trial.", "Die Anwendung ist kurz nicht erreichbar und läuft dann als die Site im anderen Slot, auf Probe.";
    sessions_end: "Sessions of the console that end, yours among them", "Sitzungen der Konsole, die enden, Ihre eingeschlossen";
    sessions_stay: "No session of the console ends.", "Keine Sitzung der Konsole endet.";
    shutdown: "Shut the appliance down?", "Das Gerät herunterfahren?";
    shutdown_does: "The appliance turns itself off. It and the application are away until somebody turns it on again, at the machine or in its hypervisor.", "Das Gerät schaltet sich aus. Gerät und Anwendung sind nicht erreichbar, bis jemand es wieder einschaltet, an der Maschine oder in ihrem Hypervisor.";
    site_after: "Application afterwards", "Anwendung danach";
    users: "How many people use the application now, it does not tell.", "Wie viele Menschen die Anwendung gerade nutzen, teilt sie nicht mit.";
}
