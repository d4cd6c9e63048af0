//! The support bundle.

words! {
    contents: "What is in it", "Was darin ist";
    cut: "Not all of it", "Nicht alles";
    file: "File", "Datei";
    hint: "One file for whoever helps you: what this appliance runs, what happened, and what is set. It is made when you ask for it, signed with the appliance's own key, and not kept here. Who made one stands in the audit log.", "Eine Datei für alle, die Ihnen helfen: was dieses Gerät ausführt, was geschehen ist und was eingestellt ist. Sie entsteht erst auf Anfrage, ist mit dem eigenen Schlüssel des Geräts signiert und bleibt nicht hier. Wer eine angelegt hat, steht im Prüfprotokoll.";
    left_out: "What is not in it", "Was nicht darin ist";
    length: "Size", "Größe";
    make: "Make and download", "Anlegen und herunterladen";
    redacted: "Secrets taken out", "Entfernte Geheimnisse";
    secrets: "Passwords, keys and tokens are taken out. Addresses, host names and names of accounts stay: look into the file before you give it away.", "Passwörter, Schlüssel und Tokens sind entfernt. Adressen, Rechnernamen und Namen von Konten bleiben: Sehen Sie in die Datei, bevor Sie sie weitergeben.";
    size: "Size before compression", "Größe vor dem Komprimieren";
    what: "What", "Was";
    why: "Why", "Warum";
}
