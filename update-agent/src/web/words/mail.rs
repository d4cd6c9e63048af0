//! Who is told by mail.

words! {
    failed: "The last message did not leave", "Die letzte Nachricht ging nicht hinaus";
    from: "From", "Von";
    hint: "People are told here once about each package that can be installed.", "Hier wird einmal über jedes Paket benachrichtigt, das installiert werden kann.";
    last: "Last message about updates", "Letzte Nachricht über Aktualisierungen";
    nobody: "Nobody is told by mail what can be installed. Updates work without it.", "Niemand wird per E-Mail benachrichtigt, was installiert werden kann. Aktualisierungen gehen auch ohne.";
    none: "nothing was sent yet", "noch nichts gesendet";
    port: "Port", "Port";
    security: "Encryption", "Verschlüsselung";
    security_none: "none", "keine";
    security_starttls: "from STARTTLS on", "ab STARTTLS";
    security_tls: "TLS from the beginning", "TLS von Anfang an";
    server: "Server", "Server";
    set: "Who is told is set under \"mail\" in /data/bulkhead/depot.json, which takes effect at once.", "Wer benachrichtigt wird, steht unter \"mail\" in /data/bulkhead/depot.json und gilt sofort.";
    taken: "taken by the server", "vom Server angenommen";
    test: "Send a test", "Testnachricht senden";
    test_hint: "It says nothing but that messages arrive, and goes to everybody above.", "Sie besagt nur, dass Nachrichten ankommen, und geht an alle oben Genannten.";
    to: "To", "An";
}
